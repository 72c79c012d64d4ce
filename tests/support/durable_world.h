/* Durable queues without sessions and without the real catalog: one worker over fake_stream.h, logs in a folder of their own whose system calls can fail,
 * and crashes: a copy of the folder as the disk would have it, in which a second life begins. Included by one .c file of a test. */
#ifndef TESTS_SUPPORT_DURABLE_WORLD_H
#define TESTS_SUPPORT_DURABLE_WORLD_H

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "queue/amqp/server.h"
#include "queue/amqp/table.h"
#include "queue/amqp/wire.h"
#include "queue/core/durable_state.h"
#include "queue/log/io.h"
#include "tests/support/fake_stream.h"

#define WORLD_QUEUES    8u
#define WORLD_EXCHANGES 4u
#define WORLD_FILES     4096u

#define TEXT(s) ((struct mr_span){(const uint8_t *)(s), strlen(s)})

/* -- a catalog of fixed declarations ------------------------------------------------------------------------------------------------ */

struct world_exchange {
    struct catalog_exchange exchange;
    unsigned queues[WORLD_QUEUES], count; /* every key goes there */
};

struct catalog {
    struct catalog_queue queues[WORLD_QUEUES];
    unsigned queue_count;
    struct world_exchange exchanges[WORLD_EXCHANGES];
    unsigned exchange_count;
    const struct catalog_queue *routed[WORLD_QUEUES];
};

const struct catalog_queue *catalog_queue_by_id(const struct catalog *c, uint64_t id)
{
    for (unsigned i = 0; i < c->queue_count; i++)
        if (c->queues[i].id == id && !c->queues[i].deleted)
            return &c->queues[i];
    return NULL;
}

static inline bool world_span_equal(struct mr_span a, struct mr_span b)
{
    return a.length == b.length && !memcmp(a.data, b.data, a.length);
}

const struct catalog_exchange *catalog_exchange_find(const struct catalog *c, unsigned vhost, struct mr_span name)
{
    static const struct catalog_exchange nameless = {.name = {(const uint8_t *)"", 0}};
    (void)vhost;
    if (!name.length)
        return &nameless;
    for (unsigned i = 0; i < c->exchange_count; i++)
        if (world_span_equal(c->exchanges[i].exchange.name, name))
            return &c->exchanges[i].exchange;
    return NULL;
}

/* The exchange "" by the names of queues, any other to its list whatever the key. */
unsigned catalog_route(struct catalog *c, const struct catalog_exchange *x, const struct mr_span *keys,
                       unsigned key_count, struct mr_span headers, const struct catalog_queue *const **out)
{
    unsigned n = 0;
    (void)headers;
    const struct world_exchange *listed = (const struct world_exchange *)x;
    for (unsigned i = 0; x->name.length && i < listed->count; i++)
        if (!c->queues[listed->queues[i]].deleted)
            c->routed[n++] = &c->queues[listed->queues[i]];
    for (unsigned k = 0; !x->name.length && k < key_count; k++)
        for (unsigned i = 0; i < c->queue_count; i++)
            if (world_span_equal(c->queues[i].name, keys[k]) && !c->queues[i].deleted)
                c->routed[n++] = &c->queues[i];
    *out = c->routed;
    return n;
}

void catalog_change(struct broker *b, struct catalog_change *change)
{
    (void)b;
    (void)change;
    abort(); /* these queues do not expire */
}

static unsigned world_alarm_changes;
void amqp_server_alarms_changed(struct broker *b)
{
    (void)b;
    world_alarm_changes++;
}

/* -- system calls: failing, and remembering what is on the disk for certain --------------------------------------------------------------- */

static struct {
    ino_t inode[WORLD_FILES];
    off_t synced[WORLD_FILES];
    unsigned files;
    int write_error, sync_error, read_error; /* of every call; 0: they work */
    uint64_t calls;
    void (*before)(void);
} world_disk;

static inline off_t *world_synced(ino_t inode)
{
    for (unsigned i = 0; i < world_disk.files; i++)
        if (world_disk.inode[i] == inode)
            return &world_disk.synced[i];
    assert(world_disk.files < WORLD_FILES);
    world_disk.inode[world_disk.files] = inode;
    world_disk.synced[world_disk.files] = 0;
    return &world_disk.synced[world_disk.files++];
}

