#include "cache/command/pubsub.h"

#include <stdio.h>
#include <string.h>

#include "cache/cache.h"
#include "cache/client.h"
#include "cache/command/help.h"
#include "cache/command/join.h"
#include "cache/command/session.h"
#include "cache/connection.h"
#include "cache/shard/shard.h"

enum kind { CHANNEL, PATTERN, SHARD_CHANNEL, KINDS };

struct topic { /* a channel or pattern that somebody on this worker listens to */
    struct cache_subscription *first;
    struct topic *next, **link; /* of its kind: patterns are tried one by one */
    uint32_t count;
    uint32_t length;
    uint8_t name[];
};

struct cache_subscription {
    struct cache_subscription *next, **link; /* of the topic */
    struct cache_subscription *of_client;    /* the client's next */
    struct cache_client *client;
    struct topic *topic;
    enum kind kind;
};

struct cache_pubsub {
    struct cache_table topics[KINDS];
    struct topic *all[KINDS];
};

static struct mr_span topic_key(const void *item)
{
    const struct topic *t = item;
    return (struct mr_span){t->name, t->length};
}

static const struct cache_table_type topic_type = {topic_key};

bool cache_pubsub_start(struct cache *cache)
{
    struct cache_pubsub *p = cache->pubsub = memory_alloc(&cache->clients, sizeof *p);
    if (!p)
        return false;
    *p = (struct cache_pubsub){0};
    for (unsigned k = 0; k < KINDS; k++)
        cache_table_init(&p->topics[k], &cache->clients, &topic_type, cache->shared->secret);
    return true;
}

/* -- topics and subscriptions ---------------------------------------------------------------------------------------------- */

static struct topic *topic_find(struct cache *cache, enum kind kind, struct mr_span name)
{
    struct cache_table *t = &cache->pubsub->topics[kind];
    return cache_table_find(t, cache_table_hash(t, name.data, name.length), name.data, name.length);
}

static struct topic *topic_make(struct cache *cache, enum kind kind, struct mr_span name)
{
    struct cache_table *table = &cache->pubsub->topics[kind];
    struct topic **all = &cache->pubsub->all[kind];
    struct topic *t = topic_find(cache, kind, name);
    if (t || !(t = memory_alloc(&cache->clients, sizeof *t + name.length)))
        return t;
    *t = (struct topic){.next = *all, .link = all, .length = (uint32_t)name.length};
    memcpy(t->name, name.data, name.length);
    if (!cache_table_insert(table, cache_table_hash(table, t->name, t->length), t)) {
        memory_free(&cache->clients, t, sizeof *t + name.length);
        return NULL;
    }
    if (*all)
        (*all)->link = &t->next;
    *all = t;
    return t;
}

static void topic_end(struct cache *cache, enum kind kind, struct topic *t)
{
    struct cache_table *table = &cache->pubsub->topics[kind];
    cache_table_remove(table, cache_table_hash(table, t->name, t->length), t->name, t->length);
    *t->link = t->next;
    if (t->next)
        t->next->link = t->link;
    memory_free(&cache->clients, t, sizeof *t + t->length);
}

static uint32_t *counter_of(struct cache_client *client, enum kind kind)
{
    return kind == PATTERN ? &client->patterns : kind == CHANNEL ? &client->channels : &client->shard_channels;
}

/* False: no memory. Subscribing twice is once. */
static bool subscribe(struct cache *cache, struct cache_client *client, enum kind kind, struct mr_span name)
{
    struct topic *t = topic_make(cache, kind, name);
    for (struct cache_subscription *s = client->subscriptions; t && s; s = s->of_client)
        if (s->topic == t)
            return true;
    struct cache_subscription *s = t ? memory_alloc(&cache->clients, sizeof *s) : NULL;
    if (!s) {
        if (t && !t->first)
            topic_end(cache, kind, t);
        return false;
    }
    *s = (struct cache_subscription){.next = t->first,
                                     .link = &t->first,
                                     .of_client = client->subscriptions,
                                     .client = client,
                                     .topic = t,
                                     .kind = kind};
    if (t->first)
        t->first->link = &s->next;
    t->first = s;
    t->count++;
    client->subscriptions = s;
    ++*counter_of(client, kind);
    return true;
}

