/* Jobs: begun on a worker, ended by it some turns later, awaited here. A job that takes too long changes hands: who comes second to say how it went
 * frees it. */
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "queue/control/words.h"

enum { JOB_RUNS, JOB_ENDED, JOB_LEFT };

#define FULL_TRIES 100 /* a mailbox that is full has room again within a few turns */

static void sleep_1ms(void)
{
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

void control_job_end(struct control_job *job)
{
    if (atomic_exchange(&job->state, JOB_ENDED) == JOB_LEFT)
        free(job);
}

static void job_start(struct mr_worker *w, void *argument)
{
    struct control_job *job = argument;
    if (atomic_load(&job->state) == JOB_LEFT)
        free(job); /* nobody waits any more: nothing is begun */
    else
        job->start(job->shared->instance[mr_worker_index(w)], job);
}

static int job_ask(const struct mr_control *control, unsigned worker, struct control_job *job)
{
    int error = MR_ERROR_NO_MEMORY;
    for (int i = 0; i < FULL_TRIES && error == MR_ERROR_NO_MEMORY; i++) {
        if (i > 0)
            sleep_1ms();
        error = control->ask(control, worker, job_start, job);
    }
    return error;
}

bool control_job_run(struct control_call *c, unsigned worker, struct control_job *job, unsigned wait_ms)
{
    int error = job_ask(c->control, worker, job);
    if (error != MR_OK && error != MR_ERROR_SILENT) {
        c->wrong = control_say("worker %u: %s", worker, mr_error_text(error));
        free(job);
        return false;
    }
    for (unsigned ms = 0; error == MR_OK && ms < wait_ms && atomic_load(&job->state) == JOB_RUNS; ms++) {
        sleep_1ms();
    }
    if (atomic_load(&job->state) == JOB_ENDED)
        return true;
    if (atomic_exchange(&job->state, JOB_LEFT) == JOB_ENDED)
        return true; /* just now */
    c->wrong = control_say("worker %u has not finished in %u ms: it goes on", worker, wait_ms);
    return false;
}
