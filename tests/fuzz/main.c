/* SPDX-License-Identifier: MIT */
/* Runs a fuzzer over files, where it is not built with libFuzzer: every file of every folder that is named.
 * So each build and each compiler runs all seeds, and every input that once was a bug. */
#include "fuzz/fuzz.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>

#define PATH_ROOM 4096
#define LARGEST   (1 << 20)

static bool is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

static bool run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    uint8_t *bytes = malloc(LARGEST);
    bool good = f && bytes;
    if (good) {
        size_t n = fread(bytes, 1, LARGEST, f);
        good = !ferror(f);
        if (good)
            (void)LLVMFuzzerTestOneInput(bytes, n);
    }
    if (!good)
        (void)fprintf(stderr, "%s: cannot be read: %s\n", path, strerror(errno));
    free(bytes);
    if (f)
        (void)fclose(f);
    return good;
}

/* How many files were run; -1 when the folder or one of its files cannot be read. */
static int run_folder(const char *folder)
{
    char path[PATH_ROOM];
    int count = 0;
    DIR *d = opendir(folder);
    if (!d) {
        (void)fprintf(stderr, "%s: cannot be opened: %s\n", folder, strerror(errno));
        return -1;
    }
    for (struct dirent *e = readdir(d); e && count >= 0; e = readdir(d)) {
        int n = snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (n < 0 || (size_t)n >= sizeof path || !is_file(path))
            continue;
        count = run_file(path) ? count + 1 : -1;
    }
    (void)closedir(d);
    return count;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        (void)fprintf(stderr, "usage: %s FOLDER…\n", argv[0]);
        return 2;
    }
    int status = 0;
    for (int i = 1; i < argc; i++) {
        int count = run_folder(argv[i]);
        if (count == 0)
            (void)fprintf(stderr, "%s: no file in it\n", argv[i]);
        else if (count > 0)
            (void)printf("%s: %d inputs\n", argv[i], count);
        if (count <= 0)
            status = 1;
    }
    return status;
}
