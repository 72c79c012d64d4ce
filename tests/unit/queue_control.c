/* `millrace queue ...` over the whole service on several workers: each command in its good and its bad forms. */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/queue_service_world.h"

#define SPAN(text)    ((struct mr_span){(const uint8_t *)(text), strlen(text)})
#define SETTINGS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define WORKERS       3

static void ignore(void *context, enum mr_queue_outcome outcome)
{
    *(enum mr_queue_outcome *)context = outcome;
}

static void publish(struct service_world *w, const char *queue, const char *body)
{
    enum mr_queue_outcome outcome = MR_QUEUE_NO_MEMORY;
    struct mr_queue_message m = {.key = SPAN(queue), .body = SPAN(body), .content_type = SPAN("text/plain")};
    assert_int_equal(mr_queue_publish(mr_queues_find(w->group.w[0]), &m, ignore, &outcome), MR_OK);
    service_world_turns(w);
    assert_int_equal(outcome, MR_QUEUE_DONE);
}

#define SAYS(w, words, part)    says((w), (words), true, (part))
#define REFUSES(w, words, part) says((w), (words), false, (part))

static void says(struct service_world *w, const char *words, bool good, const char *part)
{
    bool was = service_world_say(w, words);
    if (!w->said || was != good || !strstr(w->said, part))
        fail_msg("%s: expected %s with '%s', got %s '%s'", words, good ? "an answer" : "a refusal", part,
                 was ? "an answer" : "a refusal", w->said ? w->said : "nothing");
}

