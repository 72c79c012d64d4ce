/* Queues against a plain reference: lists that are searched from the front, times that are looked at every millisecond. After each of many
 * random operations every entry (place, state, deliveries) and everything that each consumer was given must be the same. Then the same
 * queues with workers turned in any order and nothing waited for: every message ends exactly once, and each publisher's order holds. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue/core/queue_state.h"
#include <millrace/random.h>

#include "tests/support/queue_world.h"
#include "tests/support/seed.h"

#define WORKERS   3
#define QUEUES    6
#define CONSUMERS 10
#define STEPS     12000
#define BURST_MAX 16
#define NUMBERS   (STEPS * 6)

static struct mr_random random_numbers;
static struct queue_world world;
static const char *const names[QUEUES] = {"plain", "timed", "short", "refusing", "single", "returned"};

static uint32_t below(uint32_t bound)
{
    return mr_random_below(&random_numbers, bound);
}

static void declare_all(void)
{
    struct queue_arguments a = queue_world_arguments();
    queue_world_declare(&world, "dead", below(WORKERS), false, NULL);
    queue_world_declare(&world, "plain", below(WORKERS), false, &a);
    a.message_ttl_ms = 40;
    a.priority_max = 70;
    a.dead_letter = a.dead_letter_key_given = true;
    a.dead_letter_key = (struct mr_span){(const uint8_t *)"dead", 4};
    queue_world_declare(&world, "timed", below(WORKERS), false, &a);
    a = queue_world_arguments();
    a.length_max = 10;
    a.priority_max = 2;
    queue_world_declare(&world, "short", below(WORKERS), false, &a);
    a = queue_world_arguments();
    a.length_max = 8;
    a.length_bytes_max = 40;
    a.overflow = OVERFLOW_REJECT_PUBLISH;
    queue_world_declare(&world, "refusing", below(WORKERS), false, &a);
    a = queue_world_arguments();
    a.single_active_consumer = true;
    queue_world_declare(&world, "single", below(WORKERS), false, &a);
    a = queue_world_arguments();
    a.delivery_limit = 2;
    queue_world_declare(&world, "returned", below(WORKERS), false, &a);
}

/* -- the reference ----------------------------------------------------------------------------------------------------------------- */

struct plain_entry {
    struct plain_entry *next;
    uint64_t id, time_ms, ttl_ms; /* time: due or expiry */
    uint32_t bytes;
    char body[24];
    enum entry_state state;
    unsigned deliveries;
    int consumer; /* -1: got */
    bool at_once;
};

struct plain_consumer {
    bool there, no_ack, able;
    unsigned queue, prefetch, unacknowledged, given;
    int priority;
    uint64_t since;
};

struct plain_queue {
    const struct queue_arguments *a;
    struct plain_entry *entries; /* in the order of delivery */
    uint64_t next[QUEUE_PRIORITIES];
    int turns[CONSUMERS]; /* of the able, in the order of their turns */
    unsigned turn_count;
    int active;
};

static struct plain_queue plain[QUEUES];
static struct plain_consumer plain_consumers[CONSUMERS];
static struct queue_world_consumer consumers[CONSUMERS];
static uint64_t now_ms, since, dead_count, rejected;
static uint64_t last_time_ms; /* no two entries become due at one time: their order would be chance */

static bool before(uint64_t a, uint64_t b)
{
    return entry_priority(a) != entry_priority(b) ? entry_priority(a) > entry_priority(b) : a < b;
}

static void plain_insert(struct plain_queue *q, struct plain_entry *e)
{
    struct plain_entry **at = &q->entries;
    while (*at && before((*at)->id, e->id))
        at = &(*at)->next;
    e->next = *at;
    *at = e;
}

static void plain_free(struct plain_queue *q, struct plain_entry *e)
{
    struct plain_entry **at = &q->entries;
    while (*at != e)
        at = &(*at)->next;
    *at = e->next;
    free(e);
}

static struct plain_entry *plain_head(struct plain_queue *q)
{
    struct plain_entry *e = q->entries;
    while (e && e->state != ENTRY_READY)
        e = e->next;
    return e;
}