static inline void world_call(void)
{
    world_disk.calls++;
    if (world_disk.before)
        world_disk.before();
}

static inline ssize_t world_pwritev(int fd, const struct iovec *v, int n, off_t at)
{
    world_call();
    errno = world_disk.write_error;
    return errno ? -1 : qlog_io_system.pwritev(fd, v, n, at);
}

static inline ssize_t world_pread(int fd, void *data, size_t n, off_t at)
{
    errno = world_disk.read_error;
    return errno ? -1 : qlog_io_system.pread(fd, data, n, at);
}

static inline int world_sync(int fd)
{
    struct stat s;
    world_call();
    errno = world_disk.sync_error;
    if (errno)
        return -1;
    if (fstat(fd, &s) == 0 && S_ISREG(s.st_mode))
        *world_synced(s.st_ino) = s.st_size;
    return 0; /* the disk of a test need not be waited for */
}

static inline int world_open(int folder, const char *path, int flags, mode_t mode)
{
    struct stat s;
    bool fresh = flags & O_CREAT && fstatat(folder, path, &s, 0) != 0;
    int fd = qlog_io_system.open(folder, path, flags, mode);
    if (fd >= 0 && fresh && fstat(fd, &s) == 0 && S_ISREG(s.st_mode))
        *world_synced(s.st_ino) = 0; /* an inode may be used again */
    return fd;
}

/* -- a life ----------------------------------------------------------------------------------------------------------------------- */

struct world {
    char folder[96];
    struct mr_worker *w;
    struct broker b;
    struct broker_shared shared;
    struct queue_config config;
    struct qlog_io io;
    uint64_t counters[QUEUE_COUNTERS];
    struct catalog catalog;
    unsigned left_out; /* of the queues, the last ones: as without memory at start */
    uint64_t memory_limit, segment_bytes;
    mr_time second;
    int log_error;
    unsigned done, taken, rejected, failed; /* publications */
};

static inline void world_log_advanced(void *context, struct qlog *log)
{
    queue_log_advanced(context, log);
}

static inline void world_log_state(void *context, int error)
{
    struct broker *b = context;
    broker_alarm_set(b, BROKER_ALARM_LOG, error != 0 || !qlog_ready(b->engine));
}

static inline struct catalog_queue *world_declare(struct world *x, uint64_t id, const char *name)
{
    struct catalog_queue *q = &x->catalog.queues[x->catalog.queue_count++];
    *q = (struct catalog_queue){.id = id,
                                .durable = true,
                                .name = TEXT(name),
                                .arguments = {.message_ttl_ms = UINT64_MAX,
                                              .length_max = UINT64_MAX,
                                              .length_bytes_max = UINT64_MAX,
                                              .delivery_limit = UINT64_MAX,
                                              .durability = QUEUE_FSYNC}};
    return q;
}

static inline void world_init(struct world *x, const char *folder)
{
    memset(x, 0, sizeof *x);
    strcpy(x->folder, folder);
    x->memory_limit = 64 << 20;
    x->segment_bytes = 1 << 20;
    x->io = qlog_io_system;
    x->io.open = world_open;
    x->io.pwritev = world_pwritev;
    x->io.pread = world_pread;
    x->io.fdatasync = x->io.fsync = world_sync;
    x->io.completed = NULL;
}

/* Everything that was declared by now has its queue then. */
static inline void world_start(struct world *x)
{
    struct qlog_engine_hooks hooks = {world_log_advanced, world_log_state, &x->b};
    struct qlog_engine_options options = {.folder = x->folder, .pending_bytes_max = 8 << 20, .io = &x->io};
    x->w = fake_worker_create();
    x->config = (struct queue_config){
        .folder = x->folder, .message_bytes_max = 16 << 20, .segment_bytes = x->segment_bytes, .queues_max = 100};
    x->shared = (struct broker_shared){.workers = 1, .instance = {&x->b}, .config = &x->config};
    x->b = (struct broker){.worker = x->w,
                           .counters = x->counters,
                           .shared = &x->shared,
                           .config = &x->config,
                           .workers = 1,
                           .unix_offset_ns = INT64_C(1700000000) * 1000000000,
                           .catalog = &x->catalog};
    assert(memory_init(&x->b.memory, 4 * x->memory_limit, x->memory_limit));
    assert(qlog_engine_open(&options, &hooks, x->w, &x->b.engine) == MR_OK);
    assert(broker_shard_start(&x->b) && queue_set_start(&x->b));
    for (unsigned i = 0; i + x->left_out < x->catalog.queue_count; i++)
        queue_added(&x->b, &x->catalog.queues[i]);
    queue_set_ready(&x->b);
    x->second = mr_now(x->w);
}

