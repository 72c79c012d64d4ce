/* Values of a configuration as a whole, by the tables that state its keys: what lies nested is reached too. */
#ifndef SERVICES_CONFIG_CONFIG_TREE_H
#define SERVICES_CONFIG_CONFIG_TREE_H

#include <millrace/service.h>

/* Frees what the struct at `base` owns (strings, lists), not the struct, and sets it to NULL. `keys` may be NULL. */
void config_tree_free(const struct mr_config_key *keys, void *base);

/* A deep copy of the `bytes` bytes at `from`; what `to` had is overwritten, not freed. False: no memory, and `to` owns nothing. */
bool config_tree_copy(const struct mr_config_key *keys, const void *from, void *to, size_t bytes);

/* Must the key be written? A mapping must when a key in it must. */
bool config_tree_key_required(const struct mr_config_key *k);

/* Must any of them? */
bool config_tree_required(const struct mr_config_key *keys);

#endif
