/* The parts of loading: a YAML tree to structs, as the tables say. Every error is reported, not only the first. */
#ifndef TOOLS_MILLRACE_CONFIG_LOAD_H
#define TOOLS_MILLRACE_CONFIG_LOAD_H

#include "tools/millrace/config.h"
#include "tools/millrace/yaml_tree.h"

#define LOAD_PATH_MAX  160 /* "services[0].proxy.upstreams[12].backends[3]" */
#define LOAD_NAMES_MAX 64  /* keys and sections of one mapping; services */

struct loader {
    struct config *config;
    const struct mr_service *const *services;
    struct config_report *report;
};

/* The names that a mapping may have. */
struct load_names {
    unsigned count;
    const char *name[LOAD_NAMES_MAX];
};

/* config_load_keys.c: keys with their values, to the depth that the tables have. `path` is empty at the root. `map` NULL: everything
 * takes its preset; `mark` is where missing keys are reported. Does not look at names that are no key. */
void load_keys(struct loader *l, const struct mr_config_key *keys, const struct yaml_node *map, const char *path,
               struct config_mark mark, char *base);

/* config_load_names.c: what is wrong with the names of a mapping: no key of the tables, there twice, or no text. */
void load_names_add(struct load_names *n, const struct mr_config_key *keys);
void load_names_check(struct loader *l, const struct load_names *names, const struct yaml_node *map, const char *path);
void load_report_unknown(struct loader *l, struct config_mark mark, const char *path, const char *what,
                         const char *word, const struct load_names *names);

/* The value of `name` in a mapping, or NULL; `map` may be NULL. */
struct yaml_node *load_get(const struct yaml_node *map, const char *name);

/* NULL when nothing was written there; *good false when it is of another kind, which is reported. */
const struct yaml_node *load_expect(struct loader *l, const struct yaml_node *node, enum yaml_kind kind,
                                    const char *path, bool *good);

/* Writes the name of what lies inside: cut when too long, which no table leads to. */
void load_path(char inner[LOAD_PATH_MAX], const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "interfaces[0]: " before what concerns the inside of a section; nothing at the root. */
const char *load_inside(const char *path, char text[LOAD_PATH_MAX]);

/* config_place.c: `value` stands at `mark`. The first place of an address counts: that of a struct's first member, not the struct's. */
void load_place(struct loader *l, const void *value, struct config_mark mark);

#endif
