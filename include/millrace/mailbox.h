/* Messages between workers, and blocking work handed to offload threads. Both end in a function that runs on a worker,
 * in its own turn: nothing here needs a lock in the service. */
#ifndef MILLRACE_MAILBOX_H
#define MILLRACE_MAILBOX_H

#include <millrace/error.h>
#include <millrace/types.h>

typedef void (*mr_message_fn)(struct mr_worker *w, void *argument);

/* Runs `fn(target, argument)` on worker `target` in one of its next turns; messages from one worker to another arrive in
 * order. To be answered, post back. `from` must be the calling worker.
 * MR_OK; MR_ERROR_NO_MEMORY: the target's mailbox is full (the caller keeps `argument` and tries again later);
 * MR_ERROR_UNKNOWN: no such worker. */
int mr_post(struct mr_worker *from, unsigned target, mr_message_fn fn, void *argument);

unsigned mr_worker_count(const struct mr_worker *w);

/* Runs `work(argument)` on an offload thread, where it may block, then `done(w, argument)` on this worker. In virtual
 * time the work runs at once, on this thread, and `done` in the next mailbox phase.
 * MR_OK; MR_ERROR_NO_MEMORY: too many outstanding (the caller keeps `argument`). */
int mr_offload(struct mr_worker *w, void (*work)(void *argument), mr_message_fn done, void *argument);

#endif
