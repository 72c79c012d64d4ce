/* The wheel keeps a node with expiry tick T, seen from the current tick C, on the level of the highest byte in which T and
 * C differ; its slot is that byte of T:
 *
 *      byte:      3 and above |    2    |    1    |    0
 *      T - C:     2^24 ticks  |  2^16   |  2^8    |    1       per slot
 *
 * So levels 0 to 2 only hold slots ahead of C's own byte, and what they hold is earlier than anything on a higher level:
 * the next event is the first occupied slot of the lowest occupied level. When C reaches the start of a slot above level
 * 0, its nodes are placed again, lower ("cascade"). The last level is circular: it also takes what is further away than
 * it can name, in its furthest slot, to be placed again when C gets there. */
#include "stack/base/wheel.h"

#include <string.h>

#include "stack/base/assert.h"

#define SLOT_MASK  (WHEEL_SLOTS - 1)
#define LEVEL_LAST (WHEEL_LEVELS - 1)
#define TICK_NONE  UINT64_MAX

/* The first tick at which `deadline` has passed. */
static uint64_t deadline_tick(mr_time deadline)
{
    return (deadline >> WHEEL_TICK_SHIFT) + ((deadline & (((mr_time)1 << WHEEL_TICK_SHIFT) - 1)) != 0);
}

static mr_time deadline_with_kind(mr_time deadline, enum wheel_kind kind)
{
    mr_time rounded = deadline > UINT64_MAX - WHEEL_KIND_MASK ? deadline : deadline + WHEEL_KIND_MASK;
    return (rounded & ~(mr_time)WHEEL_KIND_MASK) | kind;
}

/* The byte of `tick` that chooses the slot on `level`. */
static unsigned slot_of_tick(uint64_t tick, unsigned level)
{
    return (unsigned)(tick >> (level * WHEEL_SLOT_BITS)) & SLOT_MASK;
}

static void list_push(struct mr_wheel_node **head, struct mr_wheel_node *n)
{
    n->next = *head;
    n->link = head;
    if (n->next)
        n->next->link = &n->next;
    *head = n;
}

static void list_remove(struct mr_wheel_node *n)
{
    *n->link = n->next;
    if (n->next)
        n->next->link = n->link;
    n->link = NULL;
    n->next = NULL;
}

static void list_move(struct mr_wheel_node **to, struct mr_wheel_node **from)
{
    *to = *from;
    *from = NULL;
    if (*to)
        (*to)->link = to;
}

static void slot_push(struct wheel *wheel, unsigned level, unsigned slot, struct mr_wheel_node *n)
{
    list_push(&wheel->slot[level][slot], n);
    wheel->occupied[level][slot / 64] |= UINT64_C(1) << (slot % 64);
}

static void slot_clear(struct wheel *wheel, unsigned level, unsigned slot)
{
    wheel->occupied[level][slot / 64] &= ~(UINT64_C(1) << (slot % 64));
}

static bool slot_occupied(const struct wheel *wheel, unsigned level, unsigned slot)
{
    return wheel->occupied[level][slot / 64] >> (slot % 64) & 1;
}

/* The first occupied slot of `level` that is >= `from`, or WHEEL_SLOTS. */
static unsigned slot_find(const struct wheel *wheel, unsigned level, unsigned from)
{
    if (from >= WHEEL_SLOTS)
        return WHEEL_SLOTS;
    uint64_t word = wheel->occupied[level][from / 64] & (UINT64_MAX << (from % 64));
    for (unsigned i = from / 64;;) {
        if (word)
            return i * 64 + (unsigned)__builtin_ctzll(word);
        if (++i == WHEEL_SLOTS / 64)
            return WHEEL_SLOTS;
        word = wheel->occupied[level][i];
    }
}

