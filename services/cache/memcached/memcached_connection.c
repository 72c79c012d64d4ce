/* A memcached connection: what arrives in pieces is gathered, requests are dispatched as commands. Text or binary is decided by
 * the first byte of the connection, as memcached does. */
#include <assert.h>
#include <string.h>

#include "cache/command/call.h"
#include "cache/connection.h"
#include "cache/memcached/binary_wire.h"
#include "cache/shard/shard.h"

enum expect {
    EXPECT_PROTOCOL,  /* the first byte */
    EXPECT_HEAD,      /* a line, or a binary header with extras and key */
    EXPECT_VALUE,     /* bytes of the value, into c->query */
    EXPECT_VALUE_END, /* CR LF behind it */
    EXPECT_KEYS,      /* a get has more keys, or its END is due: the LF of its line is left in the stream until then */
    EXPECT_SWALLOWED, /* bytes of no use */
};

struct cache_memcached_connection {
    uint8_t expect;
    bool binary;
    bool end_wrong; /* of the CR LF */
    uint8_t end_seen;
    uint8_t *head; /* the part of a head that has come, or the keys of a get that are left; of the clients' memory */
    uint32_t head_length, head_capacity;
    uint64_t swallow;
    struct mr_span keys; /* in `head` */
    struct cache_memcached_request request;
};

#define HEAD_BYTES_MIN 256u

static struct cache_memcached_connection *own(struct cache_connection *c)
{
    if (!c->memcached) {
        c->memcached = memory_alloc(&c->cache->clients, sizeof(struct cache_memcached_connection));
        if (c->memcached)
            memset(c->memcached, 0, sizeof(struct cache_memcached_connection));
    }
    return c->memcached;
}

static void release(struct cache_connection *c)
{
    struct cache_memcached_connection *m = c->memcached;
    if (!m)
        return;
    if (m->head)
        memory_free(&c->cache->clients, m->head, m->head_capacity);
    memory_free(&c->cache->clients, m, sizeof *m);
    c->memcached = NULL;
}

static enum cache_step out_of_memory(struct cache_connection *c)
{
    cache_connection_fail(c, CACHE_COUNTER_QUERY_OVERFLOWS, cache_memcached_answers[CACHE_MEMCACHED_NO_MEMORY].text);
    cache_packed_free(&c->query);
    return CACHE_STEP_WAIT;
}

static enum cache_step line_too_long(struct cache_connection *c)
{
    cache_connection_fail(c, CACHE_COUNTER_PROTOCOL_ERRORS,
                          cache_memcached_answers[CACHE_MEMCACHED_LINE_TOO_LONG].text);
    return CACHE_STEP_WAIT;
}

static bool head_append(struct cache_connection *c, const void *data, size_t n)
{
    struct cache_memcached_connection *m = c->memcached;
    size_t need = m->head_length + n, capacity = m->head_capacity ? m->head_capacity : HEAD_BYTES_MIN;
    while (capacity < need)
        capacity *= 2;
    capacity = capacity < MEMORY_LARGEST ? capacity : MEMORY_LARGEST;
    if (capacity < need)
        return false;
    if (capacity != m->head_capacity) {
        uint8_t *head = m->head ? memory_resize(&c->cache->clients, m->head, m->head_capacity, capacity)
                                : memory_alloc(&c->cache->clients, capacity);
        if (!head)
            return false;
        m->head = head;
        m->head_capacity = (uint32_t)capacity;
    }
    memcpy(m->head + m->head_length, data, n);
    m->head_length += (uint32_t)n;
    return true;
}

static void head_clear(struct cache_connection *c)
{
    struct cache_memcached_connection *m = c->memcached;
    if (m->head)
        memory_free(&c->cache->clients, m->head, m->head_capacity);
    m->head = NULL;
    m->head_length = m->head_capacity = 0;
}

static struct cache_memcached_limits limits_of(const struct cache_connection *c)
{
    return (struct cache_memcached_limits){.item_bytes_max = c->cache->config->item_bytes_max,
                                           .memory_max = c->cache->settings.memory_max,
                                           .now_ms = c->cache->now_ms};
}

/* -- dispatching ------------------------------------------------------------------------------------------------------------ */

static struct cache_argument name_of(const struct cache_command *command)
{
    return (struct cache_argument){(const uint8_t *)command->name, (uint32_t)strlen(command->name), NULL};
}

