#include "cache/command/command_docs.h"
#include "cache/command/category.h"

#include <stdio.h>
#include <string.h>

#include "cache/command/table.h"

/* Requests of memcached are commands to us, not to RESP clients: their table is the last. */
static unsigned shown_count(void)
{
    unsigned n = cache_command_count();
    while (n && !strcmp(cache_command_at(n - 1)->group, "memcached"))
        n--;
    return n;
}

/* In the order in which Redis prints them. */
static const struct {
    uint32_t flag;
    const char *name;
} flag_names[] = {
    {CACHE_WRITE, "write"},
    {CACHE_READONLY, "readonly"},
    {CACHE_DENYOOM, "denyoom"},
    {CACHE_ADMIN, "admin"},
    {CACHE_PUBSUB, "pubsub"},
    {CACHE_NOSCRIPT, "noscript"},
    {CACHE_BLOCKING, "blocking"},
    {CACHE_LOADING, "loading"},
    {CACHE_STALE, "stale"},
    {CACHE_SKIP_SLOWLOG, "skip_slowlog"},
    {CACHE_FAST, "fast"},
    {CACHE_NO_AUTH, "no_auth"},
    {CACHE_MOVABLE_KEYS, "movablekeys"},
    {CACHE_NO_ASYNC_LOADING, "no_async_loading"},
    {CACHE_NO_MULTI, "no_multi"},
    {CACHE_ALLOW_BUSY, "allow_busy"},
};

static void categories_reply(struct cache_reply *r, uint32_t categories)
{
    char name[32];
    cache_reply_set(r, (uint64_t)__builtin_popcount(categories));
    for (unsigned i = 0; cache_category_names[i]; i++) {
        snprintf(name, sizeof name, "@%s", cache_category_names[i]);
        if (categories >> i & 1)
            cache_reply_simple(r, name);
    }
}

static void name_reply(struct cache_reply *r, const struct cache_command *container, const struct cache_command *c)
{
    char name[2 * CACHE_COMMAND_NAME_MAX + 2];
    if (container)
        snprintf(name, sizeof name, "%s|%s", container->name, c->name);
    cache_reply_bulk_text(r, container ? name : c->name);
}

static void info_reply(struct cache_reply *r, const struct cache_command *container, const struct cache_command *c)
{
    unsigned flags = 0, subcommands = 0;
    cache_reply_array(r, 10);
    name_reply(r, container, c);
    cache_reply_integer(r, c->arity);
    for (unsigned i = 0; i < sizeof flag_names / sizeof *flag_names; i++)
        flags += (c->flags & flag_names[i].flag) != 0;
    cache_reply_set(r, flags);
    for (unsigned i = 0; i < sizeof flag_names / sizeof *flag_names; i++)
        if (c->flags & flag_names[i].flag)
            cache_reply_simple(r, flag_names[i].name);
    cache_reply_integer(r, c->first_key);
    cache_reply_integer(r, c->last_key);
    cache_reply_integer(r, c->key_step);
    categories_reply(r, cache_command_categories(c));
    cache_reply_array(r, 0); /* tips */
    cache_reply_array(r, 0); /* key specifications: the positions above say it */
    while (c->subcommands && c->subcommands[subcommands].name)
        subcommands++;
    cache_reply_array(r, subcommands);
    for (unsigned i = 0; i < subcommands; i++)
        info_reply(r, c, &c->subcommands[i]);
}

static enum cache_outcome info_all(struct cache_call *call)
{
    cache_reply_array(call->reply, shown_count());
    for (unsigned i = 0; i < shown_count(); i++)
        info_reply(call->reply, NULL, cache_command_at(i));
    return CACHE_DONE;
}

enum cache_outcome cache_command_command(struct cache_call *call)
{
    return info_all(call);
}

enum cache_outcome cache_command_command_count(struct cache_call *call)
{
    cache_reply_integer(call->reply, shown_count());
    return CACHE_DONE;
}

/* "get" or "config|get". */
static const struct cache_command *named(const struct cache_argument *a, const struct cache_command **container)
{
    const uint8_t *bar = a->data ? memchr(a->data, '|', a->length) : NULL;
    *container = NULL;
    if (!a->data)
        return NULL;
    if (!bar)
        return cache_command_find(a->data, a->length);
    size_t n = (size_t)(bar - a->data);
    *container = cache_command_find(a->data, n);
    return *container ? cache_subcommand_find(*container, bar + 1, a->length - n - 1) : NULL;
}

enum cache_outcome cache_command_command_info(struct cache_call *call)
{
    if (call->argc == 2)
        return info_all(call);
    cache_reply_array(call->reply, call->argc - 2);
    for (unsigned i = 2; i < call->argc; i++) {
        const struct cache_command *container, *c = named(&call->argv[i], &container);
        if (c)
            info_reply(call->reply, container, c);
        else
            cache_reply_null(call->reply);
    }
    return CACHE_DONE;
}

/* -- DOCS ------------------------------------------------------------------------------------------------------------------ */

