/* SPDX-License-Identifier: MIT */
/* The effective configuration as YAML. It is the tree itself, defaults included, written in block style with
 * lists in one line; it loads again and means the same. Secrets are masked. Paths stay as they were written,
 * so it belongs into the folder of the file that it came from. Owns nothing.
 *
 * Texts are always quoted, so no text can be taken for something else. Numbers, durations and the like have
 * been checked and are written as they came. */
#include "conf/conf.h"
#include "conf/node.h"

static bool write_block(struct buf *out, const struct conf_node *block, int indent);

/* ---- texts ---- */

/* The code point at the start of *s, which is UTF-8 as libyaml has verified, and behind it. */
static uint32_t take_code_point(struct span *s)
{
    unsigned char lead = (unsigned char)s->p[0];
    size_t n = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    uint32_t c = n == 1 ? lead : lead & (0xffu >> (n + 1));
    for (size_t i = 1; i < n && i < s->n; i++)
        c = c << 6 | ((unsigned char)s->p[i] & 0x3f);
    *s = span_skip(*s, n);
    return c;
}

/* What may stand between double quotes as it is. The line separators would be folded into spaces. */
static bool is_plain(uint32_t c)
{
    if (c < 0xa0)
        return c >= 0x20 && c < 0x7f && c != '"' && c != '\\';
    return c != 0x2028 && c != 0x2029 && c != 0xfeff && c != 0xfffe && c != 0xffff;
}

static bool write_text(struct buf *out, struct span text)
{
    bool ok = buf_append(out, SPAN_LIT("\""));
    while (ok && text.n) {
        struct span from = text;
        uint32_t c = take_code_point(&text);
        if (is_plain(c))
            ok = buf_append(out, span_head(from, from.n - text.n));
        else if (c == '"' || c == '\\')
            ok = buf_printf(out, "\\%c", (int)c);
        else
            ok = buf_printf(out, c > 0xffff ? "\\U%08X" : "\\u%04X", c);
    }
    return ok && buf_append(out, SPAN_LIT("\""));
}

static bool write_scalar(struct buf *out, const struct conf_node *node)
{
    enum postern_type type = node->option ? node->option->type : POSTERN_STRING;
    if (type == POSTERN_SECRET)
        return buf_append(out, SPAN_LIT("\"***\""));
    if (type == POSTERN_STRING)
        return write_text(out, node_text(node));
    /* BLOCK: one that is switched on or off, such as `verify` */
    if (type == POSTERN_BOOL || type == POSTERN_BLOCK)
        return buf_append(out, node->n.number ? SPAN_LIT("yes") : SPAN_LIT("no"));
    return buf_append(out, node_text(node));
}

/* ---- lists, in one line ---- */

/* Depth is bounded by that of the tree. */
static bool write_inline(struct buf *out, const struct conf_node *node)
{
    if (node->n.kind == POSTERN_NODE_SCALAR)
        return write_scalar(out, node);
    bool list = node->n.kind == POSTERN_NODE_LIST;
    bool ok = buf_append(out, list ? SPAN_LIT("[") : SPAN_LIT("{"));
    for (const struct conf_node *m = node->first; ok && m; m = m->next) {
        if (!list)
            ok = buf_append(out, node_name(m)) && buf_append(out, SPAN_LIT(": "));
        ok = ok && write_inline(out, m) && (m->next == NULL || buf_append(out, SPAN_LIT(", ")));
    }
    return ok && buf_append(out, list ? SPAN_LIT("]") : SPAN_LIT("}"));
}

/* ---- blocks, a line for each option ---- */

static bool write_option(struct buf *out, const struct conf_node *node, int indent)
{
    if (!buf_printf(out, "%*s%.*s:", indent, "", SPAN_FMT(node_name(node))))
        return false;
    if (node->n.kind == POSTERN_NODE_MAP && node->first)
        return buf_append(out, SPAN_LIT("\n")) && write_block(out, node, indent + 2);
    return buf_append(out, SPAN_LIT(" ")) && write_inline(out, node) && buf_append(out, SPAN_LIT("\n"));
}

static bool write_block(struct buf *out, const struct conf_node *block, int indent)
{
    for (const struct conf_node *m = block->first; m; m = m->next)
        if (!write_option(out, m, indent))
            return false;
    return true;
}

bool conf_dump(const struct conf *c, struct buf *out)
{
    /* The node is the first member of what conf/ made it as. */
    const struct conf_node *root = (const struct conf_node *)c->root;
    return buf_printf(out, "# in force, defaults included\n") && write_block(out, root, 0);
}