/* `key` and `value` may be NULL. */
static enum cache_step dispatch(struct cache_connection *c, const struct cache_memcached_request *r,
                                const struct mr_span *key, const struct mr_span *value)
{
    const struct cache_command *command = cache_memcached_command(r);
    struct cache_argument argv[4] = {name_of(command), {(const uint8_t *)r, sizeof *r, NULL}};
    unsigned argc = 2;
    if (key)
        argv[argc++] = (struct cache_argument){key->data, (uint32_t)key->length, NULL};
    if (value)
        argv[argc++] = (struct cache_argument){value->data, (uint32_t)value->length, NULL};
    c->client.active = mr_now(c->cache->worker);
    c->client.last = command;
    if (r->close)
        c->close_after_reply = true;
    return cache_dispatch(c, command, argv, argc);
}

/* Behind replies that are still with other workers it takes its place as a command does. */
static enum cache_step answer(struct cache_connection *c, enum cache_memcached_answer a)
{
    struct cache_memcached_request r = {.op = CACHE_MEMCACHED_REPLY, .answer = (uint8_t)a};
    if (!c->requests) {
        cache_memcached_text.answer(&c->cache->reply, &r, (struct mr_span){NULL, 0}, a, NULL);
        return CACHE_STEP_ON;
    }
    return dispatch(c, &r, NULL, NULL);
}

/* What lies in c->query is the command. */
static enum cache_step query_dispatch(struct cache_connection *c)
{
    struct cache *cache = c->cache;
    struct cache_memcached_connection *m = c->memcached;
    const struct cache_command *command = cache_memcached_command(&m->request);
    m->expect = EXPECT_HEAD;
    assert(c->query.argc == 4);
    cache_packed_arguments(&c->query, cache->argv);
    c->client.active = mr_now(cache->worker);
    c->client.last = command;
    enum cache_step step = cache_dispatch(c, command, cache->argv, 4);
    cache_packed_taken(&c->query, cache->argv);
    if (step != CACHE_STEP_WAIT)
        cache_packed_free(&c->query);
    return step;
}

/* -- a get of several keys -------------------------------------------------------------------------------------------------- */

/* One key, or the end. `taken` is the LF that was left. */
static enum cache_step keys_step(struct cache_connection *c, size_t *taken)
{
    struct cache_memcached_connection *m = c->memcached;
    struct mr_span key;
    if (cache_memcached_next_key(&m->keys, &key))
        return dispatch(c, &m->request, &key, NULL);
    *taken = 1;
    m->expect = EXPECT_HEAD;
    head_clear(c);
    return answer(c, CACHE_MEMCACHED_END);
}

/* The keys that are left, which may lie in the stream, are kept; the line's LF stays. */
static enum cache_step get_keep(struct cache_connection *c, const struct cache_memcached_request *r,
                                struct mr_span keys)
{
    struct cache_memcached_connection *m = c->memcached;
    m->request = *r;
    m->expect = EXPECT_KEYS;
    if (m->head_length) { /* the line was gathered: they lie in `head` already */
        m->keys = keys;
        return CACHE_STEP_ON;
    }
    if (keys.length > CACHE_MEMCACHED_GET_MAX)
        return line_too_long(c);
    if (keys.length && !head_append(c, keys.data, keys.length))
        return out_of_memory(c);
    m->keys = (struct mr_span){m->head, keys.length};
    return CACHE_STEP_ON;
}

static bool keys_valid(struct mr_span keys)
{
    struct mr_span key;
    while (cache_memcached_next_key(&keys, &key))
        if (key.length > CACHE_MEMCACHED_KEY_MAX)
            return false;
    return true;
}

/* `taken` counts the whole line. */
static enum cache_step get_begin(struct cache_connection *c, const struct cache_memcached_request *r,
                                 const struct cache_memcached_parts *parts, size_t *taken)
{
    struct cache_memcached_connection *m = c->memcached;
    if (parts->keys.length && !keys_valid(parts->keys)) {
        head_clear(c);
        return answer(c, CACHE_MEMCACHED_BAD_FORMAT);
    }
    enum cache_step step = dispatch(c, r, &parts->key, NULL);
    if (step != CACHE_STEP_WAIT && !parts->keys.length) {
        head_clear(c);
        return answer(c, CACHE_MEMCACHED_END);
    }
    --*taken;
    enum cache_step kept = get_keep(c, r, parts->keys);
    assert(m->expect == EXPECT_KEYS);
    return kept == CACHE_STEP_WAIT ? kept : step;
}

/* -- values ----------------------------------------------------------------------------------------------------------------- */

static bool query_add(struct cache_connection *c, const void *data, size_t n)
{
    struct cache_argument a = {data, (uint32_t)n, NULL};
    return cache_packed_add(&c->query, &a);
}

