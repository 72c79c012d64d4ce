/* The wheel against a list that is searched whole: random arming, moving, cancelling and passing of time, from one
 * nanosecond to decades, and from inside expiry. After every step the wheel checks itself. */
#include <millrace/random.h>

#include "stack/base/assert.h"
#include "stack/base/wheel.h"
#include "tests/support/seed.h"

#define TICK  ((mr_time)1 << WHEEL_TICK_SHIFT)
#define NODES 64
#define STEPS 60000

struct entry {
    struct mr_wheel_node node; /* first */
    bool armed;
    bool next_pass; /* armed when already past: not before wheel_expire has said NULL or was given a later time */
    mr_time deadline;
    enum wheel_kind kind;
};

static struct wheel wheel;
static struct entry entries[NODES];
static struct mr_random random_numbers;
static mr_time now;
static unsigned long fired_total;

/* Any magnitude is equally likely. */
static mr_time random_distance(void)
{
    unsigned bits = mr_random_below(&random_numbers, 62);
    return mr_random_next(&random_numbers) >> (63 - bits);
}

static mr_time random_deadline(void)
{
    switch (mr_random_below(&random_numbers, 20)) {
    case 0:
        return MR_NEVER;
    case 1:
        return now - (now >> mr_random_below(&random_numbers, 64));
    case 2:
        return now;
    case 3:
        return ((now >> WHEEL_TICK_SHIFT) + mr_random_below(&random_numbers, 1000)) << WHEEL_TICK_SHIFT;
    case 4: { /* at the edge of a slot of any level */
        unsigned shift = WHEEL_TICK_SHIFT + WHEEL_SLOT_BITS * mr_random_below(&random_numbers, WHEEL_LEVELS + 1);
        return (((now >> shift) + 1 + mr_random_below(&random_numbers, 300)) << shift) +
               mr_random_below(&random_numbers, 3) - 1;
    }
    default: {
        mr_time distance = random_distance();
        return distance > MR_NEVER - now ? MR_NEVER : now + distance;
    }
    }
}

static void entry_arm(struct entry *e)
{
    e->deadline = random_deadline();
    e->kind = (enum wheel_kind)mr_random_below(&random_numbers, WHEEL_KINDS);
    e->armed = true;
    wheel_arm(&wheel, &e->node, e->kind, e->deadline);
    ASSERT(wheel_node_armed(&e->node));
    ASSERT_COMPARE(wheel_node_kind(&e->node), ==, e->kind);
}

static void entry_cancel(struct entry *e)
{
    wheel_cancel(&wheel, &e->node);
    e->armed = false;
    ASSERT(!wheel_node_armed(&e->node));
}

static void change_something(void)
{
    struct entry *e = &entries[mr_random_below(&random_numbers, NODES)];
    if (mr_random_below(&random_numbers, 3))
        entry_arm(e);
    else
        entry_cancel(e);
}

static mr_time model_earliest(void)
{
    mr_time earliest = MR_NEVER;
    for (unsigned i = 0; i < NODES; i++)
        if (entries[i].armed && entries[i].deadline < earliest)
            earliest = entries[i].deadline;
    return earliest;
}

/* Whether `e` must have fired by `now`, and whether it may have. */
static bool model_must(const struct entry *e)
{
    return e->armed && e->deadline <= now && now - e->deadline > TICK;
}

static void model_check(void)
{
    unsigned armed = 0;
    for (unsigned i = 0; i < NODES; i++) {
        armed += entries[i].armed;
        ASSERT_COMPARE(wheel_node_armed(&entries[i].node), ==, entries[i].armed);
    }
    ASSERT_COMPARE(wheel.armed, ==, armed);
    wheel_check(&wheel);
    /* wheel_next names a time until which one may wait; never when nothing is armed. */
    mr_time next = wheel_next(&wheel), earliest = model_earliest();
    if (armed == 0)
        ASSERT_COMPARE(next, ==, MR_NEVER);
    else if (earliest < MR_NEVER - TICK)
        ASSERT_COMPARE(next, <=, (earliest > now ? earliest : now) + TICK);
}

