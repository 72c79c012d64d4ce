/* A question to a worker: answered, refused by a full mailbox, or given up, with the memory freed exactly once. */
#include "tests/support/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "stack/core/worker.h"
#include "tools/millrace/worker_ask.h"

struct fixture {
    struct mr_worker worker;
    struct worker_group *group;
    pthread_t thread;
    atomic_bool ending;
    unsigned nap_us; /* between turns */
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->group = worker_group_create(1, 0);
    worker_group_join(f->group, &f->worker);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    worker_group_destroy(f->group);
    free(f);
    return 0;
}

static void *turns(void *argument)
{
    struct fixture *f = argument;
    while (!atomic_load(&f->ending)) {
        mailbox_drain(&f->worker);
        usleep(f->nap_us);
    }
    return NULL;
}

static void turns_begin(struct fixture *f, unsigned nap_us)
{
    f->nap_us = nap_us;
    pthread_create(&f->thread, NULL, turns, f);
}

static void turns_end(struct fixture *f)
{
    atomic_store(&f->ending, true);
    pthread_join(f->thread, NULL);
}

static void add_one(struct mr_worker *w, void *argument)
{
    ++*(int *)argument;
}

static int *number(void)
{
    return calloc(1, sizeof(int));
}

static void a_turning_worker_answers(void **state)
{
    struct fixture *f = *state;
    turns_begin(f, 100);
    for (unsigned i = 0; i < 100; i++) {
        int *n = number();
        assert_int_equal(worker_ask(f->group, 0, add_one, n, 10000), WORKER_ANSWERED);
        assert_int_equal(*n, 1);
        free(n);
    }
    turns_end(f);
}

static void a_silent_worker_is_given_up_and_frees_when_it_comes(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(worker_ask(f->group, 0, add_one, number(), 5), WORKER_SILENT);
    assert_int_equal(mailbox_drain(&f->worker), 1); /* a leak or a second free is for the address sanitizer to see */
}

static void a_full_mailbox_refuses(void **state)
{
    struct fixture *f = *state;
    int n = 0;
    while (worker_group_post(f->group, 0, add_one, &n) == MR_OK)
        ;
    int *argument = number();
    assert_int_equal(worker_ask(f->group, 0, add_one, argument, 5), WORKER_FULL);
    assert_int_equal(*argument, 0);
    free(argument);
    while (mailbox_drain(&f->worker))
        ;
    assert_true(n > 0);
}

/* Patience and answer end at about the same time, again and again: each outcome leaves the memory with one owner. */
static void giving_up_races_with_the_answer(void **state)
{
    struct fixture *f = *state;
    unsigned outcomes[3] = {0};
    turns_begin(f, 900);
    for (unsigned i = 0; i < 500; i++) {
        int *n = number();
        enum worker_answer a = worker_ask(f->group, 0, add_one, n, 1);
        outcomes[a]++;
        if (a != WORKER_SILENT) {
            assert_int_equal(*n, 1);
            free(n);
        }
    }
    turns_end(f);
    while (mailbox_drain(&f->worker))
        ;
    assert_int_equal(outcomes[WORKER_ANSWERED] + outcomes[WORKER_SILENT], 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_turning_worker_answers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_silent_worker_is_given_up_and_frees_when_it_comes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_full_mailbox_refuses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(giving_up_races_with_the_answer, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
