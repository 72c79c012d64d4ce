/* A durable queue under seeded random operations, with losses of power at random system calls: the folder is copied as the disk would have it
 * then, of what was not synced a random part, and a second life begins in the copy. There, exactly as promised:
 *
 *     confirmed, and nobody was told to have acknowledged it: there, once, with its body
 *     acknowledged, and the log was safe at some time after: not there
 *     never published, or transient: not there
 *     the order of those that are there: as published; those delivered two seconds before: redelivered
 *
 * and that a third life in the same folder finds what the second left. */
#include <millrace/random.h>

#include "tests/support/durable_world.h"
#include "tests/support/seed.h"

#define ROUNDS   60
#define STEPS    250
#define MESSAGES 1024

enum fate { WAITS, HELD, ACK_SENT };

struct record {
    bool published, persistent, confirmed, refused;
    enum fate fate;
    bool ack_safe;        /* the log was safe at a time when it was gone */
    bool delivered_safe;  /* ... and knew that it was delivered */
    mr_time delivered_at; /* 0: not yet */
    uint64_t entry;
    size_t bytes;
};

struct model {
    struct record m[MESSAGES];
    unsigned count;
};

static struct run {
    struct mr_random random;
    uint64_t seed;
    char folder[64], logs[96], copy[96];
    struct world x;
    struct model model;
    uint64_t crash_at; /* system calls until it comes; 0: it came */
    struct model crashed;
    bool hungry;
    unsigned crashes, present, trimmed, carried;
} r;

/* To standard output: what the logs say of failing calls goes away. */
#define REQUIRE(condition, ...)                          \
    do {                                                 \
        if (!(condition)) {                              \
            printf("seed %lu: ", (unsigned long)r.seed); \
            printf(__VA_ARGS__);                         \
            putchar('\n');                               \
            fflush(stdout);                              \
            abort();                                     \
        }                                                \
    } while (0)

static unsigned below(unsigned n)
{
    return mr_random_below(&r.random, n);
}

static void crash_look(void)
{
    if (!r.crash_at || --r.crash_at)
        return;
    r.crashed = r.model;
    r.crashes++;
    world_copy(r.logs, r.copy, below(101));
}

static void confirmed(void *context, uint64_t tag, bool good)
{
    (void)context;
    r.model.m[tag].confirmed = good;
    r.model.m[tag].refused = !good;
}

static uint8_t scratch[20000];
static void body_fill(unsigned i, size_t bytes)
{
    memset(scratch, (int)('a' + i % 26), bytes);
    memcpy(scratch, &i, sizeof i);
}

static void publish(const struct catalog_queue *q)
{
    if (r.model.count == MESSAGES)
        return;
    unsigned i = r.model.count++;
    struct record *m = &r.model.m[i];
    *m = (struct record){.published = true, .persistent = below(8) != 0};
    m->bytes = sizeof i + (below(10) ? below(300) : below(15000));
    body_fill(i, m->bytes);
    struct world_letter l = {.body = scratch, .body_bytes = m->bytes, .transient = !m->persistent};
    m->refused = !world_put(&r.x, q, &l, i, confirmed, NULL);
}

static unsigned index_got(void)
{
    unsigned i;
    memcpy(&i, world_gotten.body, sizeof i);
    REQUIRE(i < r.model.count && r.model.m[i].published, "message %u was never published", i);
    REQUIRE(world_gotten.body_length == r.model.m[i].bytes, "message %u has another length", i);
    body_fill(i, r.model.m[i].bytes);
    REQUIRE(!memcmp(scratch, world_gotten.body, r.model.m[i].bytes), "message %u has another body", i);
    return i;
}

static void get(const struct catalog_queue *q)
{
    fake_offload_hold(r.x.w, false); /* its message may have to be read back */
    if (world_get(&r.x, q, false) != QUEUE_DONE)
        return;
    struct record *m = &r.model.m[index_got()];
    REQUIRE(m->fate == WAITS, "a message was given twice");
    m->fate = HELD;
    m->entry = world_gotten.entry;
    if (!m->delivered_at)
        m->delivered_at = mr_now(r.x.w);
}

static void settle(const struct catalog_queue *q)
{
    for (unsigned tries = 0; tries < 20 && r.model.count; tries++) {
        struct record *m = &r.model.m[below(r.model.count)];
        if (m->fate != HELD)
            continue;
        enum queue_settle how = below(4) ? SETTLE_ACK : below(2) ? SETTLE_REJECT : SETTLE_REQUEUE;
        m->fate = how == SETTLE_REQUEUE ? WAITS : ACK_SENT;
        world_settle_entry(&r.x, q, m->entry, how);
        return;
    }
}

/* A consumer that keeps up, but for what somebody else holds: the log is mostly dead then. */
static void consume(const struct catalog_queue *q)
{
    fake_offload_hold(r.x.w, false);
    for (unsigned n = below(20); n && world_get(&r.x, q, false) == QUEUE_DONE; n--) {
        struct record *m = &r.model.m[index_got()];
        REQUIRE(m->fate == WAITS, "a message was given twice");
        m->fate = ACK_SENT;
        world_settle_entry(&r.x, q, world_gotten.entry, SETTLE_ACK);
    }
}

/* Everything that was asked for is in the log, and the log is on the disk. */
static void safe_look(const struct catalog_queue *q)
{
    const struct durable *d = world_queue(&r.x, q)->durable;
    r.carried += d->carried_until != 0;
    if (fake_worker_busy(r.x.w) || d->gone || qlog_safe(d->log) < qlog_next(d->log))
        return;
    for (unsigned i = 0; i < r.model.count; i++) {
        struct record *m = &r.model.m[i];
        m->ack_safe |= m->fate == ACK_SENT;
        m->delivered_safe |= m->delivered_at && mr_now(r.x.w) - m->delivered_at > 2 * MR_SECOND;
    }
}