/* Takes the subscription at *link off its client. */
static void unsubscribe(struct cache *cache, struct cache_subscription **link)
{
    struct cache_subscription *s = *link;
    struct topic *t = s->topic;
    *link = s->of_client;
    --*counter_of(s->client, s->kind);
    *s->link = s->next;
    if (s->next)
        s->next->link = s->link;
    if (--t->count == 0)
        topic_end(cache, s->kind, t);
    memory_free(&cache->clients, s, sizeof *s);
}

void cache_client_unsubscribe(struct cache *cache, struct cache_client *client)
{
    while (client->subscriptions)
        unsubscribe(cache, &client->subscriptions);
}

/* -- SUBSCRIBE and its kin ---------------------------------------------------------------------------------------------------- */

static const char *const subscribe_words[KINDS] = {"subscribe", "psubscribe", "ssubscribe"};
static const char *const unsubscribe_words[KINDS] = {"unsubscribe", "punsubscribe", "sunsubscribe"};

static int64_t subscriptions_of(const struct cache_client *c, enum kind kind)
{
    return kind == SHARD_CHANNEL ? c->shard_channels : c->channels + c->patterns;
}

static void confirm(struct cache_call *call, const char *word, const struct mr_span *name, enum kind kind)
{
    cache_reply_push(call->reply, 3);
    cache_reply_bulk_text(call->reply, word);
    if (name)
        cache_reply_bulk(call->reply, name->data, name->length);
    else
        cache_reply_null(call->reply);
    cache_reply_integer(call->reply, subscriptions_of(call->client, kind));
}

static enum cache_outcome subscribe_all(struct cache_call *call, enum kind kind)
{
    if (!call->client) {
        cache_reply_error(call->reply, "ERR %s isn't allowed in this context", subscribe_words[kind]);
        return CACHE_DONE;
    }
    for (unsigned i = 1; i < call->argc; i++) {
        struct mr_span name;
        if (!cache_call_key(call, &call->argv[i], &name))
            return CACHE_DONE;
        if (!subscribe(call->cache, call->client, kind, name)) {
            cache_reply_error(call->reply, "OOM no memory for another subscription");
            return CACHE_DONE;
        }
        confirm(call, subscribe_words[kind], &name, kind);
    }
    return CACHE_DONE;
}

static bool same_name(const struct topic *t, const struct cache_argument *a)
{
    return a->data && t->length == a->length && memcmp(t->name, a->data, t->length) == 0;
}

/* With names: each is confirmed, subscribed or not. Without: all of the kind. */
static enum cache_outcome unsubscribe_all(struct cache_call *call, enum kind kind)
{
    struct cache_client *client = call->client;
    if (!client)
        return CACHE_DONE;
    for (unsigned i = 1; i < call->argc; i++) {
        struct mr_span name = cache_argument_span(&call->argv[i]);
        for (struct cache_subscription **s = &client->subscriptions; *s; s = &(*s)->of_client)
            if ((*s)->kind == kind && same_name((*s)->topic, &call->argv[i])) {
                unsubscribe(call->cache, s);
                break;
            }
        confirm(call, unsubscribe_words[kind], name.data ? &name : NULL, kind);
    }
    if (call->argc > 1)
        return CACHE_DONE;
    if (*counter_of(client, kind) == 0)
        confirm(call, unsubscribe_words[kind], NULL, kind);
    for (struct cache_subscription **s = &client->subscriptions; *s;) {
        if ((*s)->kind != kind) {
            s = &(*s)->of_client;
            continue;
        }
        uint8_t bytes[CACHE_KEY_MAX];
        struct mr_span name = {bytes, (*s)->topic->length};
        memcpy(bytes, (*s)->topic->name, name.length); /* the topic may end with its last subscriber */
        unsubscribe(call->cache, s);
        confirm(call, unsubscribe_words[kind], &name, kind);
    }
    return CACHE_DONE;
}

static enum cache_outcome command_subscribe(struct cache_call *call)
{
    return subscribe_all(call, CHANNEL);
}

static enum cache_outcome command_psubscribe(struct cache_call *call)
{
    return subscribe_all(call, PATTERN);
}

