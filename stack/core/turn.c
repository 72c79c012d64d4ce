/* What services deferred to the end of the turn. */
#include <millrace/turn.h>

#include "stack/core/layers.h"
#include "stack/core/worker.h"

void mr_defer(struct mr_worker *w, struct mr_deferred *d)
{
    if (d->queued)
        return;
    d->queued = true;
    d->next = NULL;
    if (!w->deferred)
        w->deferred_end = &w->deferred;
    *w->deferred_end = d;
    w->deferred_end = &d->next;
}

/* What is deferred meanwhile waits for the next turn, so that one turn is bounded. */
unsigned turn_end(struct mr_worker *w)
{
    unsigned ran = 0;
    struct mr_deferred *d = w->deferred;
    w->deferred = NULL;
    while (d) {
        struct mr_deferred *next = d->next;
        d->queued = false;
        d->run(w, d);
        d = next;
        ran++;
    }
    return ran;
}
