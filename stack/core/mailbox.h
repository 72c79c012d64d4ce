/* Mailboxes: one single-producer single-consumer ring from each worker to each worker, one for all other threads, and a
 * pool of offload threads.
 * Public side: include/millrace/mailbox.h. */
#ifndef STACK_CORE_MAILBOX_H
#define STACK_CORE_MAILBOX_H

#include <millrace/mailbox.h>

struct mr_worker;
struct worker_group;

/* A group of up to `workers` workers that can post to each other, with `offload_threads` threads for blocking work; 0
 * threads runs offloaded work inline (virtual time). The threads block every signal and inherit the CPU affinity of the
 * caller, so make the group before pinning. NULL when memory is short or a thread does not start. */
struct worker_group *worker_group_create(unsigned workers, unsigned offload_threads);

/* Puts `w` (with its index) into the group; before any of its members turns. */
void worker_group_join(struct worker_group *g, struct mr_worker *w);

/* Takes `w` out again, once no member turns any more: waits for its offloads and runs their completions and what else has
 * arrived; messages that still arrive from then on are dropped. worker_destroy begins with it, because offloaded work may
 * use what a service holds. Nothing happens when `w` is in no group. */
void worker_group_leave(struct mr_worker *w);

/* After the last turn of any member, before or after worker_destroy of them: members that are left leave, the threads
 * end. */
void worker_group_destroy(struct worker_group *g);

/* From any thread that is no worker (control): runs `fn(target, argument)` in the target's turn. May block briefly.
 * MR_OK, MR_ERROR_NO_MEMORY (full), MR_ERROR_UNKNOWN. */
int worker_group_post(struct worker_group *g, unsigned target, mr_message_fn fn, void *argument);

/* Runs what arrived, at most 32 messages of each sender a turn; returns how many. `w->mailbox` may be NULL. */
unsigned mailbox_drain(struct mr_worker *w);
bool mailbox_pending(const struct mr_worker *w);

#endif
