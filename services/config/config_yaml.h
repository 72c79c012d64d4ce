/* Values of a configuration as canonical YAML: keys in the order of their tables, two spaces a level, what equals its preset left
 * out, quotes where they are needed and nowhere else. What is read back is what was written. */
#ifndef SERVICES_CONFIG_CONFIG_YAML_H
#define SERVICES_CONFIG_CONFIG_YAML_H

#include <millrace/service.h>
#include <stdio.h>

#define CONFIG_YAML_DEPTH_MAX 16 /* mappings within each other: as deep as the file may be */

struct config_yaml {
    FILE *out;
    const char *folder; /* relative paths will be read from there, "" the current one; NULL: none is written relative */
    const char *current; /* folder of the process, for relative paths that `folder` does not begin; may be NULL */
    unsigned indent;
    bool in_item;            /* a dash stands on this line, and nothing behind it yet */
    unsigned depth, written; /* mappings that are open; the names of the first `written` of them are in the text */
    struct {
        const char *name;
        unsigned indent;
    } open[CONFIG_YAML_DEPTH_MAX];
};

/* The keys of the struct at `base`, at the present indentation. */
void config_yaml_keys(struct config_yaml *y, const struct mr_config_key *keys, const void *base);

/* `name:` and what comes until the end, deeper; nothing at all when nothing comes: then false is returned. */
void config_yaml_map_begin(struct config_yaml *y, const char *name);
bool config_yaml_map_end(struct config_yaml *y);

/* An item of a list, inside config_yaml_map_begin of its name; `{}` when nothing comes. */
void config_yaml_item_begin(struct config_yaml *y);
void config_yaml_item_end(struct config_yaml *y);

/* `name: text`, and `text` alone, each on a line. */
void config_yaml_pair(struct config_yaml *y, const char *name, const char *text);
void config_yaml_word(struct config_yaml *y, const char *text);

#endif
