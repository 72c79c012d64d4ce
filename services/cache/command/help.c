#include "cache/command/help.h"

#include <stdio.h>

enum cache_outcome cache_reply_help(struct cache_call *call, const char *name, const char *const *lines)
{
    char first[100];
    unsigned n = 0;
    while (lines[n])
        n++;
    snprintf(first, sizeof first, "%s <subcommand> [<arg> [value] [opt] ...]. Subcommands are:", name);
    cache_reply_array(call->reply, n + 3);
    cache_reply_simple(call->reply, first);
    for (unsigned i = 0; i < n; i++)
        cache_reply_simple(call->reply, lines[i]);
    cache_reply_simple(call->reply, "HELP");
    cache_reply_simple(call->reply, "    Prints this help.");
    return CACHE_DONE;
}

#define SHOWN_MAX 128

void cache_reply_unknown_subcommand(struct cache_call *call, const char *name)
{
    const struct cache_argument *a = &call->argv[1];
    cache_reply_error(call->reply, "ERR unknown subcommand or wrong number of arguments for '%.*s'. Try %s HELP.",
                      (int)(a->length < SHOWN_MAX ? a->length : SHOWN_MAX), a->rope ? "" : (const char *)a->data, name);
}
