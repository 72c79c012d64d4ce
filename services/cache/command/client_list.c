#include "cache/command/client_list.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/cache.h"
#include "cache/client.h"
#include "cache/command/help.h"
#include "cache/command/join.h"
#include "cache/connection.h"

#define LINE_BYTES     768
#define ENDPOINT_BYTES (MR_ADDRESS_TEXT_MAX + 8)

/* -- lines ---------------------------------------------------------------------------------------------------------------- */

static void endpoint_text(const struct mr_endpoint *e, char text[ENDPOINT_BYTES])
{
    char address[MR_ADDRESS_TEXT_MAX];
    snprintf(text, ENDPOINT_BYTES, mr_address_is_ip4(&e->address) ? "%s:%u" : "[%s]:%u",
             mr_address_text(&e->address, address), e->port);
}

static void flags_text(const struct cache_connection *c, char flags[8])
{
    const struct cache_client *client = &c->client;
    unsigned n = 0;
    if (cache_client_subscribed(client))
        flags[n++] = 'P';
    if (client->multi)
        flags[n++] = 'x';
    if (c->state == CACHE_EXPECT_KEYS)
        flags[n++] = 'b';
    if (client->watch_failed)
        flags[n++] = 'd';
    if (c->close_after_reply)
        flags[n++] = 'c';
    if (!n)
        flags[n++] = 'N';
    flags[n] = 0;
}

static size_t line_write(const struct cache_connection *c, char line[LINE_BYTES])
{
    const struct cache_client *client = &c->client;
    struct mr_endpoint remote, local;
    char remote_text[ENDPOINT_BYTES], local_text[ENDPOINT_BYTES], flags[8];
    mr_time now = mr_now(c->cache->worker);
    mr_stream_remote(c->stream, &remote);
    mr_stream_local(c->stream, &local);
    endpoint_text(&remote, remote_text);
    endpoint_text(&local, local_text);
    flags_text(c, flags);
    uint64_t multi_bytes = 0;
    for (const struct cache_queued *q = client->queue; q; q = q->next)
        multi_bytes += q->packed.bytes + q->packed.rope_bytes;
    int n = snprintf(
        line, LINE_BYTES,
        "id=%llu addr=%s laddr=%s fd=-1 name=%s age=%llu idle=%llu flags=%s db=%u sub=%u psub=%u ssub=%u multi=%d "
        "qbuf=%llu qbuf-free=0 argv-mem=%llu multi-mem=%llu rbs=0 rbp=0 obl=0 oll=%u omem=%llu tot-mem=%llu "
        "events=r cmd=%s%s%s user=default redir=-1 resp=%u\n",
        (unsigned long long)client->id, remote_text, local_text, client->name,
        (unsigned long long)((now - client->connected) / MR_SECOND),
        (unsigned long long)((now - client->active) / MR_SECOND), flags, client->database, client->channels,
        client->patterns, client->shard_channels, client->multi ? (int)client->queued : -1,
        (unsigned long long)mr_stream_readable(c->stream), (unsigned long long)c->query.bytes,
        (unsigned long long)multi_bytes, c->output.first != NULL, (unsigned long long)c->output.bytes,
        (unsigned long long)(sizeof *c + c->query.bytes + multi_bytes + c->output.bytes),
        client->container ? client->container->name : "", client->container ? "|" : "",
        client->last ? client->last->name : "NULL", client->protocol);
    return n < LINE_BYTES ? (size_t)n : LINE_BYTES - 1;
}

/* Text of known length as clients want it: verbatim with RESP3. */
static void text_header(struct cache_reply *r, uint64_t n)
{
    char header[40];
    int length = r->protocol == 3 ? snprintf(header, sizeof header, "=%llu\r\ntxt:", (unsigned long long)n + 4)
                                  : snprintf(header, sizeof header, "$%llu\r\n", (unsigned long long)n);
    cache_reply_raw(r, header, (size_t)length);
}

enum cache_outcome cache_command_client_info(struct cache_call *call)
{
    char line[LINE_BYTES];
    size_t n = call->client ? line_write(call->client->connection, line) : 0;
    text_header(call->reply, n);
    cache_reply_raw(call->reply, line, n);
    cache_reply_raw(call->reply, "\r\n", 2);
    return CACHE_DONE;
}

/* -- which ----------------------------------------------------------------------------------------------------------------- */

enum client_type { ANY_TYPE, NORMAL, PUBSUB, MASTER, REPLICA };

static bool type_parse(struct cache_call *call, const struct cache_argument *a, enum client_type *type)
{
    static const struct {
        const char *word;
        enum client_type type;
    } types[] = {{"normal", NORMAL}, {"pubsub", PUBSUB}, {"master", MASTER}, {"replica", REPLICA}, {"slave", REPLICA}};
    for (unsigned i = 0; i < sizeof types / sizeof *types; i++)
        if (cache_argument_is(a, types[i].word)) {
            *type = types[i].type;
            return true;
        }
    cache_reply_error(call->reply, "ERR Unknown client type '%.*s'", (int)(a->length < 128 ? a->length : 128),
                      a->data ? (const char *)a->data : "");
    return false;
}

