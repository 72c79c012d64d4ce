/* Who puts into what the worker `w` takes out:
 *
 *      worker 0 --+
 *      worker 1 --+-- from[i]      each its own ring, without a lock
 *      ...      --+
 *      control  ----- control      )  under the mutex `outside`, which no worker takes as long as it turns
 *      offload  ----- completions  )  at most OUTSTANDING_MAX elements: never full
 *
 * A worker that rests is woken by whoever put something in. It says `resting`, passes a fence and looks once more before
 * it rests; a sender puts in, passes a fence and looks at `resting`: at least one of them sees the other (Dekker). */
#include "stack/core/mailbox.h"

#include <millrace/link.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "stack/base/assert.h"
#include "stack/core/offload.h"
#include "stack/core/ring.h"
#include "stack/core/worker.h"

#define RING_FLAGS      (RING_F_SP_ENQ | RING_F_SC_DEQ)
#define RING_COUNT      1024 /* one less fits */
#define OUTSTANDING_MAX (RING_COUNT - 1)
#define DRAIN_MAX       32 /* messages of one ring a turn */
#define LEAVE_PASSES    64 /* of a leaving worker: messages that answer each other for ever are dropped */

struct message {
    mr_message_fn fn;
    void *argument;
};

struct mailbox {
    struct worker_group *group;
    pthread_mutex_t outside;
    struct mr_worker *owner; /* NULL before it joined and after it left, which it does under `outside` */
    struct rte_ring *control, *completions;
    unsigned outstanding; /* offloads whose completion has not run yet */
    bool wake_sent;       /* the owner was woken and has not drained since: nobody else needs to */
    struct rte_ring *from[];
};

struct worker_group {
    unsigned worker_count;
    struct offload *offload; /* NULL: work runs inline */
    struct mailbox *mailbox[];
};

/* After putting something into `target`. */
static void owner_wake(struct mailbox *target)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* what we put in before its `resting` */
    struct mr_worker *w = target->owner;
    if (!w || !__atomic_load_n(&w->resting, __ATOMIC_RELAXED))
        return;
    /* Whoever sees it set knows that a wake-up is on its way and that the drain it leads to, which takes `wake_sent` back
     * first, sees what was put in before. */
    if (!__atomic_exchange_n(&target->wake_sent, true, __ATOMIC_ACQ_REL))
        w->clock->wake(w->clock->self);
}

/* From a thread that is no worker; when it returns, it no longer uses the owner. False when the ring is full. */
static bool put_from_outside(struct mailbox *target, struct rte_ring *ring, const struct message *message)
{
    pthread_mutex_lock(&target->outside);
    bool put = rte_ring_sp_enqueue_elem(ring, (void *)(uintptr_t)message, sizeof *message) == 0;
    if (put)
        owner_wake(target);
    pthread_mutex_unlock(&target->outside);
    return put;
}

/* On an offload thread. */
static void offload_completed(void *context, unsigned worker, const struct offload_request *request)
{
    struct mailbox *target = ((struct worker_group *)context)->mailbox[worker];
    struct message message = {request->done, request->argument};
    bool put = put_from_outside(target, target->completions, &message);
    ASSERT(put);
}

/* In virtual time: the work here and now, its completion in the next drain. */
static void offload_inline(struct mailbox *b, const struct offload_request *request)
{
    struct message message = {request->done, request->argument};
    request->work(request->argument);
    int error = rte_ring_sp_enqueue_elem(b->completions, &message, sizeof message);
    ASSERT_COMPARE(error, ==, 0);
}

static void mailbox_destroy(struct mailbox *b, unsigned workers)
{
    if (!b)
        return;
    for (unsigned i = 0; i < workers; i++)
        free(b->from[i]);
    free(b->control);
    free(b->completions);
    pthread_mutex_destroy(&b->outside);
    free(b);
}

static struct mailbox *mailbox_create(struct worker_group *g, unsigned workers)
{
    struct mailbox *b = calloc(1, sizeof *b + workers * sizeof *b->from);
    if (!b)
        return NULL;
    b->group = g;
    pthread_mutex_init(&b->outside, NULL);
    b->control = ring_create(sizeof(struct message), RING_COUNT, RING_FLAGS);
    b->completions = ring_create(sizeof(struct message), RING_COUNT, RING_FLAGS);
    bool complete = b->control && b->completions;
    for (unsigned i = 0; i < workers && complete; i++) {
        b->from[i] = ring_create(sizeof(struct message), RING_COUNT, RING_FLAGS);
        complete = b->from[i] != NULL;
    }
    if (complete)
        return b;
    mailbox_destroy(b, workers);
    return NULL;
}

