/* Whether a session may run a command at all, decided in the order in which Redis decides it. */
#include <stdio.h>
#include <string.h>

#include "cache/cache.h"
#include "cache/client.h"
#include "cache/command/call.h"

#define SHOWN_MAX 128 /* bytes of a name or of all arguments that an error repeats */

static void unknown_command(struct cache_reply *reply, const struct cache_argument *argv, unsigned argc)
{
    char text[SHOWN_MAX + 4];
    size_t used = 0;
    for (unsigned i = 1; i < argc && used < SHOWN_MAX; i++) {
        int room = (int)(SHOWN_MAX - used), n = argv[i].rope ? 0 : (int)argv[i].length;
        int written = snprintf(text + used, sizeof text - used, "'%.*s' ", n < room ? n : room,
                               argv[i].rope ? "" : (const char *)argv[i].data);
        used += written < (int)(sizeof text - used) ? (size_t)written : sizeof text - used - 1;
    }
    text[used] = 0;
    int name = argv[0].rope ? 0 : (int)(argv[0].length < SHOWN_MAX ? argv[0].length : SHOWN_MAX);
    cache_reply_error(reply, "ERR unknown command '%.*s', with args beginning with: %s", name,
                      (const char *)argv[0].data, text);
}

static void unknown_subcommand(struct cache_reply *reply, const struct cache_command *container,
                               const struct cache_argument *a)
{
    char upper[40];
    size_t n = 0;
    for (; container->name[n] && n < sizeof upper - 1; n++)
        upper[n] = container->name[n] >= 'a' && container->name[n] <= 'z' ? (char)(container->name[n] - 32)
                                                                          : container->name[n];
    upper[n] = 0;
    cache_reply_error(reply, "ERR unknown subcommand '%.*s'. Try %s HELP.",
                      (int)(a->length < SHOWN_MAX ? a->length : SHOWN_MAX), a->rope ? "" : (const char *)a->data,
                      upper);
}

static bool arity_holds(const struct cache_command *c, unsigned argc)
{
    return c->arity >= 0 ? argc == (unsigned)c->arity : argc >= (unsigned)-c->arity;
}

/* A RESP2 subscriber's connection carries messages: only what changes that, or ends it, may be said on it. */
static bool subscriber_may(const struct cache_command *c)
{
    static const char *const names[] = {"subscribe",    "unsubscribe", "psubscribe", "punsubscribe", "ssubscribe",
                                        "sunsubscribe", "ping",        "quit",       "reset"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(c->name, names[i]))
            return true;
    return false;
}

static const struct cache_command *find(const struct cache_argument *argv, unsigned argc, struct cache_reply *reply,
                                        const struct cache_command **container)
{
    const struct cache_command *c = argv[0].rope ? NULL : cache_command_find(argv[0].data, argv[0].length);
    *container = NULL;
    if (!c) {
        unknown_command(reply, argv, argc);
        return NULL;
    }
    if (!(c->flags & CACHE_CONTAINER) || argc < 2)
        return c;
    const struct cache_command *sub = argv[1].rope ? NULL : cache_subcommand_find(c, argv[1].data, argv[1].length);
    if (!sub) {
        unknown_subcommand(reply, c, &argv[1]);
        return NULL;
    }
    *container = c;
    return sub;
}

/* EXEC with arguments ends the transaction as any EXEC does. */
static void refuse_arity(struct cache *cache, struct cache_client *client, const struct cache_command *c,
                         struct cache_reply *reply)
{
    if (!(c->flags & CACHE_QUEUED_SHARDS)) {
        cache_reply_arity(reply, client->container, c);
        return;
    }
    cache_reply_error(reply, "EXECABORT Transaction discarded because of: wrong number of arguments for '%s' command",
                      c->name);
    cache_client_discard(cache, client);
    cache_client_unwatch(cache, client);
}

/* Each worker answers such a command for itself; in a transaction only one would. PUBLISH tells the others without their answer. */
static bool asks_everybody(const struct cache *cache, const struct cache_command *c)
{
    return cache->workers > 1 && c->flags & CACHE_FAN_OUT && strcmp(c->group, "pubsub") != 0;
}

static const struct cache_command *admit(struct cache *cache, struct cache_client *client,
                                         const struct cache_argument *argv, unsigned argc, struct cache_reply *reply)
{
    const struct cache_command *container, *c = find(argv, argc, reply, &container);
    if (!c)
        return NULL;
    client->container = container;
    if (__builtin_expect(!arity_holds(c, argc), 0)) {
        refuse_arity(cache, client, c, reply);
        return NULL;
    }
    if (!c->function) { /* a container alone, and it has no use of its own */
        cache_reply_arity(reply, NULL, c);
        return NULL;
    }
    if (__builtin_expect(!client->authenticated, 0) && !(c->flags & CACHE_NO_AUTH)) {
        cache_reply_error(reply, "NOAUTH Authentication required.");
        return NULL;
    }
    if (__builtin_expect(cache_client_subscribed(client), 0) && client->protocol == 2 && !subscriber_may(c)) {
        cache_reply_error(
            reply,
            "ERR Can't execute '%s': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed "
            "in this context",
            c->name);
        return NULL;
    }
    if (__builtin_expect(client->multi, 0) && (c->flags & CACHE_NO_MULTI || asks_everybody(cache, c))) {
        cache_reply_error(reply, "ERR Command not allowed inside a transaction");
        return NULL;
    }
    return c;
}

const struct cache_command *cache_call_admit(struct cache *cache, struct cache_client *client,
                                             const struct cache_argument *argv, unsigned argc,
                                             struct cache_reply *reply)
{
    const struct cache_command *c = admit(cache, client, argv, argc, reply);
    if (!c && client->multi)
        client->multi_failed = true;
    return c;
}