static bool type_is(const struct cache_connection *c, enum client_type type)
{
    return type == ANY_TYPE || type == (cache_client_subscribed(&c->client) ? PUBSUB : NORMAL);
}

/* Those of the RESP listener that are open. */
static struct cache_connection *next_client(struct cache *cache, uint32_t *at)
{
    while (*at < cache->connections_used) {
        struct cache_connection *c = &cache->connections[(*at)++];
        if (c->state != CACHE_CONNECTION_FREE && c->state != CACHE_EXPECT_CLOSE && c->stream &&
            c->protocol == &cache_protocol_resp)
            return c;
    }
    return NULL;
}

/* -- CLIENT LIST -------------------------------------------------------------------------------------------------------------- */

struct list_options {
    enum client_type type;
    unsigned first_id; /* position of the first; 0: any */
};

static bool list_options(struct cache_call *call, struct list_options *o)
{
    const struct cache_argument *argv = call->argv;
    *o = (struct list_options){ANY_TYPE, 0};
    if (call->argc == 2)
        return true;
    if (call->argc == 4 && cache_argument_is(&argv[2], "type"))
        return type_parse(call, &argv[3], &o->type);
    if (call->argc < 4 || !cache_argument_is(&argv[2], "id")) {
        cache_reply_syntax_error(call->reply);
        return false;
    }
    o->first_id = 3;
    for (unsigned i = 3; i < call->argc; i++) {
        int64_t id;
        if (!cache_argument_integer(&argv[i], &id)) {
            cache_reply_error(call->reply, "ERR Invalid client ID");
            return false;
        }
    }
    return true;
}

static bool listed(const struct cache_call *call, const struct list_options *o, const struct cache_connection *c)
{
    int64_t id;
    if (!o->first_id)
        return type_is(c, o->type);
    for (unsigned i = o->first_id; i < call->argc; i++)
        if (cache_argument_integer(&call->argv[i], &id) && (uint64_t)id == c->client.id)
            return true;
    return false;
}

enum cache_outcome cache_command_client_list(struct cache_call *call)
{
    struct list_options o;
    struct cache_reply text;
    const struct cache_reply *parts[] = {&text};
    char line[LINE_BYTES];
    uint32_t at = 0;
    if (!list_options(call, &o))
        return CACHE_DONE;
    cache_reply_init(&text, call->reply->memory, NULL, 0, 0, call->reply->limit);
    struct cache_reply *to = call->part ? call->reply : &text;
    for (struct cache_connection *c; (c = next_client(call->cache, &at));)
        if (listed(call, &o, c))
            cache_reply_raw(to, line, line_write(c, line));
    if (!call->part) {
        cache_reply_settle(&text);
        cache_join_client_list(call->reply, parts, 1);
        cache_reply_free(&text);
    }
    return CACHE_DONE;
}

static uint64_t reply_bytes(const struct cache_reply *r)
{
    uint64_t n = r->scratch_used;
    for (const struct cache_reply_block *b = r->first; b; b = b->next)
        n += b->length;
    return n;
}

void cache_join_client_list(struct cache_reply *r, const struct cache_reply *const *parts, unsigned n)
{
    uint64_t total = 0;
    for (unsigned i = 0; i < n; i++) {
        struct cache_reply_cursor c;
        cache_reply_cursor_init(&c, parts[i]);
        if (cache_reply_cursor_peek(&c) == '-') { /* every worker says the same of a bad option */
            cache_reply_copy(r, parts[i]);
            return;
        }
        total += reply_bytes(parts[i]);
    }
    text_header(r, total);
    for (unsigned i = 0; i < n; i++)
        cache_reply_copy(r, parts[i]);
    cache_reply_raw(r, "\r\n", 2);
}

/* -- CLIENT KILL -------------------------------------------------------------------------------------------------------------- */

struct kill_options {
    bool old_form; /* KILL ADDR, answered OK or an error */
    uint64_t id;
    const struct cache_argument *remote, *local;
    enum client_type type;
    bool nobody; /* another user than the only one */
    bool skip_me;
};

static bool kill_option(struct cache_call *call, const struct cache_argument *a, struct kill_options *o)
{
    int64_t id;
    if (cache_argument_is(&a[0], "id")) {
        if (!cache_argument_integer(&a[1], &id) || id <= 0) {
            cache_reply_error(call->reply, "ERR client-id should be greater than 0");
            return false;
        }
        o->id = (uint64_t)id;
    } else if (cache_argument_is(&a[0], "type")) {
        return type_parse(call, &a[1], &o->type);
    } else if (cache_argument_is(&a[0], "addr")) {
        o->remote = &a[1];
    } else if (cache_argument_is(&a[0], "laddr")) {
        o->local = &a[1];
    } else if (cache_argument_is(&a[0], "user")) {
        if (!(a[1].length == 7 && a[1].data && !memcmp(a[1].data, "default", 7))) {
            cache_reply_error(call->reply, "ERR No such user '%.*s'", (int)(a[1].length < 128 ? a[1].length : 128),
                              a[1].data ? (const char *)a[1].data : "");
            return false;
        }
    } else if (cache_argument_is(&a[0], "skipme")) {
        o->skip_me = cache_argument_is(&a[1], "yes");
        if (!o->skip_me && !cache_argument_is(&a[1], "no")) {
            cache_reply_syntax_error(call->reply);
            return false;
        }
    } else {
        cache_reply_syntax_error(call->reply);
        return false;
    }
    return true;
}