struct worker_group *worker_group_create(unsigned workers, unsigned offload_threads)
{
    struct worker_group *g = calloc(1, sizeof *g + workers * sizeof *g->mailbox);
    if (!g)
        return NULL;
    g->worker_count = workers;
    bool complete = true;
    for (unsigned i = 0; i < workers && complete; i++) {
        g->mailbox[i] = mailbox_create(g, workers);
        complete = g->mailbox[i] != NULL;
    }
    if (complete && offload_threads) {
        g->offload = offload_create(workers, offload_threads, offload_completed, g);
        complete = g->offload != NULL;
    }
    if (complete)
        return g;
    worker_group_destroy(g);
    return NULL;
}

void worker_group_join(struct worker_group *g, struct mr_worker *w)
{
    ASSERT_COMPARE(w->index, <, g->worker_count);
    ASSERT(g->mailbox[w->index]->owner == NULL);
    w->mailbox = g->mailbox[w->index];
    pthread_mutex_lock(&w->mailbox->outside);
    w->mailbox->owner = w;
    pthread_mutex_unlock(&w->mailbox->outside);
}

void worker_group_leave(struct mr_worker *w)
{
    struct mailbox *b = w->mailbox;
    if (!b)
        return;
    for (unsigned pass = 0; b->outstanding || (pass < LEAVE_PASSES && mailbox_pending(w)); pass++)
        if (!mailbox_drain(w))
            sched_yield(); /* an offload thread is still at work */
    w->mailbox = NULL;
    pthread_mutex_lock(&b->outside); /* who put in the last completion may still be about to wake us */
    b->owner = NULL;
    pthread_mutex_unlock(&b->outside);
}

void worker_group_destroy(struct worker_group *g)
{
    for (unsigned i = 0; i < g->worker_count; i++)
        if (g->mailbox[i] && g->mailbox[i]->owner)
            worker_group_leave(g->mailbox[i]->owner);
    if (g->offload)
        offload_destroy(g->offload);
    for (unsigned i = 0; i < g->worker_count; i++)
        mailbox_destroy(g->mailbox[i], g->worker_count);
    free(g);
}

unsigned mr_worker_count(const struct mr_worker *w)
{
    return w->mailbox ? w->mailbox->group->worker_count : 1;
}

int mr_post(struct mr_worker *from, unsigned target, mr_message_fn fn, void *argument)
{
    if (!from->mailbox || target >= from->mailbox->group->worker_count)
        return MR_ERROR_UNKNOWN;
    struct mailbox *to = from->mailbox->group->mailbox[target];
    struct message message = {fn, argument};
    if (rte_ring_sp_enqueue_elem(to->from[from->index], &message, sizeof message) != 0)
        return MR_ERROR_NO_MEMORY;
    owner_wake(to);
    return MR_OK;
}

int worker_group_post(struct worker_group *g, unsigned target, mr_message_fn fn, void *argument)
{
    if (target >= g->worker_count)
        return MR_ERROR_UNKNOWN;
    struct message message = {fn, argument};
    struct mailbox *to = g->mailbox[target];
    return put_from_outside(to, to->control, &message) ? MR_OK : MR_ERROR_NO_MEMORY;
}

int mr_offload(struct mr_worker *w, void (*work)(void *argument), mr_message_fn done, void *argument)
{
    struct mailbox *b = w->mailbox;
    struct offload_request request = {work, done, argument};
    if (!b || b->outstanding == OUTSTANDING_MAX)
        return MR_ERROR_NO_MEMORY;
    if (!b->group->offload) {
        offload_inline(b, &request);
    } else if (!offload_submit(b->group->offload, w->index, &request)) {
        return MR_ERROR_NO_MEMORY;
    }
    b->outstanding++;
    stat_add(w, STAT_core_offloads, 1);
    return MR_OK;
}

static unsigned ring_drain(struct mr_worker *w, struct rte_ring *ring)
{
    if (!ring_waiting(ring))
        return 0;
    struct message messages[DRAIN_MAX];
    unsigned n = rte_ring_sc_dequeue_burst_elem(ring, messages, sizeof *messages, DRAIN_MAX, NULL);
    for (unsigned i = 0; i < n; i++)
        messages[i].fn(w, messages[i].argument);
    return n;
}

unsigned mailbox_drain(struct mr_worker *w)
{
    struct mailbox *b = w->mailbox;
    if (!b)
        return 0;
    if (__atomic_load_n(&b->wake_sent, __ATOMIC_RELAXED))
        (void)__atomic_exchange_n(&b->wake_sent, false, __ATOMIC_ACQ_REL);
    unsigned messages = ring_drain(w, b->control);
    for (unsigned i = 0; i < b->group->worker_count; i++)
        messages += ring_drain(w, b->from[i]);
    unsigned completions = ring_drain(w, b->completions);
    b->outstanding -= completions;
    stat_add(w, STAT_core_messages_in, messages);
    return messages + completions;
}

bool mailbox_pending(const struct mr_worker *w)
{
    const struct mailbox *b = w->mailbox;
    if (!b)
        return false;
    if (ring_waiting(b->control) || ring_waiting(b->completions))
        return true;
    for (unsigned i = 0; i < b->group->worker_count; i++)
        if (ring_waiting(b->from[i]))
            return true;
    return false;
}