static void plain_look(int i)
{
    struct plain_consumer *c = &plain_consumers[i];
    struct plain_queue *q = &plain[c->queue];
    bool able = c->there && (!q->a->single_active_consumer || q->active == i) &&
                (c->no_ack || !c->prefetch || c->unacknowledged < c->prefetch);
    if (able == c->able)
        return;
    c->able = able;
    if (able) {
        q->turns[q->turn_count++] = i;
        return;
    }
    unsigned at = 0;
    while (q->turns[at] != i)
        at++;
    memmove(&q->turns[at], &q->turns[at + 1], (--q->turn_count - at) * sizeof q->turns[0]);
}

static int plain_next(const struct plain_queue *q)
{
    int best = -1;
    for (unsigned i = 0; i < q->turn_count; i++)
        if (best < 0 || plain_consumers[q->turns[i]].priority > plain_consumers[best].priority)
            best = q->turns[i];
    return best;
}

static void plain_die(struct plain_queue *q, struct plain_entry *e)
{
    dead_count += q->a->dead_letter;
    plain_free(q, e);
}

static void plain_undeliver(struct plain_entry *e)
{
    if (e->consumer >= 0) {
        plain_consumers[e->consumer].unacknowledged--;
        plain_look(e->consumer);
    }
}

static void plain_deliver(struct plain_queue *q)
{
    struct plain_entry *e;
    int i;
    while ((i = plain_next(q)) >= 0 && (e = plain_head(q)) != NULL) {
        struct plain_consumer *c = &plain_consumers[i];
        if (e->time_ms <= now_ms && !e->at_once) {
            plain_die(q, e);
            continue;
        }
        assert(c->given < consumers[i].count);
        const struct queue_world_delivery *got = &consumers[i].got[c->given++];
        assert(got->entry == e->id && got->deliveries == e->deliveries && got->redelivered == (e->deliveries > 0));
        assert(!strcmp(got->body, e->body));
        e->deliveries++;
        e->state = ENTRY_DELIVERED;
        e->consumer = i;
        c->unacknowledged += !c->no_ack;
        plain_look(i);
        if (c->able) {
            c->able = false;
            unsigned at = 0;
            while (q->turns[at] != i)
                at++;
            memmove(&q->turns[at], &q->turns[at + 1], (--q->turn_count - at) * sizeof q->turns[0]);
            plain_look(i);
        }
        if (c->no_ack)
            plain_free(q, e);
    }
}

static bool plain_over(const struct plain_queue *q, uint64_t count, uint64_t bytes)
{
    for (const struct plain_entry *e = q->entries; e; e = e->next)
        if (e->state == ENTRY_READY) {
            count++;
            bytes += e->bytes;
        }
    return count > q->a->length_max || bytes > q->a->length_bytes_max;
}

static void plain_limit(struct plain_queue *q)
{
    while (q->a->overflow == OVERFLOW_DROP_HEAD && plain_over(q, 0, 0))
        plain_die(q, plain_head(q));
}

/* What a turn's end does: consumers first, then what is not to stay. */
static void plain_turn_end(void)
{
    for (unsigned i = 0; i < QUEUES; i++) {
        struct plain_queue *q = &plain[i];
        plain_deliver(q);
        for (struct plain_entry *e = q->entries, *next; e; e = next) {
            next = e->next;
            if (e->state == ENTRY_READY && e->time_ms <= now_ms)
                plain_die(q, e);
        }
    }
}

static void plain_live(const struct plain_queue *q, struct plain_entry *e, uint64_t ttl_ms)
{
    ttl_ms = ttl_ms < q->a->message_ttl_ms ? ttl_ms : q->a->message_ttl_ms;
    e->time_ms = ttl_ms == UINT64_MAX ? UINT64_MAX : now_ms + ttl_ms;
    e->at_once = !ttl_ms;
    e->state = ENTRY_READY;
}

static void plain_publish(unsigned queue, const struct queue_world_message *m)
{
    struct plain_queue *q = &plain[queue];
    uint32_t bytes = (uint32_t)strlen(m->body);
    if (q->a->overflow == OVERFLOW_REJECT_PUBLISH && !m->delay_ms && plain_over(q, 1, bytes)) {
        plain_deliver(q);
        if (plain_over(q, 1, bytes)) {
            rejected++;
            return;
        }
    }
    struct plain_entry *e = calloc(1, sizeof *e);
    unsigned priority = m->priority < q->a->priority_max ? m->priority : q->a->priority_max;
    e->id = entry_id(priority, ++q->next[priority]);
    e->bytes = bytes;
    e->ttl_ms = m->has_ttl ? m->ttl_ms : UINT64_MAX;
    snprintf(e->body, sizeof e->body, "%s", (const char *)m->body);
    plain_live(q, e, e->ttl_ms);
    if (m->delay_ms) {
        e->state = ENTRY_DELAYED;
        e->time_ms = now_ms + m->delay_ms;
    }
    plain_insert(q, e);
    if (plain_over(q, 0, 0)) {
        plain_deliver(q);
        plain_limit(q);
    }
}

