/* Items ordered by time and, at equal times, by the order in which they were put in: a binary heap. */
#ifndef DRIVERS_SIM_SCHEDULE_H
#define DRIVERS_SIM_SCHEDULE_H

#include <millrace/types.h>

struct schedule_entry {
    mr_time at;
    uint64_t serial;
    void *item;
};

struct schedule {
    struct schedule_entry *entry; /* heap: entry[0] is the earliest */
    uint32_t count;
    uint32_t limit; /* entries allocated */
    bool grows;     /* doubles when full; otherwise schedule_put refuses */
    uint64_t serial;
};

/* Room for `limit` entries (at least one). False when memory is short. */
bool schedule_init(struct schedule *s, uint32_t limit, bool grows);

/* Frees the heap, not the items. */
void schedule_free(struct schedule *s);

/* False, and `item` stays the caller's, when it is full or cannot grow. */
bool schedule_put(struct schedule *s, mr_time at, void *item);

/* Takes out the earliest item that is due at `now`, or NULL. */
void *schedule_take(struct schedule *s, mr_time now);

/* The earliest item without taking it; NULL when empty. */
void *schedule_peek(const struct schedule *s);

/* Time of the earliest item; MR_NEVER when empty. */
static inline mr_time schedule_next(const struct schedule *s)
{
    return s->count ? s->entry[0].at : MR_NEVER;
}

#endif
