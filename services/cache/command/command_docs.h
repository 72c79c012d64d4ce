/* COMMAND and its subcommands, all from the tables. */
#ifndef SERVICES_CACHE_COMMAND_DOCS_H
#define SERVICES_CACHE_COMMAND_DOCS_H

#include "cache/command/command.h"

cache_command_function cache_command_command, cache_command_command_count, cache_command_command_docs,
    cache_command_command_getkeys, cache_command_command_help, cache_command_command_info, cache_command_command_list;

#endif