static void plain_millisecond(void)
{
    now_ms++;
    for (unsigned i = 0; i < QUEUES; i++)
        for (struct plain_entry *e = plain[i].entries; e; e = e->next)
            if (e->state == ENTRY_DELAYED && e->time_ms <= now_ms) {
                plain_live(&plain[i], e, e->ttl_ms);
                if (plain_over(&plain[i], 0, 0)) {
                    plain_deliver(&plain[i]);
                    plain_limit(&plain[i]);
                }
                break;
            }
    plain_turn_end();
}

static void plain_settle(struct plain_queue *q, struct plain_entry *e, enum queue_settle how)
{
    plain_undeliver(e);
    if (how == SETTLE_ACK) {
        plain_free(q, e);
    } else if (how == SETTLE_REJECT || e->deliveries > q->a->delivery_limit) {
        plain_die(q, e);
    } else {
        e->state = ENTRY_READY;
        plain_limit(q);
    }
}

static void plain_cancel(int i)
{
    struct plain_consumer *c = &plain_consumers[i];
    struct plain_queue *q = &plain[c->queue];
    c->there = false;
    plain_look(i);
    if (q->active != i)
        return;
    q->active = -1;
    for (int j = 0; j < CONSUMERS; j++) {
        const struct plain_consumer *other = &plain_consumers[j],
                                    *best = &plain_consumers[q->active < 0 ? 0 : q->active];
        if (other->there && other->queue == c->queue &&
            (q->active < 0 || other->priority > best->priority ||
             (other->priority == best->priority && other->since < best->since)))
            q->active = j;
    }
    if (q->active >= 0)
        plain_look(q->active);
}

/* -- both are the same ---------------------------------------------------------------------------------------------------------------- */

static void compare_queue(unsigned i)
{
    struct queue *q = queue_world_queue(&world, names[i]);
    for (const struct plain_entry *e = plain[i].entries; e; e = e->next) {
        const struct queue_entry *real = queue_entry_find(q, e->id);
        assert(real && real->state == e->state && real->deliveries == e->deliveries);
        assert(real->state == ENTRY_DELIVERED || real->expires_ms == e->time_ms);
    }
    uint64_t id = 0, entries = q->ready + q->delayed + q->unacknowledged;
    for (const struct plain_entry *e = plain[i].entries; e; e = e->next) {
        entries--;
        if (e->state == ENTRY_READY)
            assert((id = queue_entry_next_ready(q, id)) == e->id);
    }
    assert(!entries && !q->leaving);
}

static void compare(void)
{
    queue_world_settle(&world);
    plain_turn_end();
    for (unsigned i = 0; i < QUEUES; i++)
        compare_queue(i);
    for (unsigned i = 0; i < CONSUMERS; i++)
        assert(plain_consumers[i].given == consumers[i].count);
    assert(world.rejected == rejected && !world.failed);
    assert(queue_world_queue(&world, "dead")->ready == dead_count);
    queue_world_check(&world);
}

/* -- operations ------------------------------------------------------------------------------------------------------------------------ */

static void step_publish(void)
{
    static unsigned number;
    unsigned worker = below(WORKERS), burst = 1 + below(below(4) ? 6 : BURST_MAX), queue = below(QUEUES);
    char body[BURST_MAX][24];
    struct queue_world_message sent[BURST_MAX];
    for (unsigned i = 0; i < burst; i++) {
        snprintf(body[i], sizeof body[i], "%u", ++number);
        struct queue_world_message m = {.body = body[i], .priority = (uint8_t)below(100)};
        bool may_wait = !strcmp(names[queue], "short") || !strcmp(names[queue], "returned");
        if (may_wait && below(4) == 0) {
            uint64_t due_ms = now_ms + 1 + below(30);
            last_time_ms = due_ms > last_time_ms ? due_ms : last_time_ms + 1;
            m.delay_ms = last_time_ms - now_ms;
        }
        m.has_ttl = strcmp(names[queue], "short") && below(5) == 0;
        m.ttl_ms = below(4) ? below(60) : 0;
        if (!queue_world_publish(&world, worker, names[queue], &m, NULL))
            assert(!"no memory");
        sent[i] = m;
    }
    queue_world_settle(&world);
    for (unsigned i = 0; i < burst; i++)
        plain_publish(queue, &sent[i]);
}

