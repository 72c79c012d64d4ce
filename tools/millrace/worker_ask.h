/* A question that the control thread puts to a worker, with patience that ends. */
#ifndef TOOLS_MILLRACE_WORKER_ASK_H
#define TOOLS_MILLRACE_WORKER_ASK_H

#include <millrace/mailbox.h>

#include "stack/core/mailbox.h"

enum worker_answer { WORKER_ANSWERED, WORKER_FULL, WORKER_SILENT };

/* Runs `fn(w, argument)` in a turn of worker `index` and waits for it. `argument` is memory from malloc: after
 * WORKER_ANSWERED and WORKER_FULL it is the caller's, after WORKER_SILENT it belongs to the worker, which may come to it
 * yet, and is freed by it. */
enum worker_answer worker_ask(struct worker_group *g, unsigned index, mr_message_fn fn, void *argument,
                              unsigned patience_ms);

#endif
