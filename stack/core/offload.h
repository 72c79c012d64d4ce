/* Threads that may block, for workers that may not. Each worker hands requests in through a ring of its own; threads
 * take them under a mutex that no worker ever touches, and sleep on a futex that is only woken when one sleeps. */
#ifndef STACK_CORE_OFFLOAD_H
#define STACK_CORE_OFFLOAD_H

#include <millrace/mailbox.h>

#define OFFLOAD_QUEUE_MAX 1023 /* requests of one worker that no thread has taken yet */

struct offload;

struct offload_request {
    void (*work)(void *argument);
    mr_message_fn done;
    void *argument;
};

/* Called on an offload thread after `work`. */
typedef void (*offload_completed_fn)(void *context, unsigned worker, const struct offload_request *request);

/* Starts `threads` > 0 threads with every signal blocked and the CPU affinity of the caller. NULL when memory is short or
 * a thread cannot start. */
struct offload *offload_create(unsigned workers, unsigned threads, offload_completed_fn completed, void *context);

/* Finishes what was submitted, then ends and joins the threads. */
void offload_destroy(struct offload *o);

/* From the thread of `worker` only. False when its queue is full. */
bool offload_submit(struct offload *o, unsigned worker, const struct offload_request *request);

#endif
