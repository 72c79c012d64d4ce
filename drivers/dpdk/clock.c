/* The worker's clock: time from the TSC, and rest.
 *
 *     empty turn   1 .. spin_turns    pause and poll again: a burst's next frame is microseconds away
 *     the next                        arm the receive interrupts and return: the caller polls once more, so that a frame
 *                                     that came before they were armed is not slept over
 *     each later one                  sleep until a frame, a wake or the deadline
 *
 * Where a link has no interrupt the sleep is bounded, and doubles from SLEEP_MIN to sleep_max while nothing comes: after
 * traffic the answer is quick, on a silent link the worker costs little. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <millrace/error.h>
#include <millrace/log.h>
#include <rte_cycles.h>
#include <rte_pause.h>

#include "drivers/dpdk/interrupt.h"
#include "drivers/dpdk/tsc.h"

#define SPIN_TURNS_DEFAULT 256
#define SLEEP_MIN          (50 * MR_MICROSECOND)
#define SLEEP_MAX_DEFAULT  MR_MILLISECOND

struct dpdk_clock {
    const struct tsc_scale *scale; /* NULL: ask the kernel */
    struct interrupt *interrupt;
    enum dpdk_poll_mode poll;
    unsigned spin_turns;  /* empty turns before arming */
    unsigned empty_turns; /* since the last busy() */
    bool armed;
    mr_time sleep_max, sleep; /* where a link has no interrupt */
};

static mr_time clock_now(void *self)
{
    struct dpdk_clock *c = self;
    if (c->scale)
        return tsc_to_ns(c->scale, rte_rdtsc());
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (mr_time)t.tv_sec * MR_SECOND + (mr_time)t.tv_nsec;
}

static void arm(struct dpdk_clock *c)
{
    interrupt_arm(c->interrupt);
    c->armed = true;
}

static void disarm(struct dpdk_clock *c)
{
    if (c->armed)
        interrupt_disarm(c->interrupt);
    c->armed = false;
}

/* How long this sleep may be; without an interrupt each is twice the last. */
static mr_time sleep_bound(struct dpdk_clock *c, mr_time until_deadline)
{
    if (c->interrupt->without == 0)
        return until_deadline;
    mr_time bound = c->sleep;
    c->sleep = bound * 2 < c->sleep_max ? bound * 2 : c->sleep_max;
    return bound < until_deadline ? bound : until_deadline;
}

static void clock_rest(void *self, mr_time deadline)
{
    struct dpdk_clock *c = self;
    if (!c->interrupt->attached)
        interrupt_attach(c->interrupt);
    if (c->poll == DPDK_POLL_ALWAYS || c->empty_turns < c->spin_turns) {
        c->empty_turns++;
        rte_pause();
        return;
    }
    if (!c->armed) {
        arm(c);
        return;
    }
    mr_time now = deadline == MR_NEVER ? 0 : clock_now(c);
    if (deadline <= now)
        return;
    mr_time left = deadline == MR_NEVER ? MR_NEVER : deadline - now;
    /* A card's interrupt fires once: it is armed anew before the next sleep. */
    if (interrupt_wait(c->interrupt, sleep_bound(c, left)) == INTERRUPT_FRAMES)
        disarm(c);
}

static void clock_busy(void *self)
{
    struct dpdk_clock *c = self;
    disarm(c);
    c->empty_turns = 0;
    c->sleep = SLEEP_MIN;
}

static void clock_wake(void *self)
{
    struct dpdk_clock *c = self;
    interrupt_wake(c->interrupt);
}

int dpdk_clock_create(const struct dpdk_clock_options *options, struct mr_link *const *links, unsigned n,
                      struct mr_clock *clock)
{
    for (unsigned i = 0; i < n; i++) {
        if (!link_is_ours(links[i]))
            return MR_ERROR_INVALID;
    }
    struct dpdk_clock *c = calloc(1, sizeof *c);
    if (!c)
        return MR_ERROR_NO_MEMORY;
    c->interrupt = interrupt_create(links, n);
    if (!c->interrupt) {
        mr_log(MR_LOG_ERROR, "dpdk", "clock: no descriptors to sleep on: %s", strerror(errno));
        free(c);
        return MR_ERROR_SYSTEM;
    }
    c->scale = tsc_scale_process();
    c->poll = options->poll;
    c->spin_turns = options->spin_turns ? options->spin_turns : SPIN_TURNS_DEFAULT;
    if (c->poll == DPDK_POLL_INTERRUPT)
        c->spin_turns = 0;
    c->sleep_max = options->sleep_max ? options->sleep_max : SLEEP_MAX_DEFAULT;
    c->sleep = SLEEP_MIN;
    *clock = (struct mr_clock){.self = c, .now = clock_now, .rest = clock_rest, .busy = clock_busy, .wake = clock_wake};
    return MR_OK;
}

void dpdk_clock_destroy(struct mr_clock *clock)
{
    struct dpdk_clock *c = clock->self;
    interrupt_destroy(c->interrupt);
    free(c);
    clock->self = NULL;
}

const char *dpdk_clock_without_interrupt(const struct mr_clock *clock)
{
    const struct dpdk_clock *c = clock->self;
    for (unsigned i = 0; i < c->interrupt->count; i++) {
        if (c->interrupt->links[i]->event_fd < 0)
            return c->interrupt->links[i]->port->name;
    }
    return NULL;
}

int dpdk_poll_mode_parse(const char *text)
{
    static const char *const names[] = {
        [DPDK_POLL_ADAPTIVE] = "adaptive", [DPDK_POLL_ALWAYS] = "always", [DPDK_POLL_INTERRUPT] = "interrupt"};
    for (int i = 0; i < (int)(sizeof names / sizeof *names); i++) {
        if (strcmp(text, names[i]) == 0)
            return i;
    }
    return -1;
}
