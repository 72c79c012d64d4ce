#include "stack/core/offload.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "stack/core/ring.h"

struct offload {
    unsigned worker_count, thread_count;
    offload_completed_fn completed;
    void *context;
    struct rte_ring **requests; /* one a worker */
    pthread_t *threads;

    pthread_mutex_t take; /* held by a thread while it takes a request */
    unsigned next_worker; /* whose ring is looked at first: guarded by `take` */

    bool stopping;
    /* Threads that found nothing and are about to sleep, or do; and the futex word, changed by each wake-up. */
    unsigned sleepers;
    uint32_t wakes;
};

static bool request_take(struct offload *o, struct offload_request *request, unsigned *worker)
{
    bool taken = false;
    pthread_mutex_lock(&o->take);
    for (unsigned i = 0; i < o->worker_count && !taken; i++) {
        *worker = (o->next_worker + i) % o->worker_count;
        taken = rte_ring_sc_dequeue_elem(o->requests[*worker], request, sizeof *request) == 0;
    }
    if (taken)
        o->next_worker = *worker + 1;
    pthread_mutex_unlock(&o->take);
    return taken;
}

static bool request_waiting(const struct offload *o)
{
    for (unsigned i = 0; i < o->worker_count; i++)
        if (ring_waiting(o->requests[i]))
            return true;
    return false;
}

/* No wake-up is lost. Either the submitter, after its fence, sees our count and changes `wakes`: after we read it, then
 * the futex does not sleep or is woken; before, then the request is seen below. Or it does not see our count: then its
 * request came before our fence, and is seen below. */
static void sleep_until_submitted(struct offload *o)
{
    __atomic_fetch_add(&o->sleepers, 1, __ATOMIC_SEQ_CST);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    uint32_t wakes = __atomic_load_n(&o->wakes, __ATOMIC_ACQUIRE);
    if (!request_waiting(o) && !__atomic_load_n(&o->stopping, __ATOMIC_ACQUIRE))
        syscall(SYS_futex, &o->wakes, FUTEX_WAIT_PRIVATE, wakes, NULL, NULL, 0);
    __atomic_fetch_sub(&o->sleepers, 1, __ATOMIC_SEQ_CST);
}

static void wake(struct offload *o, int threads)
{
    __atomic_fetch_add(&o->wakes, 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, &o->wakes, FUTEX_WAKE_PRIVATE, threads, NULL, NULL, 0);
}

static void *offload_thread(void *argument)
{
    struct offload *o = argument;
    for (;;) {
        struct offload_request request;
        unsigned worker;
        if (request_take(o, &request, &worker)) {
            request.work(request.argument);
            o->completed(o->context, worker, &request);
        } else if (__atomic_load_n(&o->stopping, __ATOMIC_ACQUIRE)) {
            return NULL;
        } else {
            sleep_until_submitted(o);
        }
    }
}

/* Signals belong to the control thread. */
static bool threads_start(struct offload *o, unsigned threads)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (o->thread_count < threads && pthread_create(&o->threads[o->thread_count], NULL, offload_thread, o) == 0)
        pthread_setname_np(o->threads[o->thread_count++], "mr-offload");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return o->thread_count == threads;
}

static bool rings_create(struct offload *o)
{
    for (unsigned i = 0; i < o->worker_count; i++) {
        o->requests[i] =
            ring_create(sizeof(struct offload_request), OFFLOAD_QUEUE_MAX + 1, RING_F_SP_ENQ | RING_F_SC_DEQ);
        if (!o->requests[i])
            return false;
    }
    return true;
}

struct offload *offload_create(unsigned workers, unsigned threads, offload_completed_fn completed, void *context)
{
    struct offload *o = calloc(1, sizeof *o);
    if (!o)
        return NULL;
    o->worker_count = workers;
    o->completed = completed;
    o->context = context;
    pthread_mutex_init(&o->take, NULL);
    o->requests = calloc(workers, sizeof *o->requests);
    o->threads = calloc(threads, sizeof *o->threads);
    if (!o->requests || !o->threads || !rings_create(o) || !threads_start(o, threads)) {
        offload_destroy(o);
        return NULL;
    }
    return o;
}

void offload_destroy(struct offload *o)
{
    __atomic_store_n(&o->stopping, true, __ATOMIC_SEQ_CST);
    wake(o, INT_MAX);
    for (unsigned i = 0; i < o->thread_count; i++)
        pthread_join(o->threads[i], NULL);
    for (unsigned i = 0; o->requests && i < o->worker_count; i++)
        free(o->requests[i]);
    pthread_mutex_destroy(&o->take);
    free(o->requests);
    free(o->threads);
    free(o);
}

bool offload_submit(struct offload *o, unsigned worker, const struct offload_request *request)
{
    if (rte_ring_sp_enqueue_elem(o->requests[worker], (void *)(uintptr_t)request, sizeof *request) != 0)
        return false;
    __atomic_thread_fence(__ATOMIC_SEQ_CST); /* our request before their count: see sleep_until_submitted */
    if (__atomic_load_n(&o->sleepers, __ATOMIC_RELAXED))
        wake(o, 1);
    return true;
}
