/* Values of a configuration as a whole, by the tables that state its keys: what lies nested is reached too. `keys` may be NULL
 * where a struct has none. */
#ifndef SERVICES_CONFIG_CONFIG_TREE_H
#define SERVICES_CONFIG_CONFIG_TREE_H

#include <millrace/service.h>

/* Frees what the struct at `base` owns (strings, lists), not the struct, and sets it to NULL. */
void config_tree_free(const struct mr_config_key *keys, void *base);

/* A copy that shares no memory with `from`. What no key describes is copied as it lies. False: no memory, and `to` owns nothing. */
bool config_tree_copy(const struct mr_config_key *keys, size_t bytes, void *to, const void *from);

/* The same in memory from malloc, or NULL. */
void *config_tree_clone(const struct mr_config_key *keys, size_t bytes, const void *from);

/* Gives every key its preset, the nested ones of mappings included; the struct at `base` is all zeros before. Relative paths are
 * taken from `folder`. False: no memory. Keys without a preset stay zero. */
bool config_tree_presets(const struct mr_config_key *keys, const char *folder, void *base);

#define CONFIG_TREE_PATH_MAX 160
struct config_tree_difference {
    char path[CONFIG_TREE_PATH_MAX]; /* "upstreams[2].backends": a list whose length differs is named as a whole */
    const struct mr_config_key *key;
    const void *value;  /* in the second struct */
    const void *inside; /* the innermost mapping or item that it lies in, the struct itself where it does not nest */
};

/* True when both have the same values. Else *first says where the first difference in the order of the tables is; may be NULL. */
bool config_tree_equal(const struct mr_config_key *keys, const void *a, const void *b,
                       struct config_tree_difference *first);

/* The key called `name`, or NULL. */
const struct mr_config_key *config_tree_find(const struct mr_config_key *keys, const char *name);

/* Must the key be written? A mapping must when a key in it must. */
bool config_tree_key_required(const struct mr_config_key *k);

/* Must any of them? */
bool config_tree_required(const struct mr_config_key *keys);

#endif
