/* Hierarchical timing wheel (Varghese and Lauck 1987): O(1) arm, move and cancel; intrusive nodes; nothing is allocated.
 *
 * Lazy re-arm is the callers' business: an owner whose deadline moved later leaves its node where it is and re-arms when
 * it fires. A node fires at or after its deadline, at most one tick (2^17 ns = 131 us) late; ticks fire in order, the
 * order within one tick is fixed by the history of calls but not by the deadlines. */
#ifndef STACK_BASE_WHEEL_H
#define STACK_BASE_WHEEL_H

#include <millrace/timer.h>

#define WHEEL_TICK_SHIFT 17
#define WHEEL_SLOT_BITS 8
#define WHEEL_SLOTS (1u << WHEEL_SLOT_BITS)
#define WHEEL_LEVELS 4 /* 2^(17+32) ns = 156 hours; deadlines beyond are kept in the last level and cascade again */

/* The kind lives in the low bits of a node's deadline, so that a node costs 24 bytes. */
#define WHEEL_KIND_BITS 3
#define WHEEL_KIND_MASK ((1u << WHEEL_KIND_BITS) - 1)

enum wheel_kind { WHEEL_PUBLIC, WHEEL_TCP, WHEEL_TCP_HALF_OPEN, WHEEL_TCP_TIME_WAIT, WHEEL_ARP, WHEEL_KINDS };

struct wheel {
    uint64_t tick;  /* the last tick whose nodes were taken out; slots hold later ones only */
    mr_time now;    /* the latest time that it was told */
    unsigned armed; /* nodes in the wheel */
    bool expiring;  /* wheel_expire has not said NULL yet for `now` */
    struct mr_wheel_node *due;  /* taken out of their slot, waiting to be returned */
    struct mr_wheel_node *late; /* armed when already past: for the next pass */
    uint64_t occupied[WHEEL_LEVELS][WHEEL_SLOTS / 64];
    struct mr_wheel_node *slot[WHEEL_LEVELS][WHEEL_SLOTS];
};

void wheel_init(struct wheel *wheel, mr_time now);

/* Arms `n`, or moves it when armed. A deadline not later than the last time given to wheel_expire fires in the next pass
 * of wheel_expire: when this is called between two of its returns, after it said NULL, so that an owner who arms `now`
 * each time it fires does not keep the loop from ending. Deadlines are rounded up to 2^WHEEL_KIND_BITS ns. */
void wheel_arm(struct wheel *wheel, struct mr_wheel_node *n, enum wheel_kind kind, mr_time deadline);

void wheel_cancel(struct wheel *wheel, struct mr_wheel_node *n);

static inline bool wheel_node_armed(const struct mr_wheel_node *n)
{
    return n->link != NULL;
}

static inline enum wheel_kind wheel_node_kind(const struct mr_wheel_node *n)
{
    return (enum wheel_kind)(n->deadline & WHEEL_KIND_MASK);
}

static inline mr_time wheel_node_deadline(const struct mr_wheel_node *n)
{
    return n->deadline & ~(uint64_t)WHEEL_KIND_MASK;
}

/* Advances to `now` and takes out one due node, or NULL when none is left. The node is disarmed when it is returned, so
 * its owner may arm it again, or free it, and arm, cancel or (when disarmed) free any other, before the next call. */
struct mr_wheel_node *wheel_expire(struct wheel *wheel, mr_time now);

/* A time not later than one tick after the earliest armed deadline and not earlier than that deadline when it lies in
 * the first level; for deadlines further out, the time of the next cascade that matters. MR_NEVER when nothing is armed. */
mr_time wheel_next(const struct wheel *wheel);

/* Verifies bitmaps, links and counts; aborts with a message naming both values. Tests and the simulator call it. */
void wheel_check(const struct wheel *wheel);

#endif
