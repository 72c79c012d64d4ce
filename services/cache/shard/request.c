/* Commands on their way to the owner of their key and back, and the order of a connection's replies. */
#include "cache/blocked.h"
#include "cache/command/call.h"
#include "cache/command/effect.h"
#include "cache/output.h"
#include "cache/shard/shard.h"

static struct cache_request *request_make(struct cache *cache, const struct cache_command *command, unsigned database,
                                          uint8_t protocol)
{
    struct cache_request *r = memory_alloc(&cache->clients, sizeof *r);
    if (!r)
        return NULL;
    *r = (struct cache_request){
        .home = cache, .command = command, .database = database, .protocol = protocol, .remaining = 1};
    cache_packed_init(&r->packed, &cache->clients);
    cache_reply_init(&r->reply, &cache->clients, r->scratch, sizeof r->scratch, r->protocol,
                     cache->settings.reply_bytes_max);
    return r;
}

static struct cache_request *request_new(struct cache_connection *c, const struct cache_command *command)
{
    struct cache_request *r = request_make(c->cache, command, c->client.database, c->client.protocol);
    if (r) {
        r->connection = c;
        r->asker = c->client.id;
        r->silent = c->client.reply_mode != CACHE_REPLY_ON;
        if (c->client.reply_mode == CACHE_REPLY_SKIP)
            c->client.reply_mode = CACHE_REPLY_ON;
    }
    return r;
}

static void request_append(struct cache_connection *c, struct cache_request *r)
{
    *c->requests_end = r;
    c->requests_end = &r->next;
    c->request_count++;
}

static void request_destroy(struct cache_request *r)
{
    struct cache *cache = r->home;
    cache_packed_free(&r->packed);
    cache_output_free(cache, &r->reply);
    memory_free(&cache->clients, r, sizeof *r);
}

/* A long argument is copied into our clients' memory, where another worker may read it: nobody touches it there. *a is the copy then. */
static bool rope_pack(struct cache_request *r, struct cache_argument *a)
{
    const struct cache_rope *from = a->rope;
    if (!cache_packed_begin(&r->packed, a->length, &r->home->clients))
        return false;
    a->rope = r->packed.rope;
    for (uint64_t at = 0; at < from->length;) {
        struct cache_extent *extent;
        struct mr_span s = cache_rope_at(from, at, &extent);
        if (!cache_packed_append(&r->packed, s.data, s.length))
            return false;
        at += s.length;
    }
    return true;
}

static bool request_pack(struct cache_request *r, struct cache_argument *argv, unsigned argc)
{
    bool packed = true;
    for (unsigned i = 0; i < argc && packed; i++) {
        struct cache_argument a = argv[i];
        packed = a.rope ? rope_pack(r, &a) : cache_packed_add(&r->packed, &a);
    }
    return packed;
}

struct cache_request *cache_request_add(struct cache_connection *c, const struct cache_command *command,
                                        struct cache_argument *argv, unsigned argc)
{
    struct cache_request *r = request_new(c, command);
    if (r && !request_pack(r, argv, argc)) {
        request_destroy(r);
        return NULL;
    }
    if (r)
        request_append(c, r);
    return r;
}

struct cache_request *cache_request_local(struct cache_connection *c)
{
    struct cache_request *last =
        (struct cache_request *)((char *)c->requests_end - offsetof(struct cache_request, next));
    if (!last->command && !last->done)
        return last;
    struct cache_request *r = request_new(c, NULL);
    if (r)
        request_append(c, r);
    else
        cache_connection_fail(c, CACHE_COUNTER_QUERY_OVERFLOWS, NULL);
    return r;
}

void cache_request_local_done(struct cache_connection *c)
{
    if (!c->requests)
        return;
    struct cache_request *last =
        (struct cache_request *)((char *)c->requests_end - offsetof(struct cache_request, next));
    if (!last->command)
        last->done = true;
}

void cache_request_free(struct cache *cache, struct cache_connection *c)
{
    struct cache_request *r = c->requests;
    c->requests = r->next;
    if (!c->requests)
        c->requests_end = &c->requests;
    c->request_count--;
    request_destroy(r);
}

/* -- at the owner ---------------------------------------------------------------------------------------------------------- */

static void request_back(struct cache *here, struct cache_item *item);

/* False: no room in this turn. */
static bool request_run(struct cache *here, struct cache_request *r)
{
    struct cache_call call = {.cache = here,
                              .command = r->command,
                              .argv = here->argv,
                              .argc = r->packed.argc,
                              .database = r->database,
                              .reply = &r->reply,
                              .asker = r->asker,
                              .part = (r->command->flags & CACHE_FAN_OUT) != 0};
    cache_packed_arguments(&r->packed, here->argv);
    r->reply.memory = &here->clients;
    if (cache_call_execute(&call) == CACHE_AGAIN)
        return false;
    if (here->log) {
        r->gate_sequence = cache_effects_gate(here, here->index, &call);
        r->owner = here->index;
    }
    cache_blocked_serve(here);
    cache_reply_settle(&r->reply);
    r->ran_at = here->index;
    r->item.run = request_back;
    cache_send(here, r->home->index, &r->item);
    return true;
}

static void request_stall(struct cache *here, struct cache_request *r)
{
    r->waiting_next = NULL;
    *here->stalled_end = r;
    here->stalled_end = &r->waiting_next;
    cache_turn_begin(here);
}

static void request_arrived(struct cache *here, struct cache_item *item)
{
    struct cache_request *r = (struct cache_request *)item;
    if (!cache_shard_free(here) || here->stalled || !request_run(here, r))
        request_stall(here, r);
}

