#include "tools/millrace/worker_ask.h"

#include <errno.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <time.h>

enum question_state { ASKED, DONE, ABANDONED };

struct question {
    mr_message_fn fn;
    void *argument;
    sem_t done;
    _Atomic(enum question_state) state;
};

static void question_free(struct question *q)
{
    sem_destroy(&q->done);
    free(q);
}

/* On the worker. An asker that saw DONE waits for the semaphore before it frees; one that left before leaves all to us. */
static void question_run(struct mr_worker *w, void *argument)
{
    struct question *q = argument;
    q->fn(w, q->argument);
    if (atomic_exchange(&q->state, DONE) != ABANDONED) {
        sem_post(&q->done);
        return;
    }
    free(q->argument);
    question_free(q);
}

static bool wait_for(sem_t *done, unsigned patience_ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += patience_ms / 1000;
    until.tv_nsec += patience_ms % 1000 * 1000000l;
    if (until.tv_nsec >= 1000000000l) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000l;
    }
    int result;
    do
        result = sem_timedwait(done, &until);
    while (result < 0 && errno == EINTR);
    return result == 0;
}

enum worker_answer worker_ask(struct worker_group *g, unsigned index, mr_message_fn fn, void *argument,
                              unsigned patience_ms)
{
    struct question *q = calloc(1, sizeof *q);
    if (!q)
        return WORKER_FULL;
    *q = (struct question){.fn = fn, .argument = argument};
    sem_init(&q->done, 0, 0);
    if (worker_group_post(g, index, question_run, q) != MR_OK) {
        question_free(q);
        return WORKER_FULL;
    }
    if (!wait_for(&q->done, patience_ms)) {
        if (atomic_exchange(&q->state, ABANDONED) != DONE)
            return WORKER_SILENT;
        while (sem_wait(&q->done) < 0 && errno == EINTR)
            ; /* it is about to post */
    }
    question_free(q);
    return WORKER_ANSWERED;
}
