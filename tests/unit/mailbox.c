/* Mailboxes and offload: order, bounds, and that no wake-up is lost between threads that really sleep. */
#include "tests/support/cmocka.h"

#include <millrace/link.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "stack/core/mailbox.h"
#include "stack/core/worker.h"

#define REST_MAX_MS 10000 /* a rest that lasts so long has lost its wake-up */

/* A worker of which only the mailbox is used, on a clock whose rest sleeps on an eventfd. */
struct member {
    struct mr_worker *w;
    struct mr_clock clock;
    int wake_fd;
    unsigned rests, rests_too_long, wakes;
    unsigned long received, expected_next, out_of_order;
};

static struct worker_group *group;
static struct member member[2];

static void clock_rest(void *self, mr_time deadline)
{
    struct member *m = self;
    struct pollfd fd = {.fd = m->wake_fd, .events = POLLIN};
    uint64_t count;
    m->rests++;
    if (poll(&fd, 1, REST_MAX_MS) == 0)
        m->rests_too_long++;
    else if (read(m->wake_fd, &count, sizeof count) != sizeof count)
        m->rests_too_long++;
}

static void clock_wake(void *self)
{
    struct member *m = self;
    __atomic_fetch_add(&m->wakes, 1, __ATOMIC_RELAXED);
    if (write(m->wake_fd, &(uint64_t){1}, sizeof(uint64_t)) != sizeof(uint64_t))
        abort();
}

static void group_start(unsigned offload_threads)
{
    group = worker_group_create(2, offload_threads);
    assert_non_null(group);
    for (unsigned i = 0; i < 2; i++) {
        member[i] = (struct member){.w = calloc(1, sizeof *member[i].w), .wake_fd = eventfd(0, 0)};
        member[i].clock = (struct mr_clock){.self = &member[i], .rest = clock_rest, .wake = clock_wake};
        member[i].w->clock = &member[i].clock;
        member[i].w->index = i;
        worker_group_join(group, member[i].w);
    }
}

static int start_inline(void **state)
{
    (void)state;
    group_start(0);
    return 0;
}

static int start_threads(void **state)
{
    (void)state;
    group_start(3);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    worker_group_destroy(group);
    for (unsigned i = 0; i < 2; i++) {
        assert_null(member[i].w->mailbox);
        close(member[i].wake_fd);
        free(member[i].w);
    }
    return 0;
}

/* Turns as worker_run does, until *done. */
static void member_run(struct member *m, const bool *done)
{
    while (!*done) {
        if (mailbox_drain(m->w))
            continue;
        __atomic_store_n(&m->w->resting, true, __ATOMIC_RELAXED);
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if (!mailbox_pending(m->w))
            m->clock.rest(m, MR_NEVER);
        __atomic_store_n(&m->w->resting, false, __ATOMIC_RELAXED);
    }
}

static struct member *member_of(struct mr_worker *w)
{
    return w->clock->self;
}

/* The argument is a number that must follow the last one. */
static void receive_number(struct mr_worker *w, void *argument)
{
    struct member *m = member_of(w);
    m->received++;
    m->out_of_order += (unsigned long)argument != m->expected_next;
    m->expected_next = (unsigned long)argument + 1;
}

static void messages_arrive_in_order_at_the_target_only(void **state)
{
    (void)state;
    for (unsigned long i = 0; i < 20; i++)
        assert_int_equal(mr_post(member[0].w, 1, receive_number, (void *)i), MR_OK);
    assert_false(mailbox_pending(member[0].w));
    assert_int_equal(mailbox_drain(member[0].w), 0);
    assert_true(mailbox_pending(member[1].w));
    assert_int_equal(mailbox_drain(member[1].w), 20);
    assert_int_equal(member[1].received, 20);
    assert_int_equal(member[1].out_of_order, 0);
    assert_false(mailbox_pending(member[1].w));
    assert_int_equal(member[1].w->stat[STAT_core_messages_in], 20);
    assert_int_equal(mr_worker_count(member[0].w), 2);
}

static void full_mailbox_refuses_and_recovers(void **state)
{
    (void)state;
    unsigned long posted = 0;
    while (mr_post(member[0].w, 1, receive_number, (void *)posted) == MR_OK)
        assert_true(++posted < 100000);
    assert_int_equal(mr_post(member[0].w, 1, receive_number, NULL), MR_ERROR_NO_MEMORY);
    unsigned first = mailbox_drain(member[1].w);
    assert_int_equal(first, 32); /* bounded a turn */
    assert_int_equal(mr_post(member[0].w, 1, receive_number, (void *)posted++), MR_OK);
    while (mailbox_drain(member[1].w))
        ;
    assert_int_equal(member[1].received, posted);
    assert_int_equal(member[1].out_of_order, 0);
}

