/* YAML text as a tree of nodes that know where they stand. Only what a configuration needs: no anchors, aliases or tags,
 * one document, bounded in depth and in number. */
#ifndef TOOLS_MILLRACE_YAML_TREE_H
#define TOOLS_MILLRACE_YAML_TREE_H

#include <stdbool.h>
#include <stddef.h>

#include "tools/millrace/config_report.h"

#define YAML_DEPTH_MAX 16
#define YAML_NODE_MAX  262144

enum yaml_kind { YAML_SCALAR, YAML_SEQUENCE, YAML_MAPPING };

struct yaml_node {
    enum yaml_kind kind;
    struct config_mark mark;
    bool plain;     /* scalar without quotes */
    char *text;     /* scalar */
    unsigned count; /* items; a mapping has key and value in turn */
    struct yaml_node **items;
};

/* NULL when malformed, and the report says where; also NULL, without an error, for a file with no content. */
struct yaml_node *yaml_tree_parse(const char *text, size_t bytes, struct config_report *report);
void yaml_tree_free(struct yaml_node *n);

/* Nothing was written: an empty plain scalar, `~` or `null`. */
bool yaml_is_null(const struct yaml_node *n);

const char *yaml_kind_text(const struct yaml_node *n);

#endif
