/* HELP of a container: the lines of Redis, as it prints them. */
#ifndef SERVICES_CACHE_HELP_H
#define SERVICES_CACHE_HELP_H

#include "cache/command/command.h"

/* "NAME <subcommand> ...", `lines` (ends with NULL), and HELP itself. */
enum cache_outcome cache_reply_help(struct cache_call *call, const char *name, const char *const *lines);

#endif