static enum cache_outcome command_ssubscribe(struct cache_call *call)
{
    return subscribe_all(call, SHARD_CHANNEL);
}

static enum cache_outcome command_unsubscribe(struct cache_call *call)
{
    return unsubscribe_all(call, CHANNEL);
}

static enum cache_outcome command_punsubscribe(struct cache_call *call)
{
    return unsubscribe_all(call, PATTERN);
}

static enum cache_outcome command_sunsubscribe(struct cache_call *call)
{
    return unsubscribe_all(call, SHARD_CHANNEL);
}

/* -- PUBLISH -------------------------------------------------------------------------------------------------------------------- */

struct message {
    const char *word;
    const struct topic *pattern; /* NULL: by the channel itself */
    struct mr_span channel;
    const struct cache_argument *text;
};

static void message_write(struct cache_reply *r, const void *argument)
{
    const struct message *m = argument;
    cache_reply_push(r, m->pattern ? 4 : 3);
    cache_reply_bulk_text(r, m->word);
    if (m->pattern)
        cache_reply_bulk(r, m->pattern->name, m->pattern->length);
    cache_reply_bulk(r, m->channel.data, m->channel.length);
    cache_reply_argument(r, m->text);
}

/* A subscriber whose unread messages are over their limit is cut, and with it goes its subscription: the next is taken first. */
static uint64_t deliver(struct cache *cache, struct topic *t, const struct message *m)
{
    uint64_t n = 0;
    for (struct cache_subscription *s = t->first, *next; s; s = next, n++) {
        next = s->next;
        cache_client_push(s->client->connection, message_write, m);
        cache->counters[CACHE_COUNTER_MESSAGES_DELIVERED]++;
    }
    return n;
}

static uint64_t publish_here(struct cache *cache, bool shard_channel, struct mr_span channel,
                             const struct cache_argument *text)
{
    struct message m = {shard_channel ? "smessage" : "message", NULL, channel, text};
    struct topic *t = topic_find(cache, shard_channel ? SHARD_CHANNEL : CHANNEL, channel);
    uint64_t n = t ? deliver(cache, t, &m) : 0;
    for (struct topic *p = shard_channel ? NULL : cache->pubsub->all[PATTERN], *next; p; p = next) {
        next = p->next;
        struct message by_pattern = {"pmessage", p, channel, text};
        if (cache_glob_match(topic_key(p), channel, false))
            n += deliver(cache, p, &by_pattern);
    }
    return n;
}

static void sent_on(struct cache *here, struct cache_request *r, void *context)
{
}

/* Inside MULTI the other workers are told, but nobody waits for how many heard it there. */
static void send_on(struct cache_call *call)
{
    struct cache *cache = call->cache;
    for (unsigned i = 0; i < cache->workers; i++)
        if (i != cache->index)
            cache_request_ask(cache, call->command, call->argv, call->argc, i, sent_on, NULL);
}

static enum cache_outcome publish(struct cache_call *call, bool shard_channel)
{
    struct mr_span channel;
    if (!cache_call_key(call, &call->argv[1], &channel))
        return CACHE_DONE;
    if (!call->part || call->cache->index == 0)
        call->cache->counters[CACHE_COUNTER_MESSAGES_PUBLISHED]++;
    uint64_t n = publish_here(call->cache, shard_channel, channel, &call->argv[2]);
    if (!call->part && call->cache->workers > 1)
        send_on(call);
    cache_reply_integer(call->reply, (int64_t)n);
    return CACHE_DONE;
}

enum cache_outcome cache_command_publish(struct cache_call *call)
{
    return publish(call, false);
}

enum cache_outcome cache_command_spublish(struct cache_call *call)
{
    return publish(call, true);
}

/* -- PUBSUB ---------------------------------------------------------------------------------------------------------------------- */

