/* The joined table, for those who walk it: COMMAND, INFO commandstats, the list in README.md, tests. */
#ifndef SERVICES_CACHE_TABLE_OF_COMMANDS_H
#define SERVICES_CACHE_TABLE_OF_COMMANDS_H

#include "cache/command/command.h"

#define CACHE_COMMAND_NAME_MAX 32

unsigned cache_command_count(void);
const struct cache_command *cache_command_at(unsigned index); /* NULL: behind the last */
int cache_command_index(const struct cache_command *c);       /* -1: a subcommand, or not of the tables */

#endif
