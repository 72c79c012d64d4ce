/* The worker of the stand-in: time, timers, deferred work, messages and offload, all turned by hand. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/fake_private.h"

static _Noreturn void broken(const char *rule)
{
    fprintf(stderr, "fake stream: the service broke a rule: %s\n", rule);
    abort();
}

void fake_demand(bool holds, const char *rule)
{
    if (!holds)
        broken(rule);
}

/* -- worker ----------------------------------------------------------------------------------------------------------- */

struct mr_worker *fake_worker_create(void)
{
    struct mr_worker *w = calloc(1, sizeof *w);
    w->now = 1000 * MR_SECOND;
    pthread_mutex_init(&w->jobs_lock, NULL);
    w->jobs_end = &w->jobs;
    w->held_end = &w->held;
    w->count = 1;
    w->random = 42;
    w->datagram_room = UINT32_MAX;
    return w;
}

void fake_worker_free(struct mr_worker *w)
{
    fake_streams_free(w);
    fake_ports_free(w);
    fake_demand(!w->jobs && !w->held, "work is left with offload threads");
    fake_demand(!w->timers, "a timer is left armed");
    for (unsigned i = 0; i < FAKE_LISTENERS_MAX; i++)
        fake_demand(!w->listener[i].open, "a listener is left open");
    free(w);
}

mr_time mr_now(const struct mr_worker *w)
{
    return w->now;
}

uint64_t mr_random(struct mr_worker *w)
{
    return w->random = w->random * 6364136223846793005u + 1442695040888963407u;
}

unsigned mr_worker_index(const struct mr_worker *w)
{
    return w->index;
}

unsigned mr_worker_count(const struct mr_worker *w)
{
    return w->count;
}

size_t mr_worker_status(const struct mr_worker *w, char *text, size_t bytes)
{
    return (size_t)snprintf(text, bytes, "fake_worker 1\n");
}

void mr_log(enum mr_log_level level, const char *area, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "%s: ", area);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
}

void fake_service_add(struct mr_worker *w, const char *name, void *state)
{
    fake_demand(w->services < FAKE_SERVICES_MAX, "more services than the test has room for");
    w->service[w->services++] = (struct fake_named){name, state};
}

void *mr_service_find(const struct mr_worker *w, const char *name)
{
    for (unsigned i = 0; i < w->services; i++)
        if (!strcmp(w->service[i].name, name))
            return w->service[i].state;
    return NULL;
}

/* -- timers and deferred work ----------------------------------------------------------------------------------------- */

void mr_defer(struct mr_worker *w, struct mr_deferred *d)
{
    struct mr_deferred **end = &w->deferred;
    if (d->queued)
        return;
    while (*end)
        end = &(*end)->next;
    d->queued = true;
    d->next = NULL;
    *end = d;
}

void fake_deferred_run(struct mr_worker *w)
{
    struct mr_deferred *d = w->deferred;
    w->deferred = NULL;
    while (d) {
        struct mr_deferred *next = d->next;
        d->queued = false;
        d->run(w, d);
        d = next;
    }
}

void mr_timer_init(struct mr_timer *t, void (*expired)(struct mr_worker *w, struct mr_timer *t), void *context)
{
    *t = (struct mr_timer){.expired = expired, .context = context};
}

void mr_timer_cancel(struct mr_worker *w, struct mr_timer *t)
{
    if (!t->node.link)
        return;
    struct mr_timer **link = &w->timers;
    while (*link && *link != t)
        link = (struct mr_timer **)&(*link)->node.next;
    fake_demand(*link == t, "a timer was overwritten while armed");
    *link = (struct mr_timer *)t->node.next;
    t->node.link = NULL;
}

void mr_timer_set(struct mr_worker *w, struct mr_timer *t, mr_time deadline)
{
    mr_timer_cancel(w, t);
    t->node.deadline = deadline;
    t->node.next = (struct mr_wheel_node *)w->timers;
    t->node.link = &t->node.next; /* only says that it is armed */
    w->timers = t;
}