static enum cache_outcome names_reply(struct cache_call *call, enum kind kind)
{
    struct mr_span pattern = {NULL, 0};
    uint64_t n = 0;
    if (call->argc > 3) {
        cache_reply_unknown_subcommand(call, "PUBSUB");
        return CACHE_DONE;
    }
    if (call->argc == 3)
        pattern = cache_argument_span(&call->argv[2]);
    struct cache_reply_block *header = cache_reply_defer(call->reply);
    for (const struct topic *t = call->cache->pubsub->all[kind]; t; t = t->next)
        if (!pattern.data || cache_glob_match(pattern, topic_key(t), false)) {
            cache_reply_bulk(call->reply, t->name, t->length);
            n++;
        }
    cache_reply_defer_end(call->reply, header, '*', n);
    return CACHE_DONE;
}

enum cache_outcome cache_command_pubsub_channels(struct cache_call *call)
{
    return names_reply(call, CHANNEL);
}

enum cache_outcome cache_command_pubsub_shardchannels(struct cache_call *call)
{
    return names_reply(call, SHARD_CHANNEL);
}

static enum cache_outcome counts_reply(struct cache_call *call, enum kind kind)
{
    cache_reply_array(call->reply, 2 * (call->argc - 2));
    for (unsigned i = 2; i < call->argc; i++) {
        struct mr_span name = cache_argument_span(&call->argv[i]);
        const struct topic *t = name.data ? topic_find(call->cache, kind, name) : NULL;
        cache_reply_argument(call->reply, &call->argv[i]);
        cache_reply_integer(call->reply, t ? t->count : 0);
    }
    return CACHE_DONE;
}

enum cache_outcome cache_command_pubsub_numsub(struct cache_call *call)
{
    return counts_reply(call, CHANNEL);
}

enum cache_outcome cache_command_pubsub_shardnumsub(struct cache_call *call)
{
    return counts_reply(call, SHARD_CHANNEL);
}

enum cache_outcome cache_command_pubsub_numpat(struct cache_call *call)
{
    cache_reply_integer(call->reply, (int64_t)call->cache->pubsub->topics[PATTERN].count);
    return CACHE_DONE;
}

void cache_join_counts(struct cache_reply *r, const struct cache_reply *const *parts, unsigned n)
{
    struct cache_reply_cursor c[CACHE_WORKERS_MAX];
    int64_t pairs = 0;
    for (unsigned i = 0; i < n; i++) {
        cache_reply_cursor_init(&c[i], parts[i]);
        pairs = cache_reply_cursor_number(&c[i]) / 2;
    }
    cache_reply_array(r, 2 * (uint64_t)pairs);
    for (; pairs > 0; pairs--) {
        int64_t sum = 0;
        for (unsigned i = 0; i < n; i++) { /* the name is the same in each */
            int64_t length = cache_reply_cursor_number(&c[i]);
            if (i == 0) {
                char header[32];
                cache_reply_raw(r, header, (size_t)snprintf(header, sizeof header, "$%lld\r\n", (long long)length));
            }
            cache_reply_cursor_copy(&c[i], i == 0 ? r : NULL, (uint64_t)length + 2);
            sum += cache_reply_cursor_number(&c[i]);
        }
        cache_reply_integer(r, sum);
    }
}

static enum cache_outcome command_pubsub_help(struct cache_call *call)
{
    static const char *const lines[] = {
        "PUBSUB <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CHANNELS [<pattern>]",
        "    Return the currently active channels matching a <pattern> (default: '*').",
        "NUMPAT",
        "    Return number of subscriptions to patterns.",
        "NUMSUB [<channel> ...]",
        "    Return the number of subscribers for the specified channels, excluding",
        "    pattern subscriptions(default: no channels).",
        "SHARDCHANNELS [<pattern>]",
        "    Return the currently active shard level channels matching a <pattern> (default: '*').",
        "SHARDNUMSUB [<shardchannel> ...]",
        "    Return the number of subscribers for the specified shard level channel(s)",
        "HELP",
        "    Prints this help.",
    };
    cache_reply_array(call->reply, sizeof lines / sizeof *lines);
    for (unsigned i = 0; i < sizeof lines / sizeof *lines; i++)
        cache_reply_simple(call->reply, lines[i]);
    return CACHE_DONE;
}

#define SAID   (CACHE_PUBSUB | CACHE_LOADING | CACHE_STALE)
#define LISTEN (SAID | CACHE_NOSCRIPT)
#define FANNED (SAID | CACHE_FAN_OUT)

