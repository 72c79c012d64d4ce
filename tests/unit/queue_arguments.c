/* Arguments of queues: what they mean, and the texts of RabbitMQ 3.10 for those that are wrong (taken from one that ran). */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <string.h>

#include "queue/amqp/table.h"
#include "queue/catalog/replica.h"

static uint8_t bytes[4096];
static struct amqp_table_out out;

static void begin(void)
{
    out = (struct amqp_table_out){bytes, sizeof bytes, 0, false};
}

static void put(const char *name, struct amqp_value v)
{
    amqp_table_put(&out, span_of(name), &v);
    assert_false(out.failed);
}

static struct amqp_value text(const char *value)
{
    return (struct amqp_value){.type = 'S', .text = span_of(value)};
}

static struct amqp_value whole(char type, int64_t n)
{
    return (struct amqp_value){.type = type, .integer = n};
}

static struct catalog_change declared(void)
{
    return (struct catalog_change){
        .verb = CATALOG_QUEUE_DECLARE, .name = span_of("q"), .arguments = {out.data, out.used}};
}

static void arguments_become_values(void **state)
{
    (void)state;
    struct queue_arguments a;
    begin();
    put("x-message-ttl", whole('I', 0));
    put("x-expires", whole('l', 60000));
    put("x-max-length", whole('b', 7));
    put("x-max-length-bytes", whole('l', INT64_MAX));
    put("x-overflow", text("reject-publish-dlx"));
    put("x-dead-letter-routing-key", text("k"));
    put("x-dead-letter-exchange", text(""));
    put("x-max-priority", whole('I', 255));
    put("x-single-active-consumer", (struct amqp_value){.type = 't', .boolean = true});
    put("x-durability", text("memory"));
    put("x-something", text("else"));
    struct catalog_change change = declared();
    assert_true(catalog_arguments_parse(&change, "/", &a));
    assert_int_equal(a.message_ttl_ms, 0);
    assert_int_equal(a.expires_ms, 60000);
    assert_int_equal(a.length_max, 7);
    assert_int_equal(a.length_bytes_max, INT64_MAX);
    assert_int_equal(a.overflow, OVERFLOW_REJECT_PUBLISH_DLX);
    assert_true(a.dead_letter && a.dead_letter_key_given && a.dead_letter_exchange.length == 0);
    assert_memory_equal(a.dead_letter_key.data, "k", 1);
    assert_int_equal(a.priority_max, 255);
    assert_true(a.single_active_consumer);
    assert_int_equal(a.durability, QUEUE_MEMORY);
    begin();
    catalog_arguments_read((struct mr_span){out.data, 0}, QUEUE_WRITTEN, &a);
    assert_true(a.message_ttl_ms == UINT64_MAX && a.length_max == UINT64_MAX && a.length_bytes_max == UINT64_MAX &&
                a.delivery_limit == UINT64_MAX && !a.expires_ms && !a.dead_letter && !a.priority_max);
    assert_int_equal(a.durability, QUEUE_WRITTEN);
}

#define INVALID(name, why) "invalid arg '" name "' for queue 'q' in vhost '/'" why