static bool kill_options(struct cache_call *call, struct kill_options *o)
{
    *o = (struct kill_options){.skip_me = true};
    if (call->argc == 3) {
        o->old_form = true;
        o->skip_me = false;
        o->remote = &call->argv[2];
        return true;
    }
    for (unsigned i = 2; i < call->argc; i += 2) {
        if (i + 1 == call->argc) {
            cache_reply_syntax_error(call->reply);
            return false;
        }
        if (!kill_option(call, &call->argv[i], o))
            return false;
    }
    return true;
}

static bool endpoint_is(const struct mr_endpoint *e, const struct cache_argument *wanted)
{
    char text[ENDPOINT_BYTES];
    endpoint_text(e, text);
    return wanted->data && strlen(text) == wanted->length && memcmp(text, wanted->data, wanted->length) == 0;
}

static bool condemned(const struct cache_call *call, const struct cache_connection *c, const struct kill_options *o)
{
    struct mr_endpoint remote, local;
    mr_stream_remote(c->stream, &remote);
    mr_stream_local(c->stream, &local);
    return (!o->id || c->client.id == o->id) && type_is(c, o->type) &&
           (!o->remote || endpoint_is(&remote, o->remote)) && (!o->local || endpoint_is(&local, o->local)) &&
           !(o->skip_me && c->client.id == call->asker);
}

enum cache_outcome cache_command_client_kill(struct cache_call *call)
{
    struct kill_options o;
    uint32_t at = 0;
    int64_t killed = 0;
    if (!kill_options(call, &o))
        return CACHE_DONE;
    for (struct cache_connection *c; (c = next_client(call->cache, &at));)
        if (condemned(call, c, &o)) {
            killed++;
            cache_connection_kill(c);
        }
    if (!o.old_form)
        cache_reply_integer(call->reply, killed);
    else if (killed)
        cache_reply_ok(call->reply);
    else
        cache_reply_error(call->reply, "ERR No such client");
    return CACHE_DONE;
}

/* The old form has found its client when one worker has; the new one counts. */
void cache_join_client_kill(struct cache_reply *r, const struct cache_reply *const *parts, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct cache_reply_cursor c;
        cache_reply_cursor_init(&c, parts[i]);
        if (cache_reply_cursor_peek(&c) == '+') {
            cache_reply_copy(r, parts[i]);
            return;
        }
    }
    cache_join_sum(r, parts, n);
}

/* -- CLIENT UNBLOCK and PAUSE ------------------------------------------------------------------------------------------------- */

enum cache_outcome cache_command_client_unblock(struct cache_call *call)
{
    int64_t id;
    bool error = call->argc == 4 && cache_argument_is(&call->argv[3], "error");
    uint32_t at = 0;
    if (call->argc > 4) {
        cache_reply_unknown_subcommand(call, "CLIENT");
        return CACHE_DONE;
    }
    if (call->argc == 4 && !error && !cache_argument_is(&call->argv[3], "timeout")) {
        cache_reply_error(call->reply, "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
        return CACHE_DONE;
    }
    if (!cache_argument_integer(&call->argv[2], &id)) {
        cache_reply_not_integer(call->reply);
        return CACHE_DONE;
    }
    bool found = false;
    for (struct cache_connection *c; !found && (c = next_client(call->cache, &at));)
        if (c->client.id == (uint64_t)id && c->state == CACHE_EXPECT_KEYS) {
            found = true;
            cache_connection_unblock(c, error);
        }
    cache_reply_integer(call->reply, found);
    return CACHE_DONE;
}

enum cache_outcome cache_command_client_pause(struct cache_call *call)
{
    int64_t ms;
    bool writes = call->argc == 4 && cache_argument_is(&call->argv[3], "write");
    if (call->argc > 4 || (call->argc == 4 && !writes && !cache_argument_is(&call->argv[3], "all"))) {
        cache_reply_error(call->reply, "ERR CLIENT PAUSE mode must be WRITE or ALL");
        return CACHE_DONE;
    }
    if (!cache_argument_integer(&call->argv[2], &ms)) {
        cache_reply_error(call->reply, "ERR timeout is not an integer or out of range");
        return CACHE_DONE;
    }
    if (ms < 0) {
        cache_reply_error(call->reply, "ERR timeout is negative");
        return CACHE_DONE;
    }
    cache_connections_pause(call->cache, (uint64_t)ms, writes);
    cache_reply_ok(call->reply);
    return CACHE_DONE;
}

enum cache_outcome cache_command_client_unpause(struct cache_call *call)
{
    cache_connections_pause(call->cache, 0, false);
    cache_reply_ok(call->reply);
    return CACHE_DONE;
}
