/* Private to config_edit*.c: where a path leads. */
#ifndef SERVICES_CONFIG_CONFIG_EDIT_FIND_H
#define SERVICES_CONFIG_CONFIG_EDIT_FIND_H

#include "config/config_edit.h"

struct config_target {
    const struct mr_config_key *key;
    char *base;  /* of the struct that the key is in */
    int element; /* of the list that the key is; -1: the key itself */
};

bool config_edit_find(const struct config_edit *e, const char *path, struct config_target *out);

/* The place of the element called `name`, or -1; `length` of it. */
int config_edit_place(const struct mr_config_key *list, const char *base, const char *name, size_t length);

bool config_edit_refuse(const struct config_edit *e, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline unsigned *config_target_count(const struct mr_config_key *k, char *base)
{
    return (unsigned *)(base + k->count_offset);
}
static inline char **config_target_elements(const struct mr_config_key *k, char *base)
{
    return (char **)(base + k->offset);
}

#endif