static void unknown_target_and_lone_worker_are_refused(void **state)
{
    (void)state;
    struct mr_worker *lone = calloc(1, sizeof *lone);
    assert_int_equal(mr_post(member[0].w, 2, receive_number, NULL), MR_ERROR_UNKNOWN);
    assert_int_equal(worker_group_post(group, 2, receive_number, NULL), MR_ERROR_UNKNOWN);
    assert_int_equal(mr_post(lone, 0, receive_number, NULL), MR_ERROR_UNKNOWN);
    assert_int_equal(mr_worker_count(lone), 1);
    assert_int_equal(mailbox_drain(lone), 0);
    assert_false(mailbox_pending(lone));
    worker_group_leave(lone);
    free(lone);
}

static void post_to_itself(struct mr_worker *w, void *argument)
{
    member_of(w)->received++;
    assert_int_equal(mr_post(w, w->index, post_to_itself, NULL), MR_OK);
}

static void message_posted_while_draining_waits_for_the_next_turn(void **state)
{
    (void)state;
    mr_post(member[0].w, 0, post_to_itself, NULL);
    assert_int_equal(mailbox_drain(member[0].w), 1);
    assert_int_equal(mailbox_drain(member[0].w), 1);
    assert_int_equal(member[0].received, 2);
    assert_true(mailbox_pending(member[0].w)); /* and leaving the group, in stop(), still ends */
}

static void awake_worker_is_not_woken_and_a_resting_one_once(void **state)
{
    (void)state;
    mr_post(member[0].w, 1, receive_number, NULL);
    assert_int_equal(member[1].wakes, 0);
    for (unsigned i = 0; i < 2; i++) {
        member[1].w->resting = true;
        mr_post(member[0].w, 1, receive_number, NULL);
        mr_post(member[0].w, 1, receive_number, NULL);
        worker_group_post(group, 1, receive_number, NULL);
        assert_int_equal(member[1].wakes, i + 1);
        member[1].w->resting = false;
        mailbox_drain(member[1].w);
    }
}

struct job {
    pthread_t worked_on, done_on;
    unsigned worked, done;
};

static void job_work(void *argument)
{
    struct job *job = argument;
    job->worked_on = pthread_self();
    job->worked++;
}

static void job_done(struct mr_worker *w, void *argument)
{
    struct job *job = argument;
    job->done_on = pthread_self();
    job->done += job->worked;
    member_of(w)->received++;
}

static void inline_offload_works_at_once_and_is_done_in_the_next_drain(void **state)
{
    (void)state;
    struct job job = {0};
    assert_int_equal(mr_offload(member[0].w, job_work, job_done, &job), MR_OK);
    assert_int_equal(job.worked, 1);
    assert_int_equal(job.done, 0);
    assert_true(mailbox_pending(member[0].w));
    assert_int_equal(mailbox_drain(member[0].w), 1);
    assert_int_equal(job.done, 1);
    assert_int_equal(member[0].w->stat[STAT_core_offloads], 1);
}

static void too_many_outstanding_offloads_are_refused_until_some_are_done(void **state)
{
    (void)state;
    static struct job job; /* the last one is done only when the group ends */
    unsigned accepted = 0;
    while (mr_offload(member[0].w, job_work, job_done, &job) == MR_OK)
        assert_true(++accepted < 100000);
    assert_int_equal(job.worked, accepted); /* the refused one did not run */
    assert_true(mailbox_drain(member[0].w) > 0);
    assert_int_equal(mr_offload(member[0].w, job_work, job_done, &job), MR_OK);
}

#define JOBS 5000
static struct job jobs[JOBS];
static unsigned jobs_submitted;
static bool jobs_over;

/* Each completion submits what fits; the last one ends the loop. */
static void jobs_submit(struct mr_worker *w, void *argument)
{
    if (argument)
        job_done(w, argument);
    while (jobs_submitted < JOBS && mr_offload(w, job_work, jobs_submit, &jobs[jobs_submitted]) == MR_OK)
        jobs_submitted++;
    jobs_over = member_of(w)->received == JOBS;
}

static void offloaded_work_runs_once_on_another_thread_and_is_done_on_ours(void **state)
{
    (void)state;
    mr_post(member[0].w, 0, jobs_submit, NULL);
    member_run(&member[0], &jobs_over);
    for (unsigned i = 0; i < JOBS; i++) {
        assert_int_equal(jobs[i].worked, 1);
        assert_int_equal(jobs[i].done, 1);
        assert_false(pthread_equal(jobs[i].worked_on, pthread_self()));
        assert_true(pthread_equal(jobs[i].done_on, pthread_self()));
    }
    assert_int_equal(member[0].rests_too_long, 0);
}

