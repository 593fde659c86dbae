/* SPDX-License-Identifier: MIT */
/* Loading: the stages in their order. Each goes on as far as it can, so that one run finds everything; only
 * what makes the next stage meaningless (no file, no tree) ends it. The snapshot owns one arena with all its
 * texts, nodes and structs; conf_free gives it back at once.
 *
 *   read -> yaml_read -> check_block -> build_conf -> the snapshot, or NULL and the findings */
#include "conf/conf.h"

#include "conf/build.h"
#include "conf/schema.h"
#include "conf/yaml.h"

#include <stdlib.h>

static const size_t arena_max = 128u << 20; /* more than 65536 nodes with their texts need */

char *conf_path(struct arena *a, const char *config_file, struct span name)
{
    const char *slash = strrchr(config_file, '/');
    size_t folder = slash && (name.n == 0 || name.p[0] != '/') ? (size_t)(slash - config_file) + 1 : 0;
    char *path = arena_alloc(a, folder + name.n + 1);
    if (path == NULL)
        return NULL;
    if (folder)
        memcpy(path, config_file, folder);
    if (name.n)
        memcpy(path + folder, name.p, name.n);
    return path;
}

/* Fills the snapshot. False: no memory (noted), or the file cannot be read as a tree. */
static bool load(struct conf *c, struct span text, const struct conf_plugins *plugins, struct diags *diags)
{
    struct checker checker = {.arena = c->arena, .diags = diags, .file = c->file};
    struct builder builder = {.conf = c, .checker = &checker, .plugins = plugins};
    struct conf_node *root = yaml_read(c->arena, text, c->file, diags);
    if (root == NULL)
        return false;
    if (root->n.kind != POSTERN_NODE_MAP) {
        node_error(diags, root, "the file must consist of options, such as 'listeners:'");
        return false;
    }
    c->root = &root->n;
    check_block(&checker, root, conf_schema, NULL);
    if (build_conf(&builder, root))
        return true;
    diag_add(diags, DIAG_ERROR, c->file, 0, 0, "no memory for the configuration");
    return false;
}

static struct conf *conf_create(const char *file)
{
    struct conf *c = calloc(1, sizeof *c);
    if (c == NULL)
        return NULL;
    c->arena = arena_create(arena_max);
    c->file = c->arena ? arena_span(c->arena, span_of(file)).p : NULL;
    if (c->file == NULL)
        conf_free(&c);
    return c;
}

struct conf *conf_load(const char *file, const struct conf_source *source, const struct conf_plugins *plugins,
                       struct diags *diags)
{
    struct span text = SPAN_NONE;
    const char *error = NULL;
    size_t errors = diags->errors;
    if (source->read(source->ctx, file, &text, &error) != 0) {
        diag_add(diags, DIAG_ERROR, file, 0, 0, "cannot be read: %s", error ? error : "unknown reason");
        return NULL;
    }
    struct conf *c = conf_create(file);
    if (c == NULL)
        diag_add(diags, DIAG_ERROR, file, 0, 0, "no memory for the configuration");
    else if (!load(c, text, plugins, diags) || diags->errors > errors)
        conf_free(&c);
    return c;
}

void conf_free(struct conf **c)
{
    if (*c == NULL)
        return;
    arena_destroy(&(*c)->arena);
    free(*c);
    *c = NULL;
}

bool conf_source_is_client(const struct conf_listener *l, bool intercepted)
{
    bool by_upstream = l->upstream && l->upstream->identity == CONF_IDENTITY_TPROXY;
    return by_upstream || (intercepted && l->intercept && l->source == CONF_SOURCE_CLIENT);
}