/* What comes in pieces: the command is built in c->query as they come. */
static enum cache_step value_begin(struct cache_connection *c, const struct cache_memcached_request *r,
                                   const struct cache_memcached_parts *parts)
{
    struct cache_memcached_connection *m = c->memcached;
    const struct cache_command *command = cache_memcached_command(r);
    m->request = *r;
    m->end_seen = 0;
    m->end_wrong = false;
    m->expect = EXPECT_VALUE;
    bool kept = query_add(c, command->name, strlen(command->name)) && query_add(c, r, sizeof *r) &&
                query_add(c, parts->key.data, parts->key.length);
    if (kept && r->value_bytes <= CACHE_SMALL_MAX) /* a longer one begins when our shard is at hand */
        kept = cache_packed_begin(&c->query, (uint32_t)r->value_bytes, &c->cache->store.memory);
    head_clear(c);
    return kept ? CACHE_STEP_ON : out_of_memory(c);
}

static enum cache_step value_end(struct cache_connection *c)
{
    struct cache_memcached_connection *m = c->memcached;
    if (!m->end_wrong)
        return query_dispatch(c);
    bool quiet = m->request.quiet && m->request.dialect == CACHE_MEMCACHED_TEXT;
    m->expect = EXPECT_HEAD;
    cache_packed_free(&c->query);
    return quiet ? CACHE_STEP_ON : answer(c, CACHE_MEMCACHED_BAD_CHUNK);
}

static enum cache_step value_end_step(struct cache_connection *c, const uint8_t *data, size_t n, size_t *taken)
{
    struct cache_memcached_connection *m = c->memcached;
    for (; *taken < n && m->end_seen < 2; ++*taken)
        m->end_wrong |= data[*taken] != (uint8_t) "\r\n"[m->end_seen++];
    return m->end_seen == 2 ? value_end(c) : CACHE_STEP_MORE;
}

static enum cache_step value_step(struct cache_connection *c, const uint8_t *data, size_t n, size_t *taken)
{
    struct cache_memcached_connection *m = c->memcached;
    struct cache *cache = c->cache;
    bool begun = c->query.missing != 0 || c->query.argc == 4;
    uint64_t left = begun ? c->query.missing : m->request.value_bytes;
    n = n < left ? n : (size_t)left;
    if (!cache_shard_free(cache)) { /* a long value takes memory of our shard */
        cache_connection_wait(c, CACHE_EXPECT_STORE);
        return CACHE_STEP_WAIT;
    }
    enum cache_room room = left > CACHE_SMALL_MAX || c->query.rope
                               ? cache_store_reserve(&cache->store, n + 2 * (uint64_t)CACHE_ALLOC_MAX)
                               : CACHE_ROOM_READY;
    if (room == CACHE_ROOM_LATER) {
        cache_connection_wait(c, CACHE_EXPECT_ROOM);
        return CACHE_STEP_WAIT;
    }
    if (room == CACHE_ROOM_READY && !begun &&
        !cache_packed_begin(&c->query, (uint32_t)m->request.value_bytes, &cache->store.memory))
        return out_of_memory(c);
    if (room == CACHE_ROOM_NEVER || !cache_packed_append(&c->query, data, n))
        return out_of_memory(c);
    *taken = n;
    if (c->query.bytes + c->query.rope_bytes > cache->settings.query_bytes_max)
        return out_of_memory(c);
    if (c->query.missing)
        return CACHE_STEP_MORE;
    m->expect = EXPECT_VALUE_END;
    return m->binary ? query_dispatch(c) : CACHE_STEP_ON;
}

/* -- heads ------------------------------------------------------------------------------------------------------------------ */

/* A head of `*taken` bytes up to `rest`, of which `n` bytes are there. */
static enum cache_step request_run(struct cache_connection *c, const struct cache_memcached_request *r,
                                   const struct cache_memcached_parts *parts, const uint8_t *rest, size_t n,
                                   size_t *taken)
{
    struct cache_memcached_connection *m = c->memcached;
    if (parts->has_value) {
        size_t end = m->binary ? 0 : 2;
        bool whole = r->value_bytes <= CACHE_SMALL_MAX && n >= r->value_bytes + end;
        if (!whole || (end && memcmp(rest + r->value_bytes, "\r\n", 2) != 0))
            return value_begin(c, r, parts);
        *taken += (size_t)r->value_bytes + end;
        enum cache_step step = dispatch(c, r, &parts->key, &(struct mr_span){rest, (size_t)r->value_bytes});
        head_clear(c);
        return step;
    }
    if (parts->swallow) {
        m->swallow = parts->swallow;
        m->expect = EXPECT_SWALLOWED;
    }
    if (r->op == CACHE_MEMCACHED_GET && r->dialect == CACHE_MEMCACHED_TEXT)
        return get_begin(c, r, parts, taken);
    enum cache_step step = CACHE_STEP_ON;
    if (r->op == CACHE_MEMCACHED_NOTHING)
        c->close_after_reply |= r->close;
    else if (r->op == CACHE_MEMCACHED_STATS)
        step = dispatch(c, r, m->binary ? &parts->key : &parts->keys, NULL);
    else
        step = dispatch(c, r, r->op < CACHE_MEMCACHED_REPLY ? &parts->key : NULL, NULL);
    head_clear(c);
    return step;
}