static void wrong_arguments_are_refused_as_rabbitmq_does(void **state)
{
    (void)state;
    const struct {
        const char *name;
        struct amqp_value value;
        const char *text;
    } refused[] = {
        {"x-message-ttl", whole('I', -1), INVALID("x-message-ttl", ": {value_negative,-1}")},
        {"x-message-ttl", text("a"), INVALID("x-message-ttl", ": \"expected integer, got longstr\"")},
        {"x-message-ttl", {.type = 't', .boolean = true}, INVALID("x-message-ttl", ": \"expected integer, got bool\"")},
        {"x-message-ttl", {.type = 'V'}, INVALID("x-message-ttl", ": \"expected integer, got void\"")},
        {"x-message-ttl", {.type = 'D'}, INVALID("x-message-ttl", ": \"expected integer, got decimal\"")},
        {"x-message-ttl", whole('l', 1099511627776), INVALID("x-message-ttl", ": {value_too_large,1099511627776}")},
        {"x-expires", whole('I', 0), INVALID("x-expires", ": {value_zero,0}")},
        {"x-expires", whole('I', -1), INVALID("x-expires", ": {value_negative,-1}")},
        {"x-max-length", whole('I', -1), INVALID("x-max-length", ": {value_negative,-1}")},
        {"x-max-length-bytes", text("a"), INVALID("x-max-length-bytes", ": \"expected integer, got longstr\"")},
        {"x-max-priority", whole('I', 256), INVALID("x-max-priority", ": {max_value_exceeded,256}")},
        {"x-overflow", text("a"), INVALID("x-overflow", ": invalid_overflow")},
        {"x-overflow", whole('I', 1), INVALID("x-overflow", ": {unacceptable_type,signedint}")},
        {"x-overflow", whole('l', 1), INVALID("x-overflow", ": {unacceptable_type,long}")},
        {"x-dead-letter-exchange", whole('I', 1),
         "invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'"},
        {"x-dead-letter-routing-key", text("k"),
         INVALID("x-dead-letter-routing-key", ": routing_key_but_no_dlx_defined")},
        {"x-dead-letter-routing-key", whole('I', 1),
         INVALID("x-dead-letter-routing-key", ": {unacceptable_type,signedint}")},
        {"x-single-active-consumer", text("a"), INVALID("x-single-active-consumer", ": {unacceptable_type,longstr}")},
        {"x-queue-type", text("a"), INVALID("x-queue-type", ": \"unsupported queue type 'a'\"")},
        {"x-queue-type", text("stream"), INVALID("x-queue-type", ": \"unsupported queue type 'stream'\"")},
        {"x-queue-type", whole('I', 1), INVALID("x-queue-type", ": {unacceptable_type,signedint}")},
        {"x-queue-mode", text("a"), INVALID("x-queue-mode", ": \"unsupported queue mode 'a'\"")},
        {"x-queue-version", whole('I', 0), INVALID("x-queue-version", ": \"unsupported queue version '0'\"")},
        {"x-delivery-limit", whole('I', 3), INVALID("x-delivery-limit", " of queue type rabbit_classic_queue")},
        {"x-max-age", text("1D"), INVALID("x-max-age", " of queue type rabbit_classic_queue")},
        {"x-durability", text("disk"), INVALID("x-durability", ": \"unsupported durability 'disk'\"")},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        struct queue_arguments ignored;
        begin();
        put(refused[i].name, refused[i].value);
        struct catalog_change change = declared();
        assert_false(catalog_arguments_parse(&change, "/", &ignored));
        assert_int_equal(change.result, CATALOG_PRECONDITION_FAILED);
        assert_string_equal(change.text, refused[i].text);
    }
}

static void quorum_queue_is_durable_and_for_all(void **state)
{
    (void)state;
    static const struct {
        bool durable, exclusive, auto_delete;
        const char *text;
    } cases[] = {
        {false, false, false, "invalid property 'non-durable' for queue 'q' in vhost '/'"},
        {true, true, false, "invalid property 'exclusive-owner' for queue 'q' in vhost '/'"},
        {true, false, true, "invalid property 'auto-delete' for queue 'q' in vhost '/'"},
        {true, false, false, NULL},
    };
    struct queue_arguments a;
    begin();
    put("x-queue-type", text("quorum"));
    put("x-delivery-limit", whole('I', 3));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct catalog_change change = declared();
        change.durable = cases[i].durable;
        change.exclusive = cases[i].exclusive;
        change.auto_delete = cases[i].auto_delete;
        assert_int_equal(catalog_arguments_parse(&change, "/", &a), !cases[i].text);
        if (cases[i].text)
            assert_string_equal(change.text, cases[i].text);
    }
    assert_int_equal(a.delivery_limit, 3);
    put("x-max-priority", whole('I', 3));
    struct catalog_change change = declared();
    change.durable = true;
    assert_false(catalog_arguments_parse(&change, "/", &a));
    assert_string_equal(change.text, INVALID("x-max-priority", " of queue type rabbit_quorum_queue"));
}

static void declared_again_is_compared_by_value(void **state)
{
    (void)state;
    uint8_t before[64];
    struct amqp_table_out o = {before, sizeof before, 0, false};
    amqp_table_put_integer(&o, "x-message-ttl", 1000); /* l */
    const struct mr_span current = {before, o.used};
    begin();
    put("x-message-ttl", whole('I', 1000));
    put("x-queue-type", text("classic")); /* as when nothing is said */
    put("x-note", text("ignored"));
    struct catalog_change change = declared();
    assert_true(catalog_arguments_equal(&change, "/", current));
    begin();
    put("x-message-ttl", whole('I', 2000));
    change = declared();
    assert_false(catalog_arguments_equal(&change, "/", current));
    assert_string_equal(change.text, "inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received '2000' but "
                                     "current is '1000'");
    begin();
    change = declared();
    assert_false(catalog_arguments_equal(&change, "/", current));
    assert_string_equal(change.text, "inequivalent arg 'x-message-ttl' for queue 'q' in vhost '/': received none but "
                                     "current is the value '1000' of type 'long'");
    put("x-message-ttl", whole('I', 1000));
    put("x-queue-type", text("quorum"));
    change = declared();
    assert_false(catalog_arguments_equal(&change, "/", current));
    assert_string_equal(change.text, "inequivalent arg 'x-queue-type' for queue 'q' in vhost '/': received the value "
                                     "'quorum' of type 'longstr' but current is none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments_become_values),
        cmocka_unit_test(wrong_arguments_are_refused_as_rabbitmq_does),
        cmocka_unit_test(quorum_queue_is_durable_and_for_all),
        cmocka_unit_test(declared_again_is_compared_by_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
