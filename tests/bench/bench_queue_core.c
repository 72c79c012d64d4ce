/* What a queue costs without network and disk: messages of 16 bytes, published, delivered and acknowledged in process, in batches of a turn.
 *
 *     ninja -C build tests/bench/bench_queue_core && build/tests/bench/bench_queue_core [workers] [depth]
 *
 * `workers` 2: publisher and consumer on one, the queue on the other, both turned by this thread: the cost of copies and items is in it, not
 * that of caches apart. `depth`: messages that stay in the queue meanwhile. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/support/queue_world.h"

#define BATCH    64u
#define MESSAGES 4000000u

static struct queue_world world;
static uint64_t acked;

struct session {
    struct queue_subscriber subscriber;
    uint64_t entries[2 * BATCH];
    uint32_t count;
};

static void deliver(struct queue_subscriber *s, struct queue_delivery *d)
{
    struct session *session = s->context;
    session->entries[session->count++] = d->entry;
    queue_delivery_return(d);
}

static void nothing(struct queue_subscriber *s)
{
    (void)s;
}

static void published(struct publication *p)
{
    memory_free(&p->home->memory, p, sizeof *p);
}

static void publish(struct broker *b, const struct catalog_queue *q)
{
    static const uint8_t properties[2], body[16];
    struct message *m = message_create(&b->memory, (struct mr_span){NULL, 0}, q->name,
                                       (struct mr_span){properties, sizeof properties}, sizeof body);
    struct publication *p = memory_alloc(&b->memory, sizeof *p);
    assert(m && p && message_append(m, body, sizeof body));
    message_seal(m, broker_unix_ms(b));
    *p = (struct publication){.home = b, .message = m, .done = published};
    assert(broker_publish_to(b, q, p) == 1);
}

static void acknowledge(struct broker *b, uint64_t queue_id, struct session *s)
{
    if (!s->count)
        return;
    struct queue_request *r = memory_alloc(&b->memory, sizeof *r + s->count * sizeof r->entries[0]);
    assert(r);
    *r = (struct queue_request){
        .home = b, .verb = QUEUE_SETTLE, .queue_id = queue_id, .settle = SETTLE_ACK, .entry_count = s->count};
    memcpy(r->entries, s->entries, s->count * sizeof r->entries[0]);
    queue_request_send(r);
    acked += s->count;
    s->count = 0;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    unsigned workers = argc > 1 ? (unsigned)atoi(argv[1]) : 1, depth = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
    struct session session = {.count = 0};
    queue_world_init(&world);
    world.config.memory_max = UINT64_C(4) << 30;
    queue_world_start(&world, workers);
    const struct catalog_queue *q = queue_world_declare(&world, "bench", workers - 1, false, NULL);
    for (unsigned i = 0; i < depth; i++) {
        publish(world.b[0], q);
        if (i % BATCH == 0)
            queue_world_settle(&world);
    }
    queue_world_settle(&world);
    uint64_t used = world.b[workers - 1]->memory.used;
    session.subscriber =
        (struct queue_subscriber){.home = world.b[0], .deliver = deliver, .cancelled = nothing, .context = &session};
    struct queue_request consume = {.verb = QUEUE_CONSUME, .subscriber = &session.subscriber, .prefetch = BATCH};
    queue_world_send(&world, 0, q->id, &consume, NULL, 0);
    double begin = seconds();
    while (acked < MESSAGES) {
        for (unsigned i = 0; i < BATCH; i++)
            publish(world.b[0], q);
        for (unsigned i = 0; i < workers; i++)
            queue_world_turn(&world, i);
        acknowledge(world.b[0], q->id, &session);
    }
    double taken = seconds() - begin;
    printf("%u workers, depth %u: %.0f ns a message published, delivered and acknowledged", workers, depth,
           taken * 1e9 / (double)acked);
    printf(depth ? ", %.0f bytes of memory a message\n" : "\n", depth ? (double)used / depth : 0.0);
    return 0;
}
