/* What a service can do on the control thread: ask its instances, each in a turn of its own worker. */
#ifndef MILLRACE_CONTROL_H
#define MILLRACE_CONTROL_H

#include <millrace/error.h>
#include <millrace/mailbox.h>
#include <millrace/types.h>

struct mr_control {
    unsigned workers;
    /* Runs fn(worker, argument) in one of the worker's next turns and waits for it, at most a second. `argument` is memory from
     * malloc: after MR_OK and MR_ERROR_NO_MEMORY (its mailbox is full) it is the caller's; after MR_ERROR_SILENT it is the worker's,
     * which may come to it yet, and is freed there. */
    int (*ask)(const struct mr_control *control, unsigned worker, mr_message_fn fn, void *argument);
};

#endif