static void step_consume(void)
{
    int i = (int)below(CONSUMERS);
    struct plain_consumer *c = &plain_consumers[i];
    if (c->there) {
        assert(queue_world_cancel(&consumers[i]) == QUEUE_DONE);
        plain_cancel(i);
        return;
    }
    if (c->unacknowledged)
        return; /* entries name it */
    queue_world_consumer_free(&consumers[i]);
    *c = (struct plain_consumer){.there = true,
                                 .no_ack = below(4) == 0,
                                 .queue = below(QUEUES),
                                 .prefetch = below(5),
                                 .priority = (int)below(3) - 1,
                                 .since = ++since};
    struct queue_request r = {.no_ack = c->no_ack, .prefetch = c->prefetch, .priority = c->priority};
    assert(queue_world_consume(&world, &consumers[i], below(WORKERS), names[c->queue], &r) == QUEUE_DONE);
    struct plain_queue *q = &plain[c->queue];
    if (q->a->single_active_consumer && q->active < 0)
        q->active = i;
    plain_look(i);
}

static void step_settle(void)
{
    unsigned queue = below(QUEUES);
    struct plain_queue *q = &plain[queue];
    struct plain_entry *chosen[16];
    uint64_t entries[16];
    uint32_t n = 0;
    for (struct plain_entry *e = q->entries; e && n < 16; e = e->next)
        if (e->state == ENTRY_DELIVERED && below(3) == 0) {
            chosen[n] = e;
            entries[n++] = e->id;
        }
    enum queue_settle how = below(3) ? SETTLE_ACK : below(2) ? SETTLE_REJECT : SETTLE_REQUEUE;
    struct queue_request r = {.verb = QUEUE_SETTLE, .settle = how};
    queue_world_send(&world, below(WORKERS), queue_world_find(&world, names[queue])->declared.id, &r, entries, n);
    queue_world_settle(&world);
    for (uint32_t i = 0; i < n; i++)
        plain_settle(q, chosen[i], how);
}

static void step_get(void)
{
    unsigned queue = below(QUEUES);
    struct plain_entry *e = plain_head(&plain[queue]);
    char body[24];
    uint64_t entry;
    bool keep = below(2), redelivered;
    bool got =
        queue_world_get(&world, below(WORKERS), names[queue], body, sizeof body, keep ? &entry : NULL, &redelivered);
    assert(got == (e != NULL));
    if (!got)
        return;
    assert(!strcmp(body, e->body) && redelivered == (e->deliveries > 0));
    e->state = ENTRY_DELIVERED;
    e->deliveries++;
    e->consumer = -1;
    if (!keep)
        plain_free(&plain[queue], e);
    else
        assert(entry == e->id);
}

static void step_purge(void)
{
    unsigned queue = below(QUEUES);
    uint64_t count = 0;
    for (struct plain_entry *e; (e = plain_head(&plain[queue])) != NULL; count++)
        plain_free(&plain[queue], e);
    struct queue_request r = {.verb = QUEUE_PURGE};
    assert(queue_world_ask(&world, below(WORKERS), names[queue], &r, NULL, 0).count == count);
}

static void step_prefetch(void)
{
    int i = (int)below(CONSUMERS);
    struct plain_consumer *c = &plain_consumers[i];
    if (!c->there)
        return;
    c->prefetch = below(5);
    struct queue_request r = {.verb = QUEUE_PREFETCH, .prefetch = c->prefetch, .subscriber = &consumers[i].subscriber};
    queue_world_ask(&world, consumers[i].worker, names[c->queue], &r, NULL, 0);
    plain_look(i);
}

static void step_time(void)
{
    for (unsigned n = 1 + below(10); n; n--) {
        queue_world_pass(&world, 1);
        plain_millisecond();
        compare();
    }
}

static void step(void)
{
    static void (*const steps[])(void) = {step_publish, step_publish, step_publish,  step_settle, step_settle,
                                          step_get,     step_consume, step_prefetch, step_time};
    if (below(150) == 0)
        step_purge();
    else
        steps[below(sizeof steps / sizeof steps[0])]();
    compare();
}