static bool job_over;

static void job_done_over(struct mr_worker *w, void *argument)
{
    job_done(w, argument);
    job_over = true;
}

static void one_offload_at_a_time_always_wakes_both_sides(void **state)
{
    /* Between two jobs the threads and the worker fall asleep: each hand-over needs its wake-up. */
    (void)state;
    struct job job = {0};
    for (unsigned i = 0; i < 2000; i++) {
        job_over = false;
        assert_int_equal(mr_offload(member[0].w, job_work, job_done_over, &job), MR_OK);
        member_run(&member[0], &job_over);
    }
    assert_int_equal(job.worked, 2000);
    assert_int_equal(member[0].received, 2000);
    assert_int_equal(member[0].rests_too_long, 0);
}

static void leaving_waits_for_work_in_progress(void **state)
{
    (void)state;
    struct job job = {0};
    assert_int_equal(mr_offload(member[0].w, job_work, job_done, &job), MR_OK);
    worker_group_leave(member[0].w);
    assert_int_equal(job.done, 1);
    assert_int_equal(mr_post(member[1].w, 0, receive_number, NULL), MR_OK); /* nobody there: dropped, wakes nobody */
    assert_int_equal(member[0].wakes, 0);
}

#define ROUNDS 20000
static bool volley_over[2];

/* Plays the ball back until the rounds are over; then both leave. */
static void volley(struct mr_worker *w, void *argument)
{
    unsigned long round = (unsigned long)argument;
    member_of(w)->received++;
    if (round < ROUNDS)
        assert_int_equal(mr_post(w, 1 - w->index, volley, (void *)(round + 1)), MR_OK);
    if (round + 1 >= ROUNDS)
        volley_over[w->index] = true;
}

static void *volley_thread(void *argument)
{
    struct member *m = argument;
    member_run(m, &volley_over[m->w->index]);
    return NULL;
}

static void two_resting_workers_always_wake_each_other(void **state)
{
    (void)state;
    pthread_t threads[2];
    mr_post(member[0].w, 1, volley, (void *)1);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, volley_thread, &member[i]), 0);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(member[0].received + member[1].received, ROUNDS);
    assert_int_equal(member[0].rests_too_long + member[1].rests_too_long, 0);
}

#define CONTROL_THREADS  3
#define CONTROL_MESSAGES 5000
static bool control_over;

static void count_message(struct mr_worker *w, void *argument)
{
    control_over = ++member_of(w)->received == CONTROL_THREADS * CONTROL_MESSAGES;
}

static void *control_thread(void *argument)
{
    for (unsigned sent = 0; sent < CONTROL_MESSAGES;)
        sent += worker_group_post(group, 0, count_message, NULL) == MR_OK;
    return NULL;
}

static void several_control_threads_may_post_at_once(void **state)
{
    (void)state;
    pthread_t threads[CONTROL_THREADS];
    for (unsigned i = 0; i < CONTROL_THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, control_thread, NULL), 0);
    member_run(&member[0], &control_over);
    for (unsigned i = 0; i < CONTROL_THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(member[0].received, CONTROL_THREADS * CONTROL_MESSAGES);
    assert_int_equal(member[0].rests_too_long, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(messages_arrive_in_order_at_the_target_only, start_inline, stop),
        cmocka_unit_test_setup_teardown(full_mailbox_refuses_and_recovers, start_inline, stop),
        cmocka_unit_test_setup_teardown(unknown_target_and_lone_worker_are_refused, start_inline, stop),
        cmocka_unit_test_setup_teardown(message_posted_while_draining_waits_for_the_next_turn, start_inline, stop),
        cmocka_unit_test_setup_teardown(awake_worker_is_not_woken_and_a_resting_one_once, start_inline, stop),
        cmocka_unit_test_setup_teardown(inline_offload_works_at_once_and_is_done_in_the_next_drain, start_inline, stop),
        cmocka_unit_test_setup_teardown(too_many_outstanding_offloads_are_refused_until_some_are_done, start_inline,
                                        stop),
        cmocka_unit_test_setup_teardown(offloaded_work_runs_once_on_another_thread_and_is_done_on_ours, start_threads,
                                        stop),
        cmocka_unit_test_setup_teardown(one_offload_at_a_time_always_wakes_both_sides, start_threads, stop),
        cmocka_unit_test_setup_teardown(leaving_waits_for_work_in_progress, start_threads, stop),
        cmocka_unit_test_setup_teardown(two_resting_workers_always_wake_each_other, start_inline, stop),
        cmocka_unit_test_setup_teardown(several_control_threads_may_post_at_once, start_inline, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