static bool may_be_long(const uint8_t *line, size_t n)
{
    return n >= 4 && line[0] == 'g' && (line[1] == 'e' || line[1] == 'a') && line[2] == 't';
}

static enum cache_step line_step(struct cache_connection *c, const uint8_t *data, size_t n, size_t *taken)
{
    struct cache_memcached_connection *m = c->memcached;
    struct cache_memcached_limits limits = limits_of(c);
    struct cache_memcached_request r;
    struct cache_memcached_parts parts;
    const uint8_t *end = memchr(data, '\n', n), *line = data;
    size_t line_bytes = end ? (size_t)(end + 1 - data) : n;
    if (m->head_length || !end) {
        if (!head_append(c, data, line_bytes))
            return line_too_long(c);
        if (m->head_length >
            (may_be_long(m->head, m->head_length) ? CACHE_MEMCACHED_GET_MAX : CACHE_MEMCACHED_LINE_MAX))
            return line_too_long(c);
        line = m->head;
    }
    *taken = line_bytes;
    if (!end)
        return CACHE_STEP_MORE;
    cache_memcached_line(line, m->head_length ? m->head_length : line_bytes, &limits, &r, &parts);
    return request_run(c, &r, &parts, end + 1, n - line_bytes, taken);
}

static enum cache_step binary_step(struct cache_connection *c, const uint8_t *data, size_t n, size_t *taken)
{
    struct cache_memcached_connection *m = c->memcached;
    struct cache_memcached_limits limits = limits_of(c);
    struct cache_memcached_request r;
    struct cache_memcached_parts parts;
    uint32_t before = m->head_length;
    int head;
    if (before) {
        size_t part = n < CACHE_MEMCACHED_HEAD_MAX - before ? n : CACHE_MEMCACHED_HEAD_MAX - before;
        if (!head_append(c, data, part))
            return out_of_memory(c);
        head = cache_memcached_binary_head(m->head, m->head_length, &limits, &r, &parts);
    } else {
        head = cache_memcached_binary_head(data, n, &limits, &r, &parts);
        if (head == 0 && !head_append(c, data, n))
            return out_of_memory(c);
    }
    if (head < 0) {
        cache_connection_fail(c, CACHE_COUNTER_PROTOCOL_ERRORS, NULL);
        return CACHE_STEP_WAIT;
    }
    *taken = head ? (size_t)head - before : m->head_length - before;
    return head ? request_run(c, &r, &parts, data + *taken, n - *taken, taken) : CACHE_STEP_MORE;
}

static enum cache_step step(struct cache_connection *c, const uint8_t *data, size_t n, size_t *taken)
{
    struct cache_memcached_connection *m = own(c);
    if (!m)
        return out_of_memory(c);
    switch ((enum expect)m->expect) {
    case EXPECT_PROTOCOL:
        m->binary = *data == CACHE_MEMCACHED_REQUEST_MAGIC;
        m->expect = EXPECT_HEAD;
        break;
    case EXPECT_HEAD:
        break;
    case EXPECT_VALUE:
        return value_step(c, data, n, taken);
    case EXPECT_VALUE_END:
        return value_end_step(c, data, n, taken);
    case EXPECT_KEYS:
        return keys_step(c, taken);
    case EXPECT_SWALLOWED:
        *taken = n < m->swallow ? n : (size_t)m->swallow;
        m->swallow -= *taken;
        m->expect = m->swallow ? EXPECT_SWALLOWED : EXPECT_HEAD;
        return CACHE_STEP_ON;
    }
    return m->binary ? binary_step(c, data, n, taken) : line_step(c, data, n, taken);
}

static void refuse(struct cache_connection *c, struct cache_reply *r, const char *reason)
{
    struct cache_memcached_connection *m = c->memcached;
    if (m && m->binary)
        return; /* nothing could be said that is not a reply to something */
    cache_reply_text(r, reason);
    cache_reply_raw(r, "\r\n", 2);
}

const struct cache_protocol cache_protocol_memcached = {.name = "memcached",
                                                        .too_many = "ERROR Too many open connections\r\n",
                                                        .step = step,
                                                        .refuse = refuse,
                                                        .release = release};