static inline void world_turn(struct world *x)
{
    fake_turn(x->w);
    if (mr_now(x->w) - x->second >= MR_SECOND) {
        x->second = mr_now(x->w);
        queue_set_second(&x->b);
    }
}

static inline void world_turns(struct world *x, unsigned n)
{
    while (n--)
        world_turn(x);
}

static inline void world_settle(struct world *x)
{
    for (unsigned i = 0; i < 10000 && fake_worker_busy(x->w); i++)
        world_turn(x);
    assert(!fake_worker_busy(x->w));
}

static inline void world_pass(struct world *x, mr_time duration)
{
    for (; duration >= 100 * MR_MILLISECOND; duration -= 100 * MR_MILLISECOND) {
        fake_pass(x->w, 100 * MR_MILLISECOND);
        world_turn(x);
    }
    fake_pass(x->w, duration);
    world_turns(x, 20);
}

/* An end in order. `orderly` false: as after kill -9, but that the log writes what it has: take a world_copy before to have it otherwise. */
static inline void world_stop(struct world *x, bool orderly)
{
    if (orderly)
        queue_set_stop(&x->b);
    else
        x->b.queues->stopped = true;
    qlog_engine_stop(x->b.engine);
    world_turns(x, 20);
    qlog_engine_close(x->b.engine);
    queue_set_release(&x->b);
    broker_shard_release(&x->b);
    assert(x->b.memory.used == 0 || !orderly);
    memory_release(&x->b.memory);
    fake_worker_free(x->w);
}

/* What a loss of power leaves, as a folder of its own: of each file what was synced, and of the rest `keep` percent. */
static inline void world_copy(const char *from, const char *to, unsigned keep)
{
    char command[1024], line[256];
    snprintf(command, sizeof command, "rm -rf --one-file-system '%s' && cp -r '%s' '%s' && cd '%s' && find . -type f",
             to, from, to, from);
    FILE *list = popen(command, "r");
    assert(list);
    while (fgets(line, sizeof line, list)) {
        char path[512];
        struct stat s;
        line[strcspn(line, "\n")] = 0;
        snprintf(path, sizeof path, "%s/%s", from, line);
        if (stat(path, &s))
            continue;
        off_t synced = *world_synced(s.st_ino), left = synced + (s.st_size - synced) * (off_t)keep / 100;
        snprintf(path, sizeof path, "%s/%s", to, line);
        if (left < s.st_size)
            assert(truncate(path, left) == 0);
    }
    pclose(list);
}

/* -- messages ---------------------------------------------------------------------------------------------------------------------- */

struct world_publication {
    struct publication p;
    struct world *world;
    void (*done)(void *context, uint64_t tag, bool good);
    void *context;
};

static inline void world_published(struct publication *p)
{
    struct world_publication *wp = p->context;
    struct world *x = wp->world;
    x->done++;
    x->rejected += p->rejected != 0;
    x->failed += p->failed != 0;
    x->taken += !p->rejected && !p->failed;
    if (wp->done)
        wp->done(wp->context, p->tag, !p->rejected && !p->failed);
    free(wp);
}

struct world_letter {
    const char *exchange, *key;
    struct amqp_properties properties;
    const void *body;
    size_t body_bytes;
    uint64_t delay_ms;
    bool transient;
};

static inline struct message *world_message(struct world *x, const struct world_letter *l)
{
    uint8_t bytes[2048];
    struct amqp_properties p = l->properties;
    p.flags |= AMQP_DELIVERY_MODE;
    p.delivery_mode = l->transient ? 1 : 2;
    size_t length = amqp_properties_emit(bytes, sizeof bytes, &p);
    struct message *m = message_create(&x->b.memory, TEXT(l->exchange ? l->exchange : ""), TEXT(l->key ? l->key : ""),
                                       (struct mr_span){bytes, length}, l->body_bytes);
    if (!m)
        return NULL;
    if (l->body_bytes && !message_append(m, l->body, l->body_bytes)) {
        message_drop(m);
        return NULL;
    }
    uint64_t now_ms = broker_unix_ms(&x->b);
    m->deliver_at_ms = l->delay_ms ? now_ms + l->delay_ms : 0;
    message_seal(m, now_ms);
    return m;
}

