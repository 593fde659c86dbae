# SPDX-License-Identifier: MIT
"""The layers of the design, checked on the sources: who may include whom, what no source may call, how it looks."""
import pathlib
import re
import shutil
import subprocess
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)
COMMENT = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\])*"', re.S)
LIBC = {
    "assert", "ctype", "dirent", "dlfcn", "endian", "errno", "fcntl", "float", "fnmatch", "getopt", "glob", "grp",
    "inttypes", "limits", "locale", "math", "netdb", "poll", "pwd", "sched", "search", "signal", "spawn", "stdalign",
    "stdarg", "stdatomic", "stdbool", "stddef", "stdint", "stdio", "stdlib", "stdnoreturn", "string", "strings",
    "syslog", "threads", "time", "unistd", "wchar", "iconv", "malloc",
}
LIBC_FOLDERS = ("sys/", "netinet/", "arpa/", "net/if", "linux/")
LIBRARIES = {  # header prefix: library
    "ev.h": "libev", "openssl/": "OpenSSL", "ares": "c-ares", "yaml.h": "libyaml", "hiredis/": "hiredis",
    "pcre2.h": "PCRE2", "hs.h": "Vectorscan", "cmocka.h": "cmocka",
    "archive": "libarchive",
}
# folder: (own roots that it may include, libraries that it may include)
RULES = {
    "proxy/base": ({"base"}, set()),
    "proxy/smtp": ({"base", "smtp"}, set()),
    "proxy/session": ({"base", "smtp", "session", "filters"}, set()),
    "proxy/net": ({"base", "net"}, {"libev", "OpenSSL", "c-ares"}),
    "proxy/probe": ({"base", "smtp", "net", "conf", "probe"}, set()),
    "proxy/explain": ({"base", "smtp", "session", "filters", "conf", "proxy", "explain"}, set()),
    "proxy": ({"base", "smtp", "session", "net", "filters", "conf", "probe", "explain", "proxy", "postern"}, set()),
    "filters/include/postern": (set(), set()),
    "filters": ({"base", "smtp", "filters", "postern"}, {"libarchive"}),
    "conf": ({"base", "conf", "postern"}, {"libyaml"}),
    "plugins/hello": ({"postern"}, set()),
    "plugins/content": ({"postern"}, {"PCRE2", "OpenSSL", "Vectorscan"}),
    "plugins/ratelimit": ({"postern"}, {"hiredis"}),
}
HIREDIS_ALLOWED = {"hiredis/read.h", "hiredis/hiredis.h", "hiredis/sds.h", "hiredis/alloc.h"}
FORBIDDEN = re.compile(
    r"(?<![\w.>])(strcpy|strcat|sprintf|vsprintf|strtok|atoi|atol|atoll|atof|gets|alloca|system|popen|mktemp|tmpnam|"
    r"strncpy|strncat|scanf|sscanf|rand|srand|sleep|usleep|setjmp|longjmp|vfork|redisConnect\w*|redisCommand\w*|"
    r"SSL_set_msg_callback|pthread_\w+)\s*\(")
FORBIDDEN_IN = {  # what a layer may not even mention
    "proxy/smtp": r"\b(socket|recv|send|read|write|open|close|time|clock_gettime|gettimeofday|getenv)\s*\(",
    "proxy/session": r"(?<![\w.>])(socket|recv|connect|accept|clock_gettime|gettimeofday|time|getenv|open|fopen)\s*\(",
}
MARKERS = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


def sources(*patterns):
    for pattern in patterns:
        yield from sorted(p for p in ROOT.glob(pattern) if p.is_file())


def own_sources():
    return list(sources("proxy/**/*.[ch]", "filters/**/*.[ch]", "plugins/**/*.[ch]", "conf/**/*.[ch]"))


def test_sources():
    return list(sources("tests/**/*.[ch]"))


def code_of(path):
    """The text without comments and string literals (includes are read from the text itself)."""
    return COMMENT.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), path.read_text())


def rule_for(path):
    relative = path.parent.relative_to(ROOT).as_posix()
    while relative not in RULES:
        relative = relative.rpartition("/")[0]
        if not relative:
            return None, None
    return relative, RULES[relative]


def library_of(name):
    return next((library for prefix, library in LIBRARIES.items() if name.startswith(prefix)), None)


def is_libc(name):
    return name.removesuffix(".h") in LIBC or name.startswith(LIBC_FOLDERS)


