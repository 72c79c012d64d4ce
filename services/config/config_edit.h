/* Changes to a configuration that is in memory, by words, over the tables that state its keys.
 *
 * Paths: "limits.header_bytes", "upstreams.app.backends.b1.weight", "routes[0].path". An element of a list is known by its `name`, where it
 * has none by its `address`, or by its place from 0 on; '/' separates as '.' does. Names may have dots: the longest that fits is meant.
 *
 * Whatever fails leaves the configuration as it was and says why in `message`, one line. */
#ifndef SERVICES_CONFIG_CONFIG_EDIT_H
#define SERVICES_CONFIG_CONFIG_EDIT_H

#include <millrace/service.h>

#define CONFIG_EDIT_PATH_MAX 512

struct config_edit {
    const struct mr_config_key *keys; /* of the whole; ends with name NULL */
    void *values;
    char *message;
    size_t message_bytes;
};

/* One value, or for a list of values all of them. */
bool config_edit_set(const struct config_edit *e, const char *path, const char *const *values, unsigned count);

/* Back to its preset, or to nothing where it is optional. */
bool config_edit_unset(const struct config_edit *e, const char *path);

/* A new element of the list at `path`, with every preset, in front of the one called `before` (NULL: at the end); its place in *at. Where
 * the elements have names, `name` (may be NULL) is given to it, and must not be there yet. */
bool config_edit_add(const struct config_edit *e, const char *path, const char *name, const char *before, unsigned *at);

/* An element of a list goes. */
bool config_edit_remove(const struct config_edit *e, const char *path);

/* Nothing that must be given is missing: what the file would be told off for, too. */
bool config_edit_complete(const struct config_edit *e);

/* What an element of a list is called: its name, else its address written to `text` (MR_ENDPOINT_TEXT_MAX bytes), else NULL. */
const char *config_edit_name(const struct mr_config_key *keys, const void *element, char *text);

#endif
