#include "tools/millrace/yaml_tree.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

struct builder {
    yaml_parser_t parser;
    struct config_report *report;
    unsigned nodes;
};

static struct config_mark mark_of(yaml_mark_t m)
{
    return (struct config_mark){(unsigned)m.line + 1, (unsigned)m.column + 1};
}

static bool next_event(struct builder *b, yaml_event_t *e)
{
    if (yaml_parser_parse(&b->parser, e))
        return true;
    const char *problem = b->parser.problem ? b->parser.problem : "not readable";
    const char *context = b->parser.context;
    bool in_flow = context && strstr(context, "flow node");
    config_report_add(b->report, mark_of(b->parser.problem_mark), "not YAML: %s%s%s%s", problem, context ? ", " : "",
                      context ? context : "",
                      in_flow ? "; between braces a value such as \":80\" needs its quotes" : "");
    return false;
}

static bool append(struct yaml_node *n, struct yaml_node *item)
{
    if ((n->count & (n->count - 1)) == 0) { /* full at each power of two */
        unsigned room = n->count ? n->count * 2 : 1;
        struct yaml_node **items = realloc(n->items, room * sizeof *items);
        if (!items)
            return false;
        n->items = items;
    }
    n->items[n->count++] = item;
    return true;
}

static struct yaml_node *refuse(struct builder *b, const yaml_event_t *e, const char *what)
{
    config_report_add(b->report, mark_of(e->start_mark), "%s", what);
    return NULL;
}

static struct yaml_node *build(struct builder *b, yaml_event_t *e, unsigned depth);

/* Reads items until the end event of the collection. */
static bool build_items(struct builder *b, struct yaml_node *n, unsigned depth)
{
    for (;;) {
        yaml_event_t e;
        if (!next_event(b, &e))
            return false;
        if (e.type == YAML_SEQUENCE_END_EVENT || e.type == YAML_MAPPING_END_EVENT) {
            yaml_event_delete(&e);
            return true;
        }
        struct yaml_node *item = build(b, &e, depth + 1);
        yaml_event_delete(&e);
        if (!item)
            return false;
        if (!append(n, item)) {
            yaml_tree_free(item);
            return false;
        }
    }
}

static bool fill(struct builder *b, struct yaml_node *n, yaml_event_t *e, unsigned depth)
{
    if (e->type == YAML_SCALAR_EVENT) {
        n->kind = YAML_SCALAR;
        n->plain = e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        if (memchr(e->data.scalar.value, 0, e->data.scalar.length))
            return refuse(b, e, "a value contains a zero byte, expected text");
        n->text = strdup((const char *)e->data.scalar.value);
        return n->text != NULL;
    }
    n->kind = e->type == YAML_SEQUENCE_START_EVENT ? YAML_SEQUENCE : YAML_MAPPING;
    return build_items(b, n, depth);
}

static struct yaml_node *build(struct builder *b, yaml_event_t *e, unsigned depth)
{
    if (e->type == YAML_ALIAS_EVENT)
        return refuse(b, e, "aliases are not supported, expected the value itself");
    if (depth > YAML_DEPTH_MAX)
        return refuse(b, e, "nested too deeply");
    if (++b->nodes > YAML_NODE_MAX)
        return refuse(b, e, "too many values");
    struct yaml_node *n = calloc(1, sizeof *n);
    if (!n)
        return refuse(b, e, "not enough memory");
    n->mark = mark_of(e->start_mark);
    if (fill(b, n, e, depth))
        return n;
    yaml_tree_free(n);
    return NULL;
}

/* STREAM-START [DOCUMENT-START root DOCUMENT-END] STREAM-END */
static struct yaml_node *build_document(struct builder *b)
{
    struct yaml_node *root = NULL;
    for (;;) {
        yaml_event_t e;
        if (!next_event(b, &e))
            break;
        yaml_event_type_t type = e.type;
        bool ended = type == YAML_STREAM_END_EVENT, good = true;
        if (type == YAML_DOCUMENT_START_EVENT && root)
            good = refuse(b, &e, "a second document, expected one") != NULL;
        else if (type != YAML_STREAM_START_EVENT && type != YAML_DOCUMENT_START_EVENT &&
                 type != YAML_DOCUMENT_END_EVENT && !ended)
            good = (root = build(b, &e, 0)) != NULL;
        yaml_event_delete(&e);
        if (ended)
            return root;
        if (!good)
            break;
    }
    yaml_tree_free(root);
    return NULL;
}

struct yaml_node *yaml_tree_parse(const char *text, size_t bytes, struct config_report *report)
{
    struct builder b = {.report = report};
    if (!yaml_parser_initialize(&b.parser)) {
        config_report_add(report, (struct config_mark){0, 0}, "not enough memory");
        return NULL;
    }
    yaml_parser_set_input_string(&b.parser, (const unsigned char *)text, bytes);
    yaml_parser_set_encoding(&b.parser, YAML_UTF8_ENCODING);
    struct yaml_node *root = build_document(&b);
    yaml_parser_delete(&b.parser);
    return root;
}

void yaml_tree_free(struct yaml_node *n)
{
    if (!n)
        return;
    for (unsigned i = 0; i < n->count; i++)
        yaml_tree_free(n->items[i]);
    free(n->items);
    free(n->text);
    free(n);
}

bool yaml_is_null(const struct yaml_node *n)
{
    return n->kind == YAML_SCALAR && n->plain && (!*n->text || !strcmp(n->text, "~") || !strcmp(n->text, "null"));
}

const char *yaml_kind_text(const struct yaml_node *n)
{
    if (yaml_is_null(n))
        return "nothing";
    return n->kind == YAML_SCALAR ? "a single value" : n->kind == YAML_SEQUENCE ? "a list" : "a mapping";
}