/* Puts `n`, which expires after the current tick, into its slot. */
static void node_place(struct wheel *wheel, struct mr_wheel_node *n)
{
    uint64_t tick = deadline_tick(wheel_node_deadline(n)), difference = tick ^ wheel->tick;
    unsigned level = (63 - (unsigned)__builtin_clzll(difference)) / WHEEL_SLOT_BITS;
    if (level < LEVEL_LAST) {
        slot_push(wheel, level, slot_of_tick(tick, level), n);
        return;
    }
    uint64_t ahead = (tick >> (LEVEL_LAST * WHEEL_SLOT_BITS)) - (wheel->tick >> (LEVEL_LAST * WHEEL_SLOT_BITS));
    unsigned slots = ahead < WHEEL_SLOTS ? (unsigned)ahead : WHEEL_SLOTS - 1;
    slot_push(wheel, LEVEL_LAST, (slot_of_tick(wheel->tick, LEVEL_LAST) + slots) & SLOT_MASK, n);
}

void wheel_init(struct wheel *wheel, mr_time now)
{
    memset(wheel, 0, sizeof *wheel);
    wheel->now = now;
    wheel->tick = now >> WHEEL_TICK_SHIFT;
}

void wheel_arm(struct wheel *wheel, struct mr_wheel_node *n, enum wheel_kind kind, mr_time deadline)
{
    wheel_cancel(wheel, n);
    n->deadline = deadline_with_kind(deadline, kind);
    wheel->armed++;
    if (wheel_node_deadline(n) <= wheel->now)
        list_push(&wheel->late, n);
    else
        node_place(wheel, n);
}

void wheel_cancel(struct wheel *wheel, struct mr_wheel_node *n)
{
    if (!wheel_node_armed(n))
        return;
    /* When the node was the only one of a slot, `link` points into the slot table. */
    uintptr_t offset = (uintptr_t)n->link - (uintptr_t)wheel->slot;
    list_remove(n);
    wheel->armed--;
    if (offset >= sizeof wheel->slot)
        return;
    unsigned index = (unsigned)(offset / sizeof wheel->slot[0][0]);
    if (!wheel->slot[index / WHEEL_SLOTS][index % WHEEL_SLOTS])
        slot_clear(wheel, index / WHEEL_SLOTS, index % WHEEL_SLOTS);
}

/* The next tick at which a slot must be looked at, or TICK_NONE. */
static uint64_t next_event(const struct wheel *wheel)
{
    for (unsigned level = 0; level < LEVEL_LAST; level++) {
        unsigned slot = slot_find(wheel, level, slot_of_tick(wheel->tick, level) + 1);
        if (slot == WHEEL_SLOTS)
            continue;
        unsigned shift = level * WHEEL_SLOT_BITS;
        return (((wheel->tick >> shift) & ~(uint64_t)SLOT_MASK) | slot) << shift;
    }
    unsigned current = slot_of_tick(wheel->tick, LEVEL_LAST);
    unsigned slot = slot_find(wheel, LEVEL_LAST, current + 1);
    if (slot == WHEEL_SLOTS)
        slot = slot_find(wheel, LEVEL_LAST, 0);
    if (slot == WHEEL_SLOTS)
        return TICK_NONE;
    unsigned shift = LEVEL_LAST * WHEEL_SLOT_BITS;
    return ((wheel->tick >> shift) + ((slot - current) & SLOT_MASK)) << shift;
}

/* The current tick is the start of `slot`: its nodes are due now or belong to a lower level (or, from the last one, may
 * still be too far away to be named). */
static void slot_cascade(struct wheel *wheel, unsigned level, unsigned slot)
{
    struct mr_wheel_node *list = wheel->slot[level][slot];
    wheel->slot[level][slot] = NULL;
    slot_clear(wheel, level, slot);
    while (list) {
        struct mr_wheel_node *n = list;
        list = n->next;
        if (deadline_tick(wheel_node_deadline(n)) <= wheel->tick)
            list_push(&wheel->due, n);
        else
            node_place(wheel, n);
    }
}

/* Moves the nodes of the next occupied tick up to `target` to the empty `due`; false when there is none (then the
 * current tick is `target`). May leave `due` empty after a cascade. */
static bool wheel_advance(struct wheel *wheel, uint64_t target)
{
    uint64_t event = next_event(wheel);
    if (event > target) {
        wheel->tick = target;
        return false;
    }
    wheel->tick = event;
    list_move(&wheel->due, &wheel->slot[0][event & SLOT_MASK]);
    slot_clear(wheel, 0, event & SLOT_MASK);
    for (unsigned level = LEVEL_LAST; level > 0; level--) {
        unsigned slot = slot_of_tick(event, level);
        bool at_start = (event & ((UINT64_C(1) << (level * WHEEL_SLOT_BITS)) - 1)) == 0;
        if (at_start && slot_occupied(wheel, level, slot))
            slot_cascade(wheel, level, slot);
    }
    return true;
}