static const struct cache_command pubsub_subcommands[] = {{.name = "channels",
                                                           .function = cache_command_pubsub_channels,
                                                           .arity = -2,
                                                           .flags = FANNED,
                                                           .group = "pubsub",
                                                           .sentence = "channels that somebody listens to"},
                                                          {.name = "numpat",
                                                           .function = cache_command_pubsub_numpat,
                                                           .arity = 2,
                                                           .flags = FANNED,
                                                           .group = "pubsub",
                                                           .sentence = "number of patterns"},
                                                          {.name = "numsub",
                                                           .function = cache_command_pubsub_numsub,
                                                           .arity = -2,
                                                           .flags = FANNED,
                                                           .group = "pubsub",
                                                           .sentence = "subscribers of channels"},
                                                          {.name = "shardchannels",
                                                           .function = cache_command_pubsub_shardchannels,
                                                           .arity = -2,
                                                           .flags = FANNED,
                                                           .group = "pubsub",
                                                           .sentence = "shard channels that somebody listens to"},
                                                          {.name = "shardnumsub",
                                                           .function = cache_command_pubsub_shardnumsub,
                                                           .arity = -2,
                                                           .flags = FANNED,
                                                           .group = "pubsub",
                                                           .sentence = "subscribers of shard channels"},
                                                          {.name = "help",
                                                           .function = command_pubsub_help,
                                                           .arity = 2,
                                                           .flags = CACHE_LOADING | CACHE_STALE,
                                                           .group = "pubsub",
                                                           .sentence = "the subcommands"},
                                                          {.name = NULL}};

const struct cache_command cache_commands_pubsub[] = {{.name = "publish",
                                                       .function = cache_command_publish,
                                                       .arity = 3,
                                                       .flags = FANNED | CACHE_FAST,
                                                       .group = "pubsub",
                                                       .sentence = "sends a message to a channel"},
                                                      {.name = "subscribe",
                                                       .function = command_subscribe,
                                                       .arity = -2,
                                                       .flags = LISTEN,
                                                       .group = "pubsub",
                                                       .sentence = "listens to channels"},
                                                      {.name = "unsubscribe",
                                                       .function = command_unsubscribe,
                                                       .arity = -1,
                                                       .flags = LISTEN,
                                                       .group = "pubsub",
                                                       .sentence = "listens no more"},
                                                      {.name = "psubscribe",
                                                       .function = command_psubscribe,
                                                       .arity = -2,
                                                       .flags = LISTEN,
                                                       .group = "pubsub",
                                                       .sentence = "listens to every channel that a pattern matches"},
                                                      {.name = "punsubscribe",
                                                       .function = command_punsubscribe,
                                                       .arity = -1,
                                                       .flags = LISTEN,
                                                       .group = "pubsub",
                                                       .sentence = "listens to patterns no more"},
                                                      {.name = "spublish",
                                                       .function = cache_command_spublish,
                                                       .arity = 3,
                                                       .flags = FANNED | CACHE_FAST,
                                                       .first_key = 1,
                                                       .last_key = 1,
                                                       .key_step = 1,
                                                       .group = "pubsub",
                                                       .sentence = "sends a message to a shard channel"},
                                                      {.name = "ssubscribe",
                                                       .function = command_ssubscribe,
                                                       .arity = -2,
                                                       .flags = LISTEN,
                                                       .first_key = 1,
                                                       .last_key = -1,
                                                       .key_step = 1,
                                                       .group = "pubsub",
                                                       .sentence = "listens to shard channels"},
                                                      {.name = "sunsubscribe",
                                                       .function = command_sunsubscribe,
                                                       .arity = -1,
                                                       .flags = LISTEN,
                                                       .first_key = 1,
                                                       .last_key = -1,
                                                       .key_step = 1,
                                                       .group = "pubsub",
                                                       .sentence = "listens to shard channels no more"},
                                                      {.name = "pubsub",
                                                       .arity = -2,
                                                       .flags = CACHE_CONTAINER,
                                                       .group = "pubsub",
                                                       .sentence = "what is listened to",
                                                       .subcommands = pubsub_subcommands},
                                                      {.name = NULL}};