static void trouble(void)
{
    world_disk.write_error = below(6) ? 0 : ENOSPC;
    world_disk.sync_error = below(6) ? 0 : EIO;
}

static void step(const struct catalog_queue *q)
{
    switch (below(12)) {
    case 0:
    case 1:
    case 2:
    case 3:
        for (unsigned n = 1 + below(4); n; n--)
            publish(q);
        break;
    case 4:
    case 5:
        get(q);
        break;
    case 6:
        settle(q);
        break;
    case 7:
        if (r.hungry)
            consume(q);
        break;
    case 8:
        world_pass(&r.x, below(3) ? 100 * MR_MILLISECOND : 1100 * MR_MILLISECOND);
        break;
    case 9:
        trouble();
        break;
    case 10:
        fake_offload_hold(r.x.w, below(3) == 0);
        break;
    default:
        world_turns(&r.x, 1 + below(5));
    }
    safe_look(q);
    queue_set_check(&r.x.b);
}

static void life(struct world *x, const char *folder)
{
    world_init(x, folder);
    x->segment_bytes = 4096;
    x->memory_limit = 3 << 18;
    world_declare(x, 7, "q");
    world_start(x);
}

/* -- the second life ---------------------------------------------------------------------------------------------------------------- */

static void expect(const struct model *m, const bool *there, const bool *redelivered)
{
    for (unsigned i = 0; i < m->count; i++) {
        const struct record *p = &m->m[i];
        if (there[i]) {
            REQUIRE(p->persistent, "message %u is transient and came back", i);
            REQUIRE(!p->ack_safe, "message %u was acknowledged safely and came back", i);
            REQUIRE(!p->delivered_safe || redelivered[i], "message %u was delivered and does not say so", i);
            r.present++;
        } else {
            REQUIRE(!p->persistent || !p->confirmed || p->fate == ACK_SENT, "message %u was confirmed and is lost", i);
        }
    }
}

static void drain(struct world *x, bool *there, bool *redelivered, bool keep)
{
    const struct catalog_queue *q = &x->catalog.queues[0];
    int before = -1;
    memset(there, 0, MESSAGES);
    queue_set_check(&x->b);
    REQUIRE(!durable_error(world_queue(x, q)), "the log cannot be read");
    while (world_get(x, q, !keep) == QUEUE_DONE) {
        unsigned i = index_got();
        REQUIRE((int)i > before, "message %u comes behind %d", i, before);
        before = (int)i;
        there[i] = true;
        redelivered[i] = world_gotten.redelivered;
    }
    queue_set_check(&x->b);
}

static void second_life(void)
{
    static bool there[MESSAGES], redelivered[MESSAGES], again[MESSAGES];
    static struct world y;
    life(&y, r.copy);
    drain(&y, there, redelivered, true);
    expect(&r.crashed, there, redelivered);
    world_pass(&y, 1100 * MR_MILLISECOND);
    world_stop(&y, below(2));
    life(&y, r.copy);
    drain(&y, again, redelivered, false);
    for (unsigned i = 0; i < r.crashed.count; i++)
        REQUIRE(again[i] == there[i] && (!again[i] || redelivered[i]), "message %u: the third life has it otherwise",
                i);
    world_settle(&y);
    world_stop(&y, true);
}

static void round_run(void)
{
    memset(&world_disk, 0, sizeof world_disk);
    memset(&r.model, 0, sizeof r.model);
    snprintf(r.logs, sizeof r.logs, "%s/logs", r.folder);
    snprintf(r.copy, sizeof r.copy, "%s/copy", r.folder);
    life(&r.x, r.logs);
    const struct catalog_queue *q = &r.x.catalog.queues[0];
    r.hungry = below(3) != 0;
    r.crash_at = 1 + below(400);
    world_disk.before = crash_look;
    for (unsigned i = 0; i < STEPS && r.crash_at; i++)
        step(q);
    if (r.crash_at) { /* it never came: now then */
        r.crash_at = 1;
        crash_look();
    }
    world_disk.before = NULL;
    world_disk.write_error = world_disk.sync_error = 0;
    fake_offload_hold(r.x.w, false);
    world_pass(&r.x, MR_SECOND);
    world_settle(&r.x);
    for (unsigned i = 0; i < r.model.count; i++)
        REQUIRE(r.model.m[i].confirmed || r.model.m[i].refused, "message %u was never answered", i);
    r.trimmed += qlog_begin(world_queue(&r.x, q)->durable->log) != 0;
    world_stop(&r.x, true);
    second_life();
    char command[300];
    snprintf(command, sizeof command, "rm -rf --one-file-system '%s' '%s'", r.logs, r.copy);
    REQUIRE(system(command) == 0, "the folder cannot be removed");
}

int main(int argc, char **argv)
{
    const char *rounds = getenv("TEST_ROUNDS");
    (void)argc;
    r.seed = support_seed(argv[0]);
    strcpy(r.folder, "/tmp/queue-crash-XXXXXX");
    REQUIRE(mkdtemp(r.folder), "no folder");
    if (!getenv("TEST_VERBOSE") && !freopen("/dev/null", "w", stderr))
        return 1;
    for (unsigned i = 0, n = rounds ? (unsigned)atoi(rounds) : ROUNDS; i < n; i++) {
        mr_random_seed(&r.random, r.seed + i);
        round_run();
    }
    printf("crashes %u, messages found again %u, logs trimmed %u, steps with copies not safe yet %u\n", r.crashes,
           r.present, r.trimmed, r.carried);
    return rmdir(r.folder) || !r.present || !r.trimmed || !r.carried;
}