void cache_requests_resume(struct cache *here)
{
    while (here->stalled && cache_shard_free(here)) {
        struct cache_request *r = here->stalled;
        if (!request_run(here, r))
            return;
        here->stalled = r->waiting_next;
        if (!here->stalled)
            here->stalled_end = &here->stalled;
    }
}

void cache_request_forward(struct cache_request *r, unsigned owner)
{
    r->owner = owner;
    r->item.run = request_arrived;
    cache_send(r->home, owner, &r->item);
}

bool cache_request_ask(struct cache *cache, const struct cache_command *command, struct cache_argument *argv,
                       unsigned argc, unsigned owner,
                       void (*finished)(struct cache *here, struct cache_request *r, void *context), void *context)
{
    struct cache_request *r = request_make(cache, command, 0, 2);
    if (!r)
        return false;
    if (!request_pack(r, argv, argc)) {
        request_destroy(r);
        return false;
    }
    r->finished = finished;
    r->context = context;
    cache_request_forward(r, owner);
    return true;
}

/* -- back home --------------------------------------------------------------------------------------------------------------- */

/* The owner's blocks, copied: they go home as a chain and are freed there. */
static void blocks_home(struct cache *here, struct cache_item *item)
{
    struct cache_reply_block *b =
        (struct cache_reply_block *)((char *)item - offsetof(struct cache_reply_block, message));
    while (b) {
        struct cache_reply_block *next = b->next;
        if (b->extent) /* there was no memory to lend it on */
            cache_extent_let_go(here, b);
        else
            cache_reply_block_free(&here->clients, b);
        b = next;
    }
}

/* What lies in blocks of the owner's memory moves into ours; lent extents stay where they are and change hands. */
static void reply_bring_home(struct cache *here, struct cache_request *r, unsigned from)
{
    struct cache_reply_block *first = r->reply.first;
    struct cache_reply fresh;
    if (!first) {
        r->reply.memory = &here->clients;
        return;
    }
    cache_reply_init(&fresh, &here->clients, NULL, 0, r->protocol, here->settings.reply_bytes_max);
    if (r->reply.scratch_used)
        cache_reply_raw(&fresh, r->reply.scratch, r->reply.scratch_used);
    for (struct cache_reply_block *b = first; b; b = b->next) {
        if (!b->extent)
            cache_reply_raw(&fresh, b->data, b->length);
        else if (cache_reply_lend(&fresh, b->extent, b->data, b->length))
            b->extent = NULL;
    }
    fresh.failed |= r->reply.failed;
    cache_reply_settle(&fresh);
    r->reply = fresh;
    struct cache_item *item = (struct cache_item *)first->message;
    item->run = blocks_home;
    cache_send(here, from, item);
}

/* -- fan-out ------------------------------------------------------------------------------------------------------------------ */

/* Every part reads the same bytes of a long argument: the whole's. */
static bool parts_make(struct cache_request *whole, const struct cache_argument *argv, unsigned argc)
{
    for (unsigned i = 0; i < whole->home->workers; i++) {
        struct cache_request *part = request_new(whole->connection, whole->command);
        if (!part)
            return false;
        part->parent = whole;
        part->next = whole->parts;
        whole->parts = part;
    }
    for (unsigned i = 0; i < argc; i++) {
        struct cache_argument a = argv[i];
        if (a.rope && !rope_pack(whole, &a))
            return false;
        for (struct cache_request *part = whole->parts; part; part = part->next) {
            if (!cache_packed_add(&part->packed, &a))
                return false;
            cache_packed_borrow(&part->packed);
        }
    }
    return true;
}

static void parts_free(struct cache_request *whole)
{
    while (whole->parts) {
        struct cache_request *part = whole->parts;
        whole->parts = part->next;
        request_destroy(part);
    }
}

bool cache_request_fan_out(struct cache_connection *c, const struct cache_command *command, struct cache_argument *argv,
                           unsigned argc)
{
    struct cache_request *whole = request_new(c, command);
    if (!whole)
        return false;
    whole->remaining = 0;
    request_append(c, whole);
    if (!parts_make(whole, argv, argc)) {
        parts_free(whole);
        whole->reply.failed = true; /* the connection is cut */
    }
    unsigned worker = whole->home->workers;
    for (struct cache_request *part = whole->parts; part; part = part->next) {
        whole->remaining++;
        cache_request_forward(part, --worker);
    }
    whole->done = whole->remaining == 0;
    return true;
}

static void fan_out_join(struct cache_request *whole)
{
    const struct cache_reply *parts[CACHE_WORKERS_MAX];
    unsigned n = 0;
    for (struct cache_request *p = whole->parts; p; p = p->next)
        parts[n++] = &p->reply;
    const struct cache_join *j = cache_joins;
    while (j->function && j->function != whole->command->function)
        j++;
    if (j->function)
        j->join(&whole->reply, parts, n);
    else
        cache_reply_copy(&whole->reply, parts[0]);
    parts_free(whole);
    cache_reply_settle(&whole->reply);
    whole->done = true;
}

static void request_back(struct cache *here, struct cache_item *item)
{
    struct cache_request *r = (struct cache_request *)item;
    struct cache_connection *c = r->connection;
    reply_bring_home(here, r, r->ran_at);
    r->done = true;
    if (r->finished) {
        r->finished(here, r, r->context);
        request_destroy(r);
        return;
    }
    if (r->parent) {
        r = r->parent;
        if (--r->remaining)
            return;
        fan_out_join(r);
    }
    if (!c->stream)
        cache_connection_settle(c);
    else if (c->requests == r)
        cache_connection_progress(c);
}