def wrong_include(path, kind, name):
    """Why this include is not allowed, or None."""
    _, (roots, libraries) = rule_for(path)
    if kind == "<":
        library = library_of(name)
        if library == "hiredis" and name not in HIREDIS_ALLOWED:
            return "hiredis is used for its reader and its formatter only"
        if library in libraries or is_libc(name):
            return None
        return f"{library or 'this header'} is not for this layer"
    if name == "postern/filter.h" and "postern" not in roots and roots & {"filters"}:
        return None
    if (path.parent / name).is_file() and "/" not in name:
        return None
    return None if name.partition("/")[0] in roots else "not a layer below"


class Includes(unittest.TestCase):
    def test_every_source_belongs_to_a_layer(self):
        for path in own_sources():
            self.assertIsNotNone(rule_for(path)[0], path)

    def test_layers(self):
        wrong = []
        for path in own_sources():
            for kind, name in INCLUDE.findall(path.read_text()):
                why = wrong_include(path, kind, name)
                if why:
                    wrong.append(f"{path.relative_to(ROOT)}: {name}: {why}")
        self.assertEqual(wrong, [])

    def test_the_public_header_needs_nothing(self):
        header = ROOT / "filters/include/postern/filter.h"
        self.assertEqual({name for _, name in INCLUDE.findall(header.read_text())}, {"stddef.h", "stdint.h"})

    def test_nobody_includes_tests(self):
        for path in own_sources():
            self.assertFalse([n for _, n in INCLUDE.findall(path.read_text()) if "test" in n], path)


class Code(unittest.TestCase):
    def test_no_forbidden_function(self):
        wrong = [f"{p.relative_to(ROOT)}: {m[0]}" for p in own_sources() if p.name != "poison.h"
                 for m in FORBIDDEN.finditer(code_of(p))]
        self.assertEqual(wrong, [])

    def test_pure_layers_touch_no_world(self):
        wrong = []
        for folder, pattern in FORBIDDEN_IN.items():
            for path in sources(f"{folder}/*.c"):
                wrong += [f"{path.relative_to(ROOT)}: {m[0]}" for m in re.finditer(pattern, code_of(path))]
        self.assertEqual(wrong, [])

    def test_every_file_says_what_it_is(self):
        for path in own_sources() + test_sources():
            text = path.read_text()
            self.assertTrue(text.startswith("/* SPDX-License-Identifier: MIT"), path)
            if path.suffix == ".c":
                first = text.partition("#include")[0]
                words = len(re.sub(r"SPDX-License-Identifier: MIT", "", first).split())
                self.assertGreater(words, 8, f"{path} does not open with what it is for")

    def test_nothing_is_left_to_do(self):
        wrong = [f"{p.relative_to(ROOT)}: {m[0]}" for p in own_sources() + test_sources()
                 for m in MARKERS.finditer(p.read_text())]
        self.assertEqual(wrong, [])
        self.assertEqual([p for p in own_sources() if p.name.startswith("zz_")], [])

    def test_sizes(self):
        long = [f"{p.relative_to(ROOT)}: {n} lines" for p in own_sources()
                if (n := p.read_text().count("\n")) > (650 if p.suffix == ".c" else 360)]
        self.assertEqual(long, [])

    def test_format(self):
        self.assertTrue(shutil.which("clang-format"), "clang-format is missing")
        files = [str(p) for p in own_sources() + test_sources()]
        done = subprocess.run(["clang-format", "--dry-run", "--Werror", *files], capture_output=True, text=True,
                              cwd=ROOT, check=False)
        badly = sorted(set(re.findall(r"^(\S+?):\d+:\d+: error", done.stderr, re.M)))
        self.assertEqual(badly, [])


class Scripts(unittest.TestCase):
    def test_python_and_shell_files_say_what_they_are(self):
        for path in sources("tests/**/*.py", "deploy/**/*.py", "deploy/**/*.sh", "deploy/quickstart", "tests/run",
                            ".ci/run"):
            head = "".join(path.read_text().splitlines(keepends=True)[:3])
            self.assertIn("SPDX-License-Identifier: MIT", head, path)

    def test_scripts_can_be_run_and_parsed(self):
        for path in sources("deploy/quickstart", "tests/run", ".ci/run"):
            self.assertTrue(path.stat().st_mode & 0o111, path)
            done = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)


if __name__ == "__main__":
    unittest.main()