/* False: no memory. */
static inline bool world_put(struct world *x, const struct catalog_queue *q, const struct world_letter *l, uint64_t tag,
                             void (*done)(void *context, uint64_t tag, bool good), void *context)
{
    struct message *m = world_message(x, l);
    if (!m)
        return false;
    struct world_publication *wp = malloc(sizeof *wp);
    *wp = (struct world_publication){.world = x, .done = done, .context = context};
    wp->p = (struct publication){.home = &x->b, .message = m, .done = world_published, .context = wp, .tag = tag};
    if (broker_publish_to(&x->b, q, &wp->p) > 0)
        return true;
    message_drop(m);
    free(wp);
    return false;
}

static inline void world_put_text(struct world *x, const struct catalog_queue *q, const char *text)
{
    assert(
        world_put(x, q, &(struct world_letter){.key = "k", .body = text, .body_bytes = strlen(text)}, 0, NULL, NULL));
}

struct world_got {
    bool answered;
    enum queue_result result;
    uint64_t entry, left;
    bool redelivered;
    uint32_t deliveries;
    char exchange[64], key[64];
    uint8_t properties[4096];
    size_t properties_length;
    uint8_t body[70000];
    size_t body_length;
};

static inline void world_got_done(struct queue_request *r)
{
    struct world_got *g = r->context;
    g->answered = true;
    g->result = r->result;
    if (r->result == QUEUE_DONE) {
        const struct message *m = r->delivery->message;
        g->entry = r->delivery->entry;
        g->redelivered = r->delivery->redelivered;
        g->deliveries = r->delivery->deliveries;
        g->left = r->count;
        snprintf(g->exchange, sizeof g->exchange, "%.*s", (int)message_exchange(m).length,
                 (const char *)message_exchange(m).data);
        snprintf(g->key, sizeof g->key, "%.*s", (int)message_routing_key(m).length,
                 (const char *)message_routing_key(m).data);
        g->properties_length = message_properties(m).length;
        memcpy(g->properties, message_properties(m).data, g->properties_length);
        g->body_length = 0;
        for (const struct message_piece *p = m->body; p; p = p->next) {
            memcpy(g->body + g->body_length, p->bytes, p->length);
            g->body_length += p->length;
        }
        g->body[g->body_length] = 0;
        queue_delivery_return(r->delivery);
    }
    memory_free(&r->home->memory, r, queue_request_bytes(r));
}

static inline struct queue_request *world_request(struct world *x, const struct catalog_queue *q, enum queue_verb verb,
                                                  uint32_t entries)
{
    struct queue_request *r = memory_alloc(&x->b.memory, sizeof *r + entries * sizeof r->entries[0]);
    assert(r);
    memset(r, 0, sizeof *r);
    r->home = &x->b;
    r->verb = verb;
    r->queue_id = q->id;
    r->entry_count = entries;
    return r;
}

static struct world_got world_gotten;
/* One message from the head; what was got is in world_gotten. */
static inline enum queue_result world_get(struct world *x, const struct catalog_queue *q, bool no_ack)
{
    struct queue_request *r = world_request(x, q, QUEUE_GET, 0);
    r->no_ack = no_ack;
    r->done = world_got_done;
    r->context = &world_gotten;
    world_gotten.answered = false;
    queue_request_send(r);
    for (unsigned i = 0; i < 200 && !world_gotten.answered; i++)
        world_turn(x);
    assert(world_gotten.answered);
    world_turns(x, 2);
    return world_gotten.result;
}

static inline void world_settle_entry(struct world *x, const struct catalog_queue *q, uint64_t entry,
                                      enum queue_settle how)
{
    struct queue_request *r = world_request(x, q, QUEUE_SETTLE, 1);
    r->settle = how;
    r->entries[0] = entry;
    queue_request_send(r);
    world_turns(x, 2);
}

static inline struct queue *world_queue(struct world *x, const struct catalog_queue *q)
{
    struct queue *found = queue_find(&x->b, q->id);
    assert(found);
    return found;
}

#endif
