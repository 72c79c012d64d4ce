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