/* All that is due, changing other entries meanwhile; those changed while past wait for the next pass. */
static void expire_all(void)
{
    bool changed[NODES] = {0};
    mr_time last_tick = 0;
    for (unsigned fired = 0;; fired++) {
        struct entry *e = (struct entry *)wheel_expire(&wheel, now);
        if (!e)
            break;
        ASSERT_COMPARE(fired, <, NODES * 64);
        ASSERT(e->armed);
        ASSERT(!wheel_node_armed(&e->node));
        ASSERT_COMPARE(e->deadline, <=, now);
        ASSERT_COMPARE(wheel_node_kind(&e->node), ==, e->kind);
        mr_time tick = (e->deadline + TICK - 1) >> WHEEL_TICK_SHIFT;
        if (!e->next_pass) { /* in the order of ticks */
            ASSERT_COMPARE(tick, >=, last_tick);
            last_tick = tick;
        }
        e->armed = e->next_pass = false;
        fired_total++;
        if (mr_random_below(&random_numbers, 4) == 0) {
            struct entry *other = &entries[mr_random_below(&random_numbers, NODES)];
            if (mr_random_below(&random_numbers, 2))
                entry_arm(other);
            else
                entry_cancel(other);
            changed[other - entries] = true;
        }
        wheel_check(&wheel);
    }
    for (unsigned i = 0; i < NODES; i++) {
        entries[i].next_pass = entries[i].armed && entries[i].deadline <= now;
        ASSERT(changed[i] || !model_must(&entries[i]));
    }
}

static void time_pass(void)
{
    mr_time next = wheel_next(&wheel), step = random_distance() >> mr_random_below(&random_numbers, 20);
    switch (mr_random_below(&random_numbers, 4)) {
    case 0: /* exactly when the wheel asks for it */
        if (next != MR_NEVER && next > now)
            now = next;
        break;
    case 1: /* just before: nothing fires but what was late already */
        if (next != MR_NEVER && next > now)
            now = next - 1;
        break;
    default: /* but stay below the end of time for long enough */
        if (now < (MR_NEVER >> 2))
            now += step >> 8;
        break;
    }
}

/* Sleeping exactly as long as wheel_next says, each armed entry fires at most one tick late. */
static void drain_by_next(void)
{
    for (unsigned i = 0; i < NODES; i++) {
        mr_time limit = now + ((mr_time)1 << 60);
        if (entries[i].armed && entries[i].deadline > limit)
            entry_cancel(&entries[i]);
    }
    for (unsigned steps = 0; wheel.armed; steps++) {
        ASSERT_COMPARE(steps, <, NODES * 8 * 70000u);
        mr_time next = wheel_next(&wheel);
        now = next > now ? next : now;
        for (struct entry *e; (e = (struct entry *)wheel_expire(&wheel, now)); e->armed = e->next_pass = false) {
            ASSERT(e->armed);
            ASSERT_COMPARE(e->deadline, <=, now);
            if (!e->next_pass)
                ASSERT_COMPARE(now - e->deadline, <=, TICK);
        }
        wheel_check(&wheel);
    }
    for (unsigned i = 0; i < NODES; i++)
        ASSERT(!entries[i].armed);
}

static void entries_mark_late(void)
{
    for (unsigned i = 0; i < NODES; i++)
        entries[i].next_pass = entries[i].armed && entries[i].deadline <= now;
}

static void run(mr_time start, unsigned steps)
{
    now = start;
    wheel_init(&wheel, now);
    for (unsigned i = 0; i < NODES; i++)
        entries[i] = (struct entry){0};
    for (unsigned i = 0; i < steps; i++) {
        change_something();
        entries_mark_late();
        if (mr_random_below(&random_numbers, 3) == 0) {
            time_pass();
            expire_all();
        }
        model_check();
    }
    drain_by_next();
}

int main(int argument_count, char **arguments)
{
    mr_random_seed(&random_numbers, support_seed(arguments[0]));
    run(0, STEPS / 3);
    for (unsigned i = 0; i < 20; i++)
        run(mr_random_next(&random_numbers) >> (3 + mr_random_below(&random_numbers, 40)), STEPS / 60);
    for (unsigned i = 0; i < 20; i++) /* at the edge of a slot of the last level */
        run(((mr_time)(i * 255) << (WHEEL_TICK_SHIFT + 24)) - (i ? 3 * TICK : 0), STEPS / 60);
    printf("%lu expiries\n", fired_total);
    ASSERT_COMPARE(fired_total, >, 1000);
    return 0;
}
