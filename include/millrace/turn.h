/* Work at the end of a turn: what a service owes once for all that happened in the turn, such as messages collected for other
 * workers. Embedded, no allocation. */
#ifndef MILLRACE_TURN_H
#define MILLRACE_TURN_H

#include <millrace/types.h>

struct mr_deferred {
    struct mr_deferred *next; /* private */
    void (*run)(struct mr_worker *w, struct mr_deferred *d);
    void *context;
    bool queued; /* private */
};

/* Runs `d->run` once, after the events of this turn were delivered and before its packets go out; called again in the same turn it does
 * nothing. From inside a deferred run it means the next turn, which then comes at once. `d` must stay valid until it ran. */
void mr_defer(struct mr_worker *w, struct mr_deferred *d);

#endif