static void words_that_are_none_are_refused_with_what_was_expected(void **state)
{
    static const struct {
        const char *words, *message;
    } cases[] = {
        {"sing", "there is no command 'sing', expected one of list, show"},
        {"list here", "expected: list"},
        {"show", "expected: show NAME"},
        {"show none", "there is no queue 'none' in virtual host '/'"},
        {"list --colour red", "unknown option --colour, expected --vhost NAME"},
        {"list --vhost none", "there is no virtual host 'none'"},
        {"stat many", "expected a number from 1 to 100000 instead of 'many'"},
        {"declare q colour=red", "there is no key 'colour'"},
        {"declare q durable", "expected KEY=VALUE instead of 'durable'"},
        {"declare q durable=maybe", "durable: expected yes or no instead of 'maybe'"},
        {"declare q message_ttl=soon", "message_ttl: expected a duration such as 250ms, 5s, 1h instead of 'soon'"},
        {"declare q length_max=-1", "length_max: expected a number instead of '-1'"},
        {"declare q overflow=spill", "x-overflow"},
        {"delete none", "there is no queue 'none'"},
        {"delete q always", "expected if-empty or if-unused instead of 'always'"},
        {"purge none", "there is no queue 'none'"},
        {"peek none", "there is no queue 'none'"},
        {"peek q 0", "expected a number from 1 to 100 instead of '0'"},
        {"move q q", "there is no queue 'q'"},
    };
    struct service_world *w = service_world_create(WORKERS, false, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        REFUSES(w, cases[i].words, cases[i].message);
    SAYS(w, "help", "\"command\":\"declare\"");
    SAYS(w, "help", "\"key\":\"overflow\"");
    service_world_free(w);
}

static void a_queue_is_declared_listed_shown_and_deleted(void **state)
{
    struct service_world *w = service_world_create(WORKERS, false, NULL);
    SAYS(w, "list", "\"queues\":[]");
    SAYS(w, "declare orders durable=no message_ttl=5s length_max=9 priority_max=3 single_active_consumer=yes",
         "\"created\":true");
    SAYS(w, "declare orders durable=no message_ttl=5s length_max=9 priority_max=3 single_active_consumer=yes",
         "\"created\":false");
    REFUSES(w, "declare orders durable=no", "inequivalent arg");
    SAYS(w, "list", "\"name\":\"orders\"");
    SAYS(w, "show orders", "\"x-message-ttl\":\"5000\"");
    SAYS(w, "show orders", "\"durable\":false");
    SAYS(w, "show orders", "\"x-single-active-consumer\":true");
    SAYS(w, "declare retried type=quorum delivery_limit=3", "\"created\":true");
    SAYS(w, "show retried", "\"x-delivery-limit\":\"3\"");
    REFUSES(w, "declare other delivery_limit=3", "invalid arg 'x-delivery-limit'");
    SAYS(w, "bindings", "\"bindings\":[");
    SAYS(w, "exchanges", "\"name\":\"amq.topic\",\"type\":\"topic\"");
    SAYS(w, "exchanges", "\"name\":\"(default)\",\"type\":\"direct\"");
    SAYS(w, "delete orders if-empty if-unused", "\"messages_deleted\":0");
    REFUSES(w, "show orders", "there is no queue 'orders'");
    service_world_free(w);
}

static void messages_are_counted_peeked_moved_and_purged(void **state)
{
    struct service_world *w = service_world_create(WORKERS, false, NULL);
    SAYS(w, "declare from", "\"created\":true");
    SAYS(w, "declare to", "\"created\":true");
    publish(w, "from", "one");
    publish(w, "from", "two");
    publish(w, "from", "th\"ree");
    REFUSES(w, "delete from if-empty", "queue 'from': it has messages");
    SAYS(w, "peek from 2", "\"body\":\"one\"");
    assert_null(strstr(w->said, "ree"));
    assert_non_null(strstr(w->said, "\"content_type\":\"text/plain\""));
    SAYS(w, "peek from 9", "\"body\":\"th\\\"ree\"");
    SAYS(w, "list", "\"name\":\"from\",\"durability\":\"fsync\",\"ready\":3,\"unacked\":0");
    REFUSES(w, "move from from", "expected two queues instead of 'from' twice");
    SAYS(w, "move from to 1", "\"moved\":1");
    SAYS(w, "peek to", "\"body\":\"one\"");
    SAYS(w, "move from to", "\"moved\":2");
    SAYS(w, "stat", "\"queues\":2,\"queues_left_out\":0,\"ready\":3");
    SAYS(w, "stat 1", "\"queues_left_out\":1");
    assert_non_null(strstr(w->said, "\"queue\":\"to\""));
    assert_null(strstr(w->said, "\"queue\":\"from\""));
    SAYS(w, "purge to", "\"messages_purged\":3");
    SAYS(w, "purge to", "\"messages_purged\":0");
    service_world_free(w);
}

static void a_virtual_host_is_named(void **state)
{
    struct service_world *w = service_world_create(2, false, SETTINGS("+vhosts", "/", "+vhosts", "other"));
    SAYS(w, "declare here", "\"created\":true");
    SAYS(w, "--vhost other declare there", "\"created\":true");
    SAYS(w, "list", "\"vhost\":\"other\",\"name\":\"there\"");
    assert_non_null(strstr(w->said, "\"vhost\":\"/\",\"name\":\"here\""));
    SAYS(w, "list --vhost=other", "\"name\":\"there\"");
    assert_null(strstr(w->said, "\"here\""));
    REFUSES(w, "show there", "there is no queue 'there' in virtual host '/'");
    SAYS(w, "show there --vhost other", "\"vhost\":\"other\"");
    service_world_free(w);
}

static void workers_that_do_not_answer_are_said_to_be_missing(void **state)
{
    struct service_world *w = service_world_create(2, false, NULL);
    SAYS(w, "declare here", "\"created\":true");
    w->ask_error = MR_ERROR_NO_MEMORY;
    SAYS(w, "list", "2 of 2 workers did not answer: their part is missing");
    SAYS(w, "connections", "2 of 2 workers did not answer");
    REFUSES(w, "exchanges", "worker 0: ");
    REFUSES(w, "declare more", "worker 0: ");
    w->ask_error = MR_OK;
    SAYS(w, "list", "\"name\":\"here\"");
    service_world_free(w);
}

static void connections_are_shown_with_their_state(void **state)
{
    struct service_world *w = service_world_create(2, false, NULL);
    SAYS(w, "connections", "\"connections\":[]");
    struct mr_stream *s = fake_open(w->group.w[1]);
    fake_input(s, "AMQP\0\0\11\1", 8);
    service_world_turns(w);
    SAYS(w, "connections", "\"user\":\"-\"");
    assert_non_null(strstr(w->said, "\"worker\":1"));
    fake_reset(s);
    service_world_turns(w);
    service_world_free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_that_are_none_are_refused_with_what_was_expected),
        cmocka_unit_test(a_queue_is_declared_listed_shown_and_deleted),
        cmocka_unit_test(messages_are_counted_peeked_moved_and_purged),
        cmocka_unit_test(a_virtual_host_is_named),
        cmocka_unit_test(workers_that_do_not_answer_are_said_to_be_missing),
        cmocka_unit_test(connections_are_shown_with_their_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
