/* The receive interrupts of one worker's links, its wake descriptor, and sleeping on all of them. */
#ifndef DRIVERS_DPDK_INTERRUPT_H
#define DRIVERS_DPDK_INTERRUPT_H

#include "drivers/dpdk/port.h"

struct interrupt {
    int epoll_fd, wake_fd;
    unsigned count;
    unsigned without;          /* links that cannot wake us */
    bool attached;             /* to the thread that sleeps */
    struct dpdk_link *links[]; /* count */
};

enum interrupt_event { INTERRUPT_TIMEOUT, INTERRUPT_FRAMES, INTERRUPT_WAKE };

/* NULL with errno when memory or descriptors are short. */
struct interrupt *interrupt_create(struct mr_link *const *links, unsigned n);
void interrupt_destroy(struct interrupt *i);

/* Once, from the thread that will sleep. */
void interrupt_attach(struct interrupt *i);

void interrupt_arm(struct interrupt *i);
void interrupt_disarm(struct interrupt *i);

/* Sleeps at most `ns`; returns why it ended. */
enum interrupt_event interrupt_wait(struct interrupt *i, mr_time ns);

/* From any thread. */
void interrupt_wake(struct interrupt *i);

#endif