static void against_the_reference(void)
{
    queue_world_init(&world);
    world.config.memory_max = 512u << 20;
    queue_world_start(&world, WORKERS);
    declare_all();
    now_ms = queue_world_unix_ms(&world);
    for (unsigned i = 0; i < QUEUES; i++)
        plain[i] = (struct plain_queue){.a = &queue_world_find(&world, names[i])->declared.arguments, .active = -1};
    for (unsigned n = 0; n < STEPS; n++)
        step();
    for (int i = 0; i < CONSUMERS; i++) {
        if (plain_consumers[i].there)
            queue_world_cancel(&consumers[i]);
        queue_world_consumer_free(&consumers[i]);
    }
    printf("%u steps as the reference, %" PRIu64 " refused, %" PRIu64 " dead letters\n", STEPS, rejected, dead_count);
    queue_world_stop(&world);
    queue_world_free(&world);
    for (unsigned i = 0; i < QUEUES; i++)
        while (plain[i].entries)
            plain_free(&plain[i], plain[i].entries);
}

/* -- nothing waited for -------------------------------------------------------------------------------------------------------------------- */

static uint8_t ended[NUMBERS];
static unsigned last_of[WORKERS]; /* per publisher: what came last for the first time */

static void drain_new(struct queue_world_consumer *c, unsigned *seen, uint64_t id)
{
    for (; *seen < c->count; ++*seen) {
        const struct queue_world_delivery *d = &c->got[*seen];
        unsigned number = (unsigned)atoi(d->body);
        if (!d->redelivered) {
            assert(number > last_of[number % WORKERS]);
            last_of[number % WORKERS] = number;
        }
        enum queue_settle how = below(4) ? SETTLE_ACK : SETTLE_REQUEUE;
        struct queue_request r = {.verb = QUEUE_SETTLE, .settle = how};
        queue_world_send(&world, c->worker, id, &r, &d->entry, 1);
        if (how == SETTLE_ACK)
            assert(!ended[number]++);
    }
}

/* One consumer that requeues some, and publishers on all workers. */
static void in_any_order(void)
{
    struct queue_world_consumer c = {.hold = true};
    unsigned seen = 0, number[WORKERS] = {0};
    char text[24];
    memset(ended, 0, sizeof ended);
    memset(last_of, 0, sizeof last_of);
    queue_world_init(&world);
    queue_world_start(&world, WORKERS);
    uint64_t id = queue_world_declare(&world, "q", below(WORKERS), false, NULL)->id;
    assert(queue_world_consume(&world, &c, below(WORKERS), "q", &(struct queue_request){.prefetch = 5}) == QUEUE_DONE);
    for (unsigned n = 0; n < STEPS; n++) {
        unsigned worker = below(WORKERS);
        if (below(3) == 0) {
            snprintf(text, sizeof text, "%u", ++number[worker] * WORKERS + worker);
            assert(queue_world_publish_text(&world, worker, "q", text));
        }
        if (below(2))
            queue_world_turn(&world, below(WORKERS));
        if (below(3) == 0)
            queue_world_return(&c, 1 + below(3));
        if (below(3) == 0)
            drain_new(&c, &seen, id);
        if (n % 64 == 0)
            queue_world_check(&world);
    }
    c.hold = false;
    for (unsigned quiet = 0; quiet < 3; quiet++) {
        queue_world_return(&c, UINT32_MAX);
        queue_world_settle(&world);
        unsigned before_count = c.count;
        drain_new(&c, &seen, id);
        queue_world_settle(&world);
        quiet = c.count != before_count ? 0 : quiet;
    }
    uint64_t published = 0;
    for (unsigned worker = 0; worker < WORKERS; worker++)
        for (unsigned i = 1; i <= number[worker]; i++, published++)
            assert(ended[i * WORKERS + worker] == 1);
    printf("%" PRIu64 " messages in any order, each ended once, %u deliveries\n", published, c.count);
    assert(queue_world_cancel(&c) == QUEUE_DONE);
    queue_world_consumer_free(&c);
    queue_world_check(&world);
    queue_world_stop(&world);
    queue_world_free(&world);
}

int main(void)
{
    uint64_t seed = support_seed("tests/model/model-queue_core");
    mr_random_seed(&random_numbers, seed);
    against_the_reference();
    in_any_order();
    return 0;
}
