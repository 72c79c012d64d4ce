/* The categories of commands, as ACL CAT lists them and COMMAND INFO prints them. */
#ifndef SERVICES_CACHE_COMMAND_CATEGORY_H
#define SERVICES_CACHE_COMMAND_CATEGORY_H

#include "cache/command/command.h"

extern const char *const cache_category_names[]; /* in Redis's order; ends with NULL */
/* A bit for each, by its position in the names. */
uint32_t cache_command_categories(const struct cache_command *c);

#endif
