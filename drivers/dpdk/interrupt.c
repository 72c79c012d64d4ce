/* Sleeping until a frame comes. We keep an epoll set of our own instead of DPDK's per-thread one: rte_epoll_wait counts in
 * milliseconds, which would make every shorter timer late, and registers sockets edge-triggered, which loses a wake-up
 * when a driver's burst looks empty though the descriptor is readable. */
#include "drivers/dpdk/interrupt.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#define EVENTS_MAX 8

/* ---- making the set ---- */

/* Nobody reads the counter of an eventfd: only its edges tell. Anything else stays readable while frames wait. */
static int link_watch(struct interrupt *i, struct dpdk_link *link)
{
    struct epoll_event event = {.events = EPOLLIN | (link->event_counts ? EPOLLET : 0), .data.fd = link->event_fd};
    return epoll_ctl(i->epoll_fd, EPOLL_CTL_ADD, link->event_fd, &event);
}

static bool watch_all(struct interrupt *i)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = i->wake_fd};
    if (i->epoll_fd < 0 || i->wake_fd < 0 || epoll_ctl(i->epoll_fd, EPOLL_CTL_ADD, i->wake_fd, &event) != 0)
        return false;
    for (unsigned k = 0; k < i->count; k++) {
        if (i->links[k]->event_fd < 0 || link_watch(i, i->links[k]) != 0)
            i->without++;
    }
    return true;
}

struct interrupt *interrupt_create(struct mr_link *const *links, unsigned n)
{
    struct interrupt *i = calloc(1, sizeof *i + n * sizeof i->links[0]);
    if (!i)
        return NULL;
    i->count = n;
    for (unsigned k = 0; k < n; k++)
        i->links[k] = links[k]->self;
    i->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    i->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (watch_all(i))
        return i;
    interrupt_destroy(i);
    return NULL;
}

void interrupt_destroy(struct interrupt *i)
{
    if (i->epoll_fd >= 0)
        close(i->epoll_fd);
    if (i->wake_fd >= 0)
        close(i->wake_fd);
    free(i);
}

/* ---- the sleeping thread ---- */

/* The TAP driver has each frame announced by a signal, and its burst looks empty until the handler has run. Delivered to
 * the very thread that polls, it has run before the sleep returns; delivered to another, it may not have. */
static void signal_attach(int fd)
{
    int flags = fcntl(fd, F_GETFL), number = fcntl(fd, F_GETSIG);
    if (flags < 0 || !(flags & O_ASYNC) || number <= 0)
        return;
    struct f_owner_ex owner = {.type = F_OWNER_TID, .pid = gettid()};
    fcntl(fd, F_SETOWN_EX, &owner);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, number);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

void interrupt_attach(struct interrupt *i)
{
    i->attached = true;
    prctl(PR_SET_TIMERSLACK, 1UL); /* the default lets every sleep end 50 us late */
    for (unsigned k = 0; k < i->count; k++) {
        if (i->links[k]->event_fd >= 0)
            signal_attach(i->links[k]->event_fd);
    }
}

/* A descriptor that is readable while frames wait needs no arming, and such drivers refuse it. */
void interrupt_arm(struct interrupt *i)
{
    for (unsigned k = 0; k < i->count; k++) {
        if (i->links[k]->event_fd >= 0 && i->links[k]->event_counts)
            rte_eth_dev_rx_intr_enable(i->links[k]->port_id, i->links[k]->queue);
    }
}

void interrupt_disarm(struct interrupt *i)
{
    for (unsigned k = 0; k < i->count; k++) {
        if (i->links[k]->event_fd >= 0 && i->links[k]->event_counts)
            rte_eth_dev_rx_intr_disable(i->links[k]->port_id, i->links[k]->queue);
    }
}

enum interrupt_event interrupt_wait(struct interrupt *i, mr_time ns)
{
    struct epoll_event events[EVENTS_MAX];
    struct timespec limit = {.tv_sec = (time_t)(ns / MR_SECOND), .tv_nsec = (long)(ns % MR_SECOND)};
    int n = epoll_pwait2(i->epoll_fd, events, EVENTS_MAX, ns == MR_NEVER ? NULL : &limit, NULL);
    enum interrupt_event result = INTERRUPT_TIMEOUT;
    for (int k = 0; k < n; k++) {
        uint64_t count;
        if (events[k].data.fd != i->wake_fd)
            return INTERRUPT_FRAMES; /* a wake that came with it ends the next rest */
        if (read(i->wake_fd, &count, sizeof count) == (ssize_t)sizeof count)
            result = INTERRUPT_WAKE;
    }
    return result;
}

void interrupt_wake(struct interrupt *i)
{
    uint64_t one = 1;
    ssize_t written = write(i->wake_fd, &one, sizeof one); /* fails only when 2^64 - 2 wakes are pending */
    (void)written;
}