static void timers_run(struct mr_worker *w)
{
    for (struct mr_timer *t = w->timers; t;) {
        if (t->node.deadline > w->now) {
            t = (struct mr_timer *)t->node.next;
            continue;
        }
        mr_timer_cancel(w, t);
        t->expired(w, t);
        t = w->timers; /* it may have set or cancelled others */
    }
}

/* -- messages and offload --------------------------------------------------------------------------------------------- */

int mr_offload(struct mr_worker *w, void (*work)(void *argument), mr_message_fn done, void *argument)
{
    if (w->refuse)
        return MR_ERROR_NO_MEMORY;
    struct fake_job *job = malloc(sizeof *job);
    *job = (struct fake_job){NULL, w, done, argument};
    *w->jobs_end = job;
    w->jobs_end = &job->next;
    work(argument);
    return MR_OK;
}

int mr_post(struct mr_worker *from, unsigned target, mr_message_fn fn, void *argument)
{
    struct mr_worker *to = from->group ? from->group[target] : from;
    fake_demand(target < mr_worker_count(from), "a message to no worker");
    if (from->post_error != MR_OK)
        return from->post_error;
    struct fake_job *job = malloc(sizeof *job);
    *job = (struct fake_job){NULL, to, fn, argument};
    struct fake_job ***end = from->post_hold ? &from->held_end : &to->jobs_end;
    pthread_mutex_lock(&to->jobs_lock);
    **end = job;
    *end = &job->next;
    pthread_mutex_unlock(&to->jobs_lock);
    return MR_OK;
}

void fake_post_error(struct mr_worker *w, int error)
{
    w->post_error = error;
}

void fake_group(struct mr_worker *const *workers, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        workers[i]->group = workers;
        workers[i]->index = i;
        workers[i]->count = n;
    }
}

bool fake_worker_busy(const struct mr_worker *w)
{
    return w->jobs || w->held || w->deferred;
}

void fake_post_hold(struct mr_worker *w, bool hold)
{
    w->post_hold = hold;
    while (!hold && w->held) {
        struct fake_job *job = w->held;
        w->held = job->next;
        job->next = NULL;
        *job->to->jobs_end = job;
        job->to->jobs_end = &job->next;
    }
    if (!w->held)
        w->held_end = &w->held;
}

static void jobs_run(struct mr_worker *w)
{
    if (w->hold)
        return;
    pthread_mutex_lock(&w->jobs_lock);
    struct fake_job *batch = w->jobs;
    w->jobs = NULL;
    w->jobs_end = &w->jobs;
    pthread_mutex_unlock(&w->jobs_lock);
    while (batch) {
        struct fake_job *next = batch->next;
        batch->done(w, batch->argument);
        free(batch);
        batch = next;
    }
}

void fake_offload_refuse(struct mr_worker *w, bool refuse)
{
    w->refuse = refuse;
}

void fake_offload_hold(struct mr_worker *w, bool hold)
{
    w->hold = hold;
}

void fake_turn(struct mr_worker *w)
{
    jobs_run(w);
    timers_run(w);
    fake_deferred_run(w);
    fake_streams_turn(w);
}

void fake_pass(struct mr_worker *w, mr_time duration)
{
    const mr_time step = 100 * MR_MILLISECOND;
    for (; duration > 0; duration -= duration < step ? duration : step) {
        w->now += duration < step ? duration : step;
        fake_turn(w);
    }
}

/* -- the control thread ----------------------------------------------------------------------------------------------- */

static int ask(const struct mr_control *control, unsigned worker, mr_message_fn fn, void *argument)
{
    const struct fake_control *c = (const struct fake_control *)control;
    if (c->error)
        return c->error;
    fn(c->workers[worker], argument);
    fake_deferred_run(c->workers[worker]);
    return MR_OK;
}

void fake_control_init(struct fake_control *c, struct mr_worker *const *workers, unsigned n)
{
    *c = (struct fake_control){{n, ask}, workers, MR_OK};
}