static void docs_reply(struct cache_reply *r, const struct cache_command *container, const struct cache_command *c)
{
    unsigned n = 0;
    while (c->subcommands && c->subcommands[n].name)
        n++;
    name_reply(r, container, c);
    cache_reply_map(r, n ? 3 : 2);
    cache_reply_bulk_text(r, "summary");
    cache_reply_bulk_text(r, c->sentence ? c->sentence : "");
    cache_reply_bulk_text(r, "group");
    cache_reply_bulk_text(r, c->group ? c->group : "");
    if (!n)
        return;
    cache_reply_bulk_text(r, "subcommands");
    cache_reply_map(r, n);
    for (unsigned i = 0; i < n; i++)
        docs_reply(r, c, &c->subcommands[i]);
}

enum cache_outcome cache_command_command_docs(struct cache_call *call)
{
    const struct cache_command *container;
    uint64_t found = 0;
    if (call->argc == 2) {
        cache_reply_map(call->reply, shown_count());
        for (unsigned i = 0; i < shown_count(); i++)
            docs_reply(call->reply, NULL, cache_command_at(i));
        return CACHE_DONE;
    }
    for (unsigned i = 2; i < call->argc; i++)
        found += named(&call->argv[i], &container) != NULL;
    cache_reply_map(call->reply, found);
    for (unsigned i = 2; i < call->argc; i++) {
        const struct cache_command *c = named(&call->argv[i], &container);
        if (c)
            docs_reply(call->reply, container, c);
    }
    return CACHE_DONE;
}

/* -- LIST and GETKEYS --------------------------------------------------------------------------------------------------------- */

static bool list_matches(const struct cache_call *call, const struct cache_command *c)
{
    if (call->argc == 2)
        return true;
    struct mr_span value = cache_argument_span(&call->argv[4]);
    if (cache_argument_is(&call->argv[3], "pattern"))
        return value.data && cache_glob_match(value, (struct mr_span){(const uint8_t *)c->name, strlen(c->name)}, true);
    if (cache_argument_is(&call->argv[3], "module"))
        return false;
    for (unsigned i = 0; cache_category_names[i]; i++)
        if (cache_argument_is(&call->argv[4], cache_category_names[i]))
            return cache_command_categories(c) >> i & 1;
    return false;
}

enum cache_outcome cache_command_command_list(struct cache_call *call)
{
    bool filter = call->argc == 5 && cache_argument_is(&call->argv[2], "filterby") &&
                  (cache_argument_is(&call->argv[3], "pattern") || cache_argument_is(&call->argv[3], "module") ||
                   cache_argument_is(&call->argv[3], "aclcat"));
    uint64_t n = 0;
    if (call->argc != 2 && !filter) {
        cache_reply_syntax_error(call->reply);
        return CACHE_DONE;
    }
    for (unsigned i = 0; i < shown_count(); i++)
        n += list_matches(call, cache_command_at(i));
    cache_reply_set(call->reply, n);
    for (unsigned i = 0; i < shown_count(); i++)
        if (list_matches(call, cache_command_at(i)))
            cache_reply_bulk_text(call->reply, cache_command_at(i)->name);
    return CACHE_DONE;
}

#define KEYS_MAX 1024

enum cache_outcome cache_command_command_getkeys(struct cache_call *call)
{
    const struct cache_argument *argv = call->argv + 2;
    unsigned argc = call->argc - 2, positions[KEYS_MAX];
    const struct cache_command *c = argv[0].data ? cache_command_find(argv[0].data, argv[0].length) : NULL;
    if (c && c->flags & CACHE_CONTAINER && argc > 1 && argv[1].data)
        c = cache_subcommand_find(c, argv[1].data, argv[1].length);
    if (!c) {
        cache_reply_error(call->reply, "ERR Invalid command specified");
        return CACHE_DONE;
    }
    if (!c->first_key && !(c->flags & CACHE_MOVABLE_KEYS)) {
        cache_reply_error(call->reply, "ERR The command has no key arguments");
        return CACHE_DONE;
    }
    if (c->arity >= 0 ? argc != (unsigned)c->arity : argc < (unsigned)-c->arity) {
        cache_reply_error(call->reply, "ERR Invalid number of arguments specified for command");
        return CACHE_DONE;
    }
    int n = cache_command_keys(c, argv, argc, positions, KEYS_MAX);
    if (n <= 0) {
        cache_reply_error(call->reply, "ERR Invalid arguments specified for command");
        return CACHE_DONE;
    }
    cache_reply_array(call->reply, (uint64_t)n);
    for (int i = 0; i < n; i++)
        cache_reply_argument(call->reply, &argv[positions[i]]);
    return CACHE_DONE;
}

enum cache_outcome cache_command_command_help(struct cache_call *call)
{
    static const char *const lines[] = {
        "COMMAND <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "(no subcommand)",
        "    Return details about all commands.",
        "COUNT",
        "    Return the total number of commands in this server.",
        "LIST [FILTERBY (MODULE <module-name>|ACLCAT <cat>|PATTERN <pattern>)]",
        "    Return a list of all commands in this server.",
        "INFO [<command-name> ...]",
        "    Return details about multiple commands.",
        "DOCS [<command-name> ...]",
        "    Return what multiple commands do.",
        "GETKEYS <full-command>",
        "    Return the keys from a full command.",
        "HELP",
        "    Prints this help.",
    };
    cache_reply_array(call->reply, sizeof lines / sizeof *lines);
    for (unsigned i = 0; i < sizeof lines / sizeof *lines; i++)
        cache_reply_simple(call->reply, lines[i]);
    return CACHE_DONE;
}