static void pass_begin(struct wheel *wheel, mr_time now)
{
    wheel->now = now > wheel->now ? now : wheel->now;
    wheel->expiring = true;
    list_move(&wheel->due, &wheel->late);
}

/* Most turns end in the tick in which the one before ended: slots hold later ticks only. */
static inline bool nothing_new(const struct wheel *wheel, mr_time now)
{
    return !wheel->due && !wheel->late && now >= wheel->now && now >> WHEEL_TICK_SHIFT == wheel->tick;
}

struct mr_wheel_node *wheel_expire(struct wheel *wheel, mr_time now)
{
    if (nothing_new(wheel, now)) {
        wheel->now = now;
        wheel->expiring = false;
        return NULL;
    }
    if (!wheel->due && (!wheel->expiring || now > wheel->now))
        pass_begin(wheel, now);
    uint64_t target = wheel->now >> WHEEL_TICK_SHIFT;
    while (!wheel->due) {
        if (!wheel_advance(wheel, target)) {
            wheel->expiring = false;
            return NULL;
        }
    }
    struct mr_wheel_node *n = wheel->due;
    list_remove(n);
    wheel->armed--;
    return n;
}

mr_time wheel_next(const struct wheel *wheel)
{
    if (wheel->due || wheel->late)
        return wheel->tick << WHEEL_TICK_SHIFT;
    uint64_t event = next_event(wheel);
    return event > (MR_NEVER >> WHEEL_TICK_SHIFT) ? MR_NEVER : event << WHEEL_TICK_SHIFT;
}

static void node_check_placed(const struct wheel *wheel, const struct mr_wheel_node *n, unsigned level, unsigned slot)
{
    uint64_t tick = deadline_tick(wheel_node_deadline(n));
    unsigned shift = level * WHEEL_SLOT_BITS;
    ASSERT_COMPARE(tick, >, wheel->tick);
    if (level < LEVEL_LAST) {
        ASSERT_COMPARE(tick >> (shift + WHEEL_SLOT_BITS), ==, wheel->tick >> (shift + WHEEL_SLOT_BITS));
        ASSERT_COMPARE(slot_of_tick(tick, level), ==, slot);
        ASSERT_COMPARE(slot, >, slot_of_tick(wheel->tick, level));
    } else {
        unsigned slots = (slot - slot_of_tick(wheel->tick, level)) & SLOT_MASK;
        ASSERT_COMPARE(slots, >, 0);
        ASSERT_COMPARE(tick >> shift, >=, (wheel->tick >> shift) + slots);
    }
}

static unsigned list_check(struct mr_wheel_node *const *head)
{
    unsigned count = 0;
    for (struct mr_wheel_node *const *link = head; *link; link = &(*link)->next, count++)
        ASSERT_COMPARE((uintptr_t)(*link)->link, ==, (uintptr_t)link);
    return count;
}

static unsigned late_check(const struct wheel *wheel, struct mr_wheel_node *const *head)
{
    for (const struct mr_wheel_node *n = *head; n; n = n->next)
        ASSERT_COMPARE(wheel_node_deadline(n), <=, wheel->now);
    return list_check(head);
}

void wheel_check(const struct wheel *wheel)
{
    ASSERT_COMPARE(wheel->tick, <=, wheel->now >> WHEEL_TICK_SHIFT);
    unsigned count = late_check(wheel, &wheel->due) + late_check(wheel, &wheel->late);
    for (unsigned level = 0; level < WHEEL_LEVELS; level++) {
        for (unsigned slot = 0; slot < WHEEL_SLOTS; slot++) {
            ASSERT_COMPARE(slot_occupied(wheel, level, slot), ==, wheel->slot[level][slot] != NULL);
            count += list_check(&wheel->slot[level][slot]);
            for (const struct mr_wheel_node *n = wheel->slot[level][slot]; n; n = n->next)
                node_check_placed(wheel, n, level, slot);
        }
    }
    ASSERT_COMPARE(count, ==, wheel->armed);
}
