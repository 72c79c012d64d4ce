/* Channels of AMQP over the whole service on two workers: each method's answer, each error's code, scope and text, what waits for what, and that
 * nothing is lost or left behind. Texts are rabbitmq-server 3.10's. */
#include "tests/support/cmocka.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue/catalog/catalog.h"
#include "tests/support/amqp_client.h"

static struct mr_stream *a, *b; /* clients on workers 0 and 1, channel 1 of each open */

static struct mr_span S(const char *text) {
    return (struct mr_span){(const uint8_t *)text, strlen(text)};
}

#define PUT(channel, name, ...) queue_put(channel, &(struct amqp_method){.id = AMQP_##name, .name = {__VA_ARGS__}})
#define SIMPLE(channel, name)   queue_put(channel, &(struct amqp_method){.id = AMQP_##name})
#define SAYS(stream, text)      assert_string_equal(amqp_client_send(stream), text)
#define SAID(stream, text)      assert_string_equal(amqp_client_said(stream), text)

static void
publish_with(const char *exchange, const char *key, const char *body, const struct amqp_properties *p)
{
    PUT(1, basic_publish, .exchange = S(exchange), .routing_key = S(key));
    queue_put_content(1, p, body, strlen(body), 4096);
}

static void publish(const char *key, const char *body)
{
    publish_with("", key, body, NULL);
}

static void mandatory(const char *exchange, const char *key, const char *body)
{
    PUT(1, basic_publish, .exchange = S(exchange), .routing_key = S(key), .mandatory = true);
    queue_put_content(1, NULL, body, strlen(body), 4096);
}

static void get(const char *queue)
{
    PUT(1, basic_get, .queue = S(queue));
}

static void ack(uint64_t tag, bool multiple)
{
    PUT(1, basic_ack, .delivery_tag = tag, .multiple = multiple);
}

static void nack(uint64_t tag, bool multiple, bool requeue)
{
    PUT(1, basic_nack, .delivery_tag = tag, .multiple = multiple, .requeue = requeue);
}

static void consume(const char *queue, const char *tag)
{
    PUT(1, basic_consume, .queue = S(queue), .consumer_tag = S(tag));
}

static void declare(struct mr_stream *s, const char *queue)
{
    char answer[100];
    PUT(1, queue_declare, .queue = S(queue));
    snprintf(answer, sizeof answer, "1 queue.declare_ok %s 0 0\n", queue);
    SAYS(s, answer);
}

/* `n` messages "0", "1", ... in a queue that was not there. */
static void fill(struct mr_stream *s, const char *queue, unsigned n)
{
    declare(s, queue);
    for (unsigned i = 0; i < n; i++) {
        char body[16];
        snprintf(body, sizeof body, "%u", i);
        publish(queue, body);
    }
    SAYS(s, "");
}

/* Ready messages and consumers, as a passive declare tells them. */
static void holds(struct mr_stream *s, const char *queue, unsigned messages, unsigned consumers)
{
    char answer[100];
    PUT(1, queue_declare, .queue = S(queue), .passive = true);
    snprintf(answer, sizeof answer, "1 queue.declare_ok %s %u %u\n", queue, messages, consumers);
    SAYS(s, answer);
}

static void channel_again(struct mr_stream *s)
{
    SIMPLE(1, channel_close_ok);
    SIMPLE(1, channel_open);
    SAYS(s, "1 channel.open_ok\n");
}

static struct mr_stream *client(unsigned worker)
{
    struct mr_stream *s = amqp_client_connect(worker, "guest", "guest");
    SIMPLE(1, channel_open);
    SAYS(s, "1 channel.open_ok\n");
    return s;
}

static uint64_t baseline[2];

static int start(void **state)
{
    amqp_client_start(2);
    amqp_client_turns();
    for (unsigned i = 0; i < 2; i++)
        baseline[i] = amqp_client_broker(i)->memory.allocations;
    a = client(0);
    b = client(1);
    return 0;
}

static int setup(void **state)
{
    amqp_client_defaults();
    return start(state);
}

static void delete_one(void *context, const struct catalog_queue *q)
{
    if (!q->deleted)
        PUT(1, queue_delete, .queue = q->name, .no_wait = true);
}

/* Everything declared goes; then sessions, requests and messages have left nothing. */
static int teardown(void **state)
{
    amqp_client_hang_up(a);
    amqp_client_hang_up(b);
    struct mr_stream *s = client(0);
    catalog_queue_each(amqp_client_broker(0)->catalog, UINT_MAX, delete_one, NULL);
    SAYS(s, "");
    amqp_client_hang_up(s);
    for (unsigned i = 0; i < 2; i++)
        fake_pass(amqp_client.g.w[i], 3 * MR_SECOND);
    amqp_client_turns();
    for (unsigned i = 0; i < 2; i++) {
        const struct broker *here = amqp_client_broker(i);
        if (here->counters[QUEUE_COUNTER_CHANNELS_OPEN] || here->counters[QUEUE_COUNTER_CONSUMERS] ||
            here->counters[QUEUE_COUNTER_READY] || here->counters[QUEUE_COUNTER_UNACKNOWLEDGED])
            return -1;
        if (here->memory.allocations > baseline[i]) {
            print_error("worker %u: %llu allocations are left\n", i,
                        (unsigned long long)(here->memory.allocations - baseline[i]));
            return -1;
        }
    }
    amqp_client_end();
    return 0;
}

/* -- declaring ------------------------------------------------------------------------------------------------------------------------ */

static void declare_without_name_generates_one_and_remembers_it(void **state)
{
    PUT(1, queue_declare, .exclusive = true);
    SAYS(a, "1 queue.declare_ok amq.gen-* 0 0\n");
    char name[256];
    strcpy(name, amqp_client.generated);
    assert_int_equal(strlen(name), 30);
    PUT(1, queue_bind, .exchange = S("amq.direct"));
    publish_with("amq.direct", name, "by its own name", NULL);
    get("");
    char answer[400];
    SAYS(a, (snprintf(answer, sizeof answer,
                      "1 queue.bind_ok\n1 basic.get_ok 1 false amq.direct amq.gen-* 0 [by its own name]\n"),
             answer));
}

static void declare_again_tells_what_is_there(void **state)
{
    fill(a, "q", 3);
    PUT(1, queue_declare, .queue = S("q"));
    SAYS(b, "1 queue.declare_ok q 3 0\n");
    PUT(1, queue_declare, .queue = S("q"), .auto_delete = true);
    SAYS(
        b,
        "1 channel.close 406 PRECONDITION_FAILED - inequivalent arg 'auto_delete' for queue 'q' in vhost '/': received "
        "'true' but current is 'false' 50 10\n");
}

static void no_wait_is_silent_and_methods_keep_their_order(void **state)
{
    PUT(1, queue_declare, .queue = S("q"), .no_wait = true);
    PUT(1, queue_bind, .queue = S("q"), .exchange = S("amq.fanout"), .no_wait = true);
    publish_with("amq.fanout", "", "1", NULL);
    PUT(1, queue_purge, .queue = S("q"), .no_wait = true);
    publish_with("amq.fanout", "", "2", NULL);
    get("q");
    PUT(1, queue_delete, .queue = S("q"), .no_wait = true);
    PUT(1, queue_declare, .queue = S("q"), .passive = true);
    SAYS(a, "1 basic.get_ok 1 false amq.fanout  0 [2]\n"
            "1 channel.close 404 NOT_FOUND - no queue 'q' in vhost '/' 50 10\n");
}

static void exclusive_queue_is_of_its_connection_and_goes_with_it(void **state)
{
    PUT(1, queue_declare, .queue = S("mine"), .exclusive = true);
    SAYS(a, "1 queue.declare_ok mine 0 0\n");
    PUT(1, queue_declare, .queue = S("mine"), .passive = true);
    SAYS(
        b,
        "1 channel.close 405 RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'mine' in vhost '/'. It "
        "could be "
        "originally declared on another connection or the exclusive property value does not match that of the original "
        "declaration. 50 10\n");
    channel_again(b);
    amqp_client_hang_up(a);
    PUT(1, queue_declare, .queue = S("mine"), .passive = true);
    SAYS(b, "1 channel.close 404 NOT_FOUND - no queue 'mine' in vhost '/' 50 10\n");
    a = client(0);
}

/* -- errors: a method (and what it needs), and how it is answered ------------------------------------------------------------------ */

static void e_passive(void)
{
    PUT(1, queue_declare, .queue = S("nope"), .passive = true);
}
static void e_amq(void)
{
    PUT(1, queue_declare, .queue = S("amq.foo"));
}
static void e_no_last(void)
{
    get("");
}
static void e_bind_default(void)
{
    PUT(1, queue_declare, .queue = S("q"), .no_wait = true);
    PUT(1, queue_bind, .queue = S("q"), .routing_key = S("k"));
}
static void e_bind_exchange(void)
{
    PUT(1, queue_declare, .queue = S("q"), .no_wait = true);
    PUT(1, queue_bind, .queue = S("q"), .exchange = S("nope"));
}
static void e_bind_queue(void)
{
    PUT(1, queue_bind, .queue = S("nope"), .exchange = S("amq.direct"));
}
static void e_purge(void)
{
    PUT(1, queue_purge, .queue = S("nope"));
}
static void e_delete_in_use(void)
{
    PUT(1, queue_declare, .queue = S("q"), .no_wait = true);
    PUT(1, basic_consume, .queue = S("q"), .no_wait = true);
    PUT(1, queue_delete, .queue = S("q"), .if_unused = true);
}
static void e_delete_not_empty(void)
{
    PUT(1, queue_declare, .queue = S("q"), .no_wait = true);
    publish("q", "1");
    PUT(1, queue_delete, .queue = S("q"), .if_empty = true);
}
static void e_x_type(void)
{
    PUT(1, exchange_declare, .exchange = S("x"), .type = S("nosuch"));
}
static void e_x_default(void)
{
    PUT(1, exchange_declare, .exchange = S(""), .type = S("direct"));
}
static void e_x_passive(void)
{
    PUT(1, exchange_declare, .exchange = S("nope"), .type = S("direct"), .passive = true);
}
static void e_x_amq(void)
{
    PUT(1, exchange_declare, .exchange = S("amq.foo"), .type = S("direct"));
}
static void e_x_other(void)
{
    PUT(1, exchange_declare, .exchange = S("amq.direct"), .type = S("topic"), .durable = true);
}
static void e_x_delete_system(void)
{
    PUT(1, exchange_delete, .exchange = S("amq.direct"));
}
static void e_x_delete_used(void)
{
    PUT(1, exchange_declare, .exchange = S("x"), .type = S("direct"), .auto_delete = true, .no_wait = true);
    PUT(1, queue_declare, .queue = S("q"), .no_wait = true);
    PUT(1, queue_bind, .queue = S("q"), .exchange = S("x"), .no_wait = true);
    PUT(1, exchange_delete, .exchange = S("x"), .if_unused = true);
}
static void e_publish(void)
{
    publish_with("nope", "k", "body", NULL);
}
static void e_internal(void)
{
    PUT(1, exchange_declare, .exchange = S("x"), .type = S("direct"), .internal = true, .no_wait = true);
    publish_with("x", "k", "body", NULL);
}
static void e_immediate(void)
{
    PUT(1, basic_publish, .routing_key = S("q"), .immediate = true);
}
static void expiration(const char *text)
{
    publish_with("", "q", "body", &(struct amqp_properties){.flags = AMQP_EXPIRATION, .expiration = S(text)});
}
static void e_expiration_word(void)
{
    expiration("abc");
}
static void e_expiration_rest(void)
{
    expiration("10x");
}
static void e_expiration_negative(void)
{
    expiration("-5");
}
static void e_expiration_large(void)
{
    expiration("315360000001");
}
static void e_user(void)
{
    publish_with("", "q", "body", &(struct amqp_properties){.flags = AMQP_USER_ID, .user_id = S("other")});
}
static void e_reply(void)
{
    publish_with("", "q", "body",
                 &(struct amqp_properties){.flags = AMQP_REPLY_TO, .reply_to = S("amq.rabbitmq.reply-to")});
}
static void e_cc(void)
{
    uint8_t data[64];
    struct amqp_table_out o = {.data = data, .room = sizeof data};
    amqp_table_put_text(&o, "CC", S("abc"));
    publish_with("", "q", "body", &(struct amqp_properties){.flags = AMQP_HEADERS, .headers = {data, o.used}});
}
static void e_ack(void)
{
    ack(5, false);
}
static void e_ack_zero(void)
{
    ack(0, false);
}
static void e_reject(void)
{
    PUT(1, basic_reject, .delivery_tag = 7);
}
static void e_recover(void)
{
    PUT(1, basic_recover, .requeue = false);
}
static void e_flow(void)
{
    PUT(1, channel_flow, .active = false);
}
static void e_prefetch_size(void)
{
    PUT(1, basic_qos, .prefetch_size = 10);
}
static void e_tag_twice(void)
{
    PUT(1, queue_declare, .queue = S("q"), .no_wait = true);
    PUT(1, basic_consume, .queue = S("q"), .consumer_tag = S("t"), .no_wait = true);
    consume("q", "t");
}
static void e_exclusive_second(void)
{
    PUT(1, queue_declare, .queue = S("q"), .no_wait = true);
    PUT(1, basic_consume, .queue = S("q"), .no_wait = true, .exclusive = true);
    consume("q", "t");
}
static void e_second_exclusive(void)
{
    PUT(1, queue_declare, .queue = S("q"), .no_wait = true);
    PUT(1, basic_consume, .queue = S("q"), .no_wait = true);
    PUT(1, basic_consume, .queue = S("q"), .exclusive = true);
}
static void e_priority(void)
{
    static uint8_t data[64];
    struct amqp_table_out o = {.data = data, .room = sizeof data};
    amqp_table_put_text(&o, "x-priority", S("a"));
    PUT(1, queue_declare, .queue = S("q"), .no_wait = true);
    PUT(1, basic_consume, .queue = S("q"), .arguments = {data, o.used});
}
static void e_reply_acknowledged(void)
{
    consume("amq.rabbitmq.reply-to", "");
}
static void e_commit(void)
{
    SIMPLE(1, tx_commit);
}
static void e_rollback(void)
{
    SIMPLE(1, tx_rollback);
}
static void e_tx_confirm(void)
{
    SIMPLE(1, tx_select);
    SIMPLE(1, confirm_select);
}
static void e_confirm_tx(void)
{
    PUT(1, confirm_select, .nowait = true);
    SIMPLE(1, tx_select);
}
#define CHANNEL(code, text, class, method)    "1 channel.close " #code " " text " " #class " " #method "\n"
#define CONNECTION(code, text, class, method) "0 connection.close " #code " " text " " #class " " #method "\n"
static const struct {
    void (*put)(void);
    const char *said;
} errors[] = {
    {e_passive, CHANNEL(404, "NOT_FOUND - no queue 'nope' in vhost '/'", 50, 10)},
    {e_amq, CHANNEL(403, "ACCESS_REFUSED - queue name 'amq.foo' contains reserved prefix 'amq.*'", 50, 10)},
    {e_no_last, CHANNEL(404, "NOT_FOUND - no previously declared queue", 60, 70)},
    {e_bind_default, CHANNEL(403, "ACCESS_REFUSED - operation not permitted on the default exchange", 50, 20)},
    {e_bind_exchange, CHANNEL(404, "NOT_FOUND - no exchange 'nope' in vhost '/'", 50, 20)},
    {e_bind_queue, CHANNEL(404, "NOT_FOUND - no queue 'nope' in vhost '/'", 50, 20)},
    {e_purge, CHANNEL(404, "NOT_FOUND - no queue 'nope' in vhost '/'", 50, 30)},
    {e_delete_in_use, CHANNEL(406, "PRECONDITION_FAILED - queue 'q' in vhost '/' in use", 50, 40)},
    {e_delete_not_empty, CHANNEL(406, "PRECONDITION_FAILED - queue 'q' in vhost '/' not empty", 50, 40)},
    {e_x_type, CONNECTION(503, "COMMAND_INVALID - unknown exchange type 'nosuch'", 40, 10)},
    {e_x_default, CHANNEL(403, "ACCESS_REFUSED - operation not permitted on the default exchange", 40, 10)},
    {e_x_passive, CHANNEL(404, "NOT_FOUND - no exchange 'nope' in vhost '/'", 40, 10)},
    {e_x_amq, CHANNEL(403, "ACCESS_REFUSED - exchange name 'amq.foo' contains reserved prefix 'amq.*'", 40, 10)},
    {e_x_other,
     CHANNEL(406,
             "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'amq.direct' in vhost '/': received "
             "'topic' but current is 'direct'",
             40, 10)},
    {e_x_delete_system,
     CHANNEL(403, "ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost '/' not allowed", 40, 20)},
    {e_x_delete_used, CHANNEL(406, "PRECONDITION_FAILED - exchange 'x' in vhost '/' in use", 40, 20)},
    {e_publish, CHANNEL(404, "NOT_FOUND - no exchange 'nope' in vhost '/'", 60, 40)},
    {e_internal, CHANNEL(403, "ACCESS_REFUSED - cannot publish to internal exchange 'x' in vhost '/'", 60, 40)},
    {e_immediate, CONNECTION(540, "NOT_IMPLEMENTED - immediate=true", 60, 40)},
    {e_expiration_word, CHANNEL(406, "PRECONDITION_FAILED - invalid expiration 'abc': no_integer", 60, 40)},
    {e_expiration_rest,
     CHANNEL(406, "PRECONDITION_FAILED - invalid expiration '10x': {leftover_string,\"x\"}", 60, 40)},
    {e_expiration_negative, CHANNEL(406, "PRECONDITION_FAILED - invalid expiration '-5': {value_negative,-5}", 60, 40)},
    {e_expiration_large,
     CHANNEL(406, "PRECONDITION_FAILED - invalid expiration '315360000001': {value_too_large,315360000001}", 60, 40)},
    {e_user,
     CHANNEL(406, "PRECONDITION_FAILED - user_id property set to 'other' but authenticated user was 'guest'", 60, 40)},
    {e_reply, CHANNEL(406, "PRECONDITION_FAILED - fast reply consumer does not exist", 60, 40)},
    {e_cc, CHANNEL(406, "PRECONDITION_FAILED - invalid message: {unacceptable_type_in_header,\"CC\",longstr}", 60, 40)},
    {e_ack, CHANNEL(406, "PRECONDITION_FAILED - unknown delivery tag 5", 60, 80)},
    {e_ack_zero, CHANNEL(406, "PRECONDITION_FAILED - unknown delivery tag 0", 60, 80)},
    {e_reject, CHANNEL(406, "PRECONDITION_FAILED - unknown delivery tag 7", 60, 90)},
    {e_recover, CONNECTION(540, "NOT_IMPLEMENTED - requeue=false", 60, 110)},
    {e_flow, CONNECTION(540, "NOT_IMPLEMENTED - active=false", 20, 20)},
    {e_prefetch_size, CONNECTION(540, "NOT_IMPLEMENTED - prefetch_size!=0 (10)", 60, 10)},
    {e_tag_twice, CONNECTION(530, "NOT_ALLOWED - attempt to reuse consumer tag 't'", 60, 20)},
    {e_exclusive_second, CHANNEL(403, "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use", 60, 20)},
    {e_second_exclusive, CHANNEL(403, "ACCESS_REFUSED - queue 'q' in vhost '/' in exclusive use", 60, 20)},
    {e_priority,
     CHANNEL(
         406,
         "PRECONDITION_FAILED - invalid arg 'x-priority' for queue 'q' in vhost '/': \"expected integer, got longstr\"",
         60, 20)},
    {e_reply_acknowledged, CHANNEL(406, "PRECONDITION_FAILED - reply consumer cannot acknowledge", 60, 20)},
    {e_commit, CHANNEL(406, "PRECONDITION_FAILED - channel is not transactional", 90, 20)},
    {e_rollback, CHANNEL(406, "PRECONDITION_FAILED - channel is not transactional", 90, 30)},
    {e_tx_confirm,
     "1 tx.select_ok\n" CHANNEL(406, "PRECONDITION_FAILED - cannot switch from tx to confirm mode", 85, 10)},
    {e_confirm_tx, CHANNEL(406, "PRECONDITION_FAILED - cannot switch from confirm to tx mode", 90, 10)},
};

static void each_error_has_its_code_scope_and_text_and_ends_what_it_should(void **state)
{
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        struct mr_stream *s = client((unsigned)(i % 2));
        errors[i].put();
        SIMPLE(1, tx_select); /* ignored: the channel or connection is closed */
        SAYS(s, errors[i].said);
        if (errors[i].said[0] == '1')
            channel_again(s);
        amqp_client_hang_up(s);
        PUT(1, queue_delete, .queue = S("q"), .no_wait = true);
        PUT(1, exchange_delete, .exchange = S("x"), .no_wait = true);
        SAYS(a, "");
    }
}

static void rights_are_asked_for_each_name(void **state)
{
    static struct queue_permission some = {
        .vhost = (char *)"/", .configure = (char *)"^own", .write = (char *)"^own", .read = (char *)"^own"};
    amqp_client_hang_up(a);
    amqp_client_hang_up(b);
    amqp_client_end();
    static struct queue_user users[] = {
        {.name = (char *)"guest", .password = (char *)"guest"},
        {.name = (char *)"u", .password = (char *)"p", .permissions = &some, .permission_count = 1}};
    static struct queue_permission all = {
        .vhost = (char *)"/", .configure = (char *)".*", .write = (char *)".*", .read = (char *)".*"};
    users[0].permissions = &all;
    users[0].permission_count = 1;
    amqp_client_defaults();
    amqp_client.config.users = users;
    amqp_client.config.user_count = 2;
    start(state);
    struct mr_stream *s = amqp_client_connect(1, "u", "p");
    SIMPLE(1, channel_open);
    PUT(1, queue_declare, .queue = S("own"));
    PUT(1, queue_declare, .queue = S("other"));
    SAYS(s, "1 channel.open_ok\n1 queue.declare_ok own 0 0\n"
            "1 channel.close 403 ACCESS_REFUSED - access to queue 'other' in vhost '/' refused for user 'u' 50 10\n");
    channel_again(s);
    publish("own", "by the default exchange");
    SAYS(s, "1 channel.close 403 ACCESS_REFUSED - access to exchange 'amq.default' in vhost '/' refused for user 'u' "
            "60 40\n");
    channel_again(s);
    PUT(1, queue_bind, .queue = S("own"), .exchange = S("amq.direct"));
    SAYS(s, "1 channel.close 403 ACCESS_REFUSED - access to exchange 'amq.direct' in vhost '/' refused for user 'u' 50 "
            "20\n");
    declare(a, "foreign");
    channel_again(s);
    get("foreign");
    SAYS(s, "1 channel.close 403 ACCESS_REFUSED - access to queue 'foreign' in vhost '/' refused for user 'u' 60 70\n");
    amqp_client_hang_up(s);
}

/* -- publishing ------------------------------------------------------------------------------------------------------------------------- */

static void published_on_one_worker_got_and_acknowledged_on_another(void **state)
{
    fill(a, "q", 2);
    get("q");
    get("q");
    get("q");
    SAYS(b, "1 basic.get_ok 1 false  q 1 [0]\n1 basic.get_ok 2 false  q 0 [1]\n1 basic.get_empty \n");
    ack(1, false);
    SAYS(b, "");
    PUT(1, basic_recover, .requeue = true);
    get("q");
    SAYS(b, "1 basic.recover_ok\n1 basic.get_ok 3 true  q 0 [1]\n");
    PUT(1, basic_reject, .delivery_tag = 3);
    get("q");
    SAYS(b, "1 basic.get_empty \n");
}

static void body_comes_in_any_frames_and_leaves_whole(void **state)
{
    static char body[1 << 20];
    for (size_t i = 0; i < sizeof body; i++)
        body[i] = (char)i;
    body[sizeof body - 1] = 42;
    declare(a, "q");
    PUT(1, basic_publish, .routing_key = S("q"));
    queue_put_content(1, NULL, body, sizeof body, 1000);
    SAYS(a, "");
    get("q");
    SAYS(b, "1 basic.get_ok 1 false  q 0 [1048576 bytes, 0..42]\n");
    PUT(1, basic_publish, .routing_key = S("q"));
    queue_put_content(1, NULL, "", 0, 1);
    get("q");
    SAYS(b, "1 basic.get_ok 2 false  q 0 []\n");
}

static void confirms_come_with_multiple_and_returns_before_their_ack(void **state)
{
    declare(a, "q");
    SIMPLE(1, confirm_select);
    publish("q", "1");
    publish("q", "2");
    mandatory("", "nobody", "3");
    SAYS(a, "1 confirm.select_ok\n1 basic.return 312 NO_ROUTE  nobody [3]\n1 basic.ack 3 false\n1 basic.ack 2 true\n");
    publish("nobody", "4");
    SAYS(a, "1 basic.ack 4 false\n");
    mandatory("", "q", "5");
    SAYS(a, "1 basic.ack 5 false\n");
    holds(b, "q", 3, 0);
}

static void full_queue_that_rejects_is_a_nack(void **state)
{
    uint8_t data[128];
    struct amqp_table_out o = {.data = data, .room = sizeof data};
    amqp_table_put_integer(&o, "x-max-length", 1);
    amqp_table_put_text(&o, "x-overflow", S("reject-publish"));
    PUT(1, queue_declare, .queue = S("q"), .arguments = {data, o.used});
    PUT(1, confirm_select, .nowait = true);
    SAYS(a, "1 queue.declare_ok q 0 0\n");
    publish("q", "1");
    publish("q", "2");
    publish("nobody", "3");
    SAYS(a, "1 basic.ack 3 false\n1 basic.nack 2 false true\n1 basic.ack 1 false\n");
}

static void too_large_a_message_closes_the_channel_and_its_body_is_skipped(void **state)
{
    static char body[3 << 20];
    amqp_client_hang_up(a);
    amqp_client_hang_up(b);
    amqp_client_end();
    amqp_client_defaults();
    amqp_client.config.message_bytes_max = 1 << 20;
    start(state);
    PUT(1, basic_publish, .routing_key = S("q"));
    queue_put_content(1, NULL, body, sizeof body, 100000);
    SAYS(a, "1 channel.close 406 PRECONDITION_FAILED - message size 3145728 is larger than configured max size 1048576 "
            "60 40\n");
    channel_again(a);
}

static void copies_go_by_their_headers_and_blind_ones_are_not_seen(void **state)
{
    uint8_t data[256];
    struct amqp_table_out o = {.data = data, .room = sizeof data};
    struct amqp_value key = {.type = 'S', .text = S("copy")}, blind = {.type = 'S', .text = S("blind")};
    size_t at = amqp_table_open(&o, "CC", 'A');
    amqp_array_put(&o, &key);
    amqp_table_close(&o, at);
    at = amqp_table_open(&o, "BCC", 'A');
    amqp_array_put(&o, &blind);
    amqp_table_close(&o, at);
    assert_false(o.failed);
    declare(a, "q");
    declare(a, "copy");
    declare(b, "blind");
    publish_with("", "q", "three times", &(struct amqp_properties){.flags = AMQP_HEADERS, .headers = {data, o.used}});
    SAYS(a, "");
    get("q");
    get("copy");
    amqp_client_send_quietly(b);
    amqp_client_turns();
    size_t n;
    const char *output = fake_output(b, &n);
    assert_non_null(memmem(output, n, "CC", 2));
    assert_null(memmem(output, n, "BCC", 3));
    SAID(b, "1 basic.get_ok 1 false  q 0 [three times]\n1 basic.get_ok 2 false  q 0 [three times]\n");
    get("blind");
    SAYS(b, "1 basic.get_ok 3 false  q 0 [three times]\n");
}

static void what_is_published_on_a_channel_that_ends_is_not_lost(void **state)
{
    declare(a, "q");
    publish("q", "1");
    SIMPLE(1, channel_close);
    SAYS(a, "1 channel.close_ok\n");
    holds(b, "q", 1, 0);
    SIMPLE(1, channel_open);
    SAYS(a, "1 channel.open_ok\n");
}

static void half_a_content_leaves_nothing(void **state)
{
    PUT(1, basic_publish, .routing_key = S("q"));
    queue_put_content(1, NULL, "0123456789", 10, 10);
    amqp_client_send(a);
    PUT(1, basic_publish, .routing_key = S("q"));
    queue_put_content(1, NULL, "0123456789", 10, 10);
    SAYS(a, "");
    /* Header and half of a body; then the peer is gone. */
    PUT(1, basic_publish, .routing_key = S("q"));
    static char body[100000];
    queue_put_content(1, NULL, body, sizeof body, 60000);
    amqp_client_send_quietly(a);
    fake_reset(a);
    amqp_client_turns();
    a = client(0);
}

/* -- transactions ------------------------------------------------------------------------------------------------------------------------- */

static void transaction_is_seen_when_committed_and_not_when_rolled_back(void **state)
{
    declare(a, "q");
    SIMPLE(1, tx_select);
    publish("q", "1");
    publish("q", "2");
    mandatory("", "nobody", "3");
    SAYS(a, "1 tx.select_ok\n");
    holds(b, "q", 0, 0);
    SIMPLE(1, tx_commit);
    SAYS(a, "1 basic.return 312 NO_ROUTE  nobody [3]\n1 tx.commit_ok\n");
    holds(b, "q", 2, 0);
    publish("q", "4");
    SIMPLE(1, tx_rollback);
    SAYS(a, "1 tx.rollback_ok\n");
    holds(b, "q", 2, 0);
}

static void acknowledgements_are_part_of_the_transaction(void **state)
{
    fill(b, "q", 2);
    SIMPLE(1, tx_select);
    get("q");
    get("q");
    ack(2, true);
    SIMPLE(1, tx_rollback);
    ack(1, false);
    SIMPLE(1, tx_commit);
    SAYS(a, "1 tx.select_ok\n1 basic.get_ok 1 false  q 1 [0]\n1 basic.get_ok 2 false  q 0 [1]\n1 tx.rollback_ok\n1 "
            "tx.commit_ok\n");
    ack(2, false);
    ack(2, false);
    SAYS(a, "1 channel.close 406 PRECONDITION_FAILED - unknown delivery tag 2 60 80\n");
    holds(b, "q", 1, 0); /* what was not committed is back */
}

static void commit_answers_in_order_and_an_empty_one_at_once(void **state)
{
    SIMPLE(1, tx_select);
    SIMPLE(1, tx_commit);
    SIMPLE(1, tx_rollback);
    SIMPLE(1, tx_commit);
    SAYS(a, "1 tx.select_ok\n1 tx.commit_ok\n1 tx.rollback_ok\n1 tx.commit_ok\n");
}

/* -- consuming ---------------------------------------------------------------------------------------------------------------------------- */

static void consumer_gets_what_is_there_and_what_comes(void **state)
{
    fill(a, "q", 2);
    consume("q", "");
    SAYS(b, "1 basic.consume_ok amq.ctag-*\n1 basic.deliver amq.ctag-* 1 false  q [0]\n1 basic.deliver amq.ctag-* 2 "
            "false  q [1]\n");
    publish("q", "more");
    SAYS(a, "");
    SAID(b, "1 basic.deliver amq.ctag-* 3 false  q [more]\n");
    ack(0, true);
    SAYS(b, "");
    holds(a, "q", 0, 1);
}

static void cancelled_consumer_gets_no_more_and_keeps_what_it_has(void **state)
{
    fill(a, "q", 1);
    consume("q", "t");
    PUT(1, basic_cancel, .consumer_tag = S("nobody"));
    PUT(1, basic_cancel, .consumer_tag = S("t"));
    SAYS(b, "1 basic.consume_ok t\n1 basic.deliver t 1 false  q [0]\n1 basic.cancel_ok nobody\n1 basic.cancel_ok t\n");
    publish("q", "later");
    SAYS(a, "");
    SAID(b, "");
    holds(a, "q", 1, 0);
    ack(1, false);
    consume("q", "t");
    SAYS(b, "1 basic.consume_ok t\n1 basic.deliver t 2 false  q [later]\n");
}

static void consumer_is_told_that_its_queue_is_gone(void **state)
{
    declare(a, "q");
    consume("q", "t");
    SAYS(b, "1 basic.consume_ok t\n");
    PUT(1, queue_delete, .queue = S("q"));
    SAYS(a, "1 queue.delete_ok 0\n");
    SAID(b, "1 basic.cancel t true\n");
    PUT(1, basic_cancel, .consumer_tag = S("t"));
    SAYS(b, "1 basic.cancel_ok t\n");
}

static void prefetch_of_a_consumer_holds_back(void **state)
{
    fill(a, "q", 5);
    PUT(1, basic_qos, .prefetch_count = 2);
    consume("q", "t");
    SAYS(b,
         "1 basic.qos_ok\n1 basic.consume_ok t\n1 basic.deliver t 1 false  q [0]\n1 basic.deliver t 2 false  q [1]\n");
    ack(1, false);
    SAYS(b, "1 basic.deliver t 3 false  q [2]\n");
    ack(3, true);
    SAYS(b, "1 basic.deliver t 4 false  q [3]\n1 basic.deliver t 5 false  q [4]\n");
}

static void prefetch_of_the_channel_is_shared_by_its_consumers(void **state)
{
    fill(a, "q", 4);
    fill(a, "r", 4);
    PUT(1, basic_qos, .prefetch_count = 3, .global = true);
    consume("q", "t");
    SAYS(b, "1 basic.qos_ok\n1 basic.consume_ok t\n1 basic.deliver t 1 false  q [0]\n1 basic.deliver t 2 false  q [1]\n"
            "1 basic.deliver t 3 false  q [2]\n");
    consume("r", "u");
    SAYS(b, "1 basic.consume_ok u\n");
    get("q"); /* not of a consumer: not counted */
    SAYS(b, "1 basic.get_ok 4 false  q 0 [3]\n");
    ack(2, true);
    SAYS(b, "1 basic.deliver u 5 false  r [0]\n1 basic.deliver u 6 false  r [1]\n");
    PUT(1, basic_qos, .prefetch_count = 0, .global = true);
    SAYS(b, "1 basic.qos_ok\n1 basic.deliver u 7 false  r [2]\n1 basic.deliver u 8 false  r [3]\n");
}

static void what_is_kept_for_a_channel_goes_back_in_order_when_it_ends(void **state)
{
    fill(a, "q", 6);
    PUT(1, basic_qos, .prefetch_count = 2, .global = true);
    consume("q", "t");
    SAYS(b,
         "1 basic.qos_ok\n1 basic.consume_ok t\n1 basic.deliver t 1 false  q [0]\n1 basic.deliver t 2 false  q [1]\n");
    SIMPLE(1, channel_close);
    SAYS(b, "1 channel.close_ok\n");
    PUT(1, basic_consume, .queue = S("q"), .consumer_tag = S("v"), .no_ack = true);
    SAYS(a, "1 basic.consume_ok v\n1 basic.deliver v 1 true  q [0]\n1 basic.deliver v 2 true  q [1]\n1 basic.deliver v "
            "3 false  q [2]\n"
            "1 basic.deliver v 4 false  q [3]\n1 basic.deliver v 5 false  q [4]\n1 basic.deliver v 6 false  q [5]\n");
    holds(a, "q", 0, 1);
    SIMPLE(1, channel_open);
    SAYS(b, "1 channel.open_ok\n");
}

static void peer_that_does_not_read_gets_all_in_order_when_it_reads(void **state)
{
    static char body[10000], expected[400 * 64];
    declare(a, "q");
    fake_throttle(b, 65536);
    PUT(1, basic_consume, .queue = S("q"), .consumer_tag = S("t"), .no_ack = true);
    SAYS(b, "1 basic.consume_ok t\n");
    for (unsigned i = 0; i < 200; i++) {
        body[0] = (char)i;
        PUT(1, basic_publish, .routing_key = S("q"));
        queue_put_content(1, NULL, body, sizeof body, 10000);
    }
    SAYS(a, "");
    size_t at = 0, n;
    for (unsigned i = 0; i < 200; i++)
        at += (size_t)snprintf(expected + at, sizeof expected - at,
                               "1 basic.deliver t %u false  q [10000 bytes, %u..0]\n", i + 1, i);
    for (unsigned i = 0; i < 500; i++) {
        fake_acknowledge(b, SIZE_MAX);
        amqp_client_turns();
    }
    fake_output(b, &n);
    assert_true(n > 2000000);
    SAID(b, expected);
    holds(a, "q", 0, 1);
}

/* -- settling ----------------------------------------------------------------------------------------------------------------------------- */

static void acknowledged_in_any_order_each_once(void **state)
{
    fill(a, "q", 1000);
    consume("q", "t");
    amqp_client_send(b);
    for (uint64_t i = 0; i < 1000; i++)
        if (i * 7 % 1000 % 10)
            ack(i * 7 % 1000 + 1, false);
    SAYS(b, "");
    nack(0, true, true);
    amqp_client_send(b);
    SIMPLE(1, channel_close);
    SAYS(b, "1 channel.close_ok\n");
    SIMPLE(1, channel_open);
    amqp_client_send(b);
    PUT(1, queue_purge, .queue = S("q"));
    SAYS(a, "1 queue.purge_ok 100\n");
}

static void acknowledgements_of_many_queues_mixed_are_each_their_own(void **state)
{
    static const char *const queues[] = {"q0", "q1", "q2", "q3", "q4", "q5", "q6"};
    for (unsigned i = 0; i < 7; i++) {
        fill(a, queues[i], 30);
        for (unsigned k = 0; k < 30; k++)
            get(queues[i]);
        amqp_client_send(b);
    }
    for (uint64_t k = 0; k < 30; k++)
        for (uint64_t i = 0; i < 7; i++) /* a third each: acknowledged, put back, left */
            if (k % 3 == 0)
                ack(i * 30 + k + 1, false);
            else if (k % 3 == 1)
                nack(i * 30 + k + 1, false, true);
    SAYS(b, "");
    for (unsigned i = 0; i < 7; i++) {
        holds(a, queues[i], 10, 0);
        get(queues[i]);
        PUT(1, basic_nack, .delivery_tag = 211 + i, .requeue = true);
        char answer[100];
        snprintf(answer, sizeof answer, "1 basic.get_ok %u true  %s 9 [1]\n", 211 + i, queues[i]);
        SAYS(b, answer);
    }
    PUT(1, basic_recover, .requeue = true);
    SAYS(b, "1 basic.recover_ok\n");
    for (unsigned i = 0; i < 7; i++)
        holds(a, queues[i], 20, 0);
}

static void multiple_acknowledges_up_to_its_tag_and_that_tag_must_be_one(void **state)
{
    fill(a, "q", 5);
    for (unsigned i = 0; i < 5; i++)
        get("q");
    ack(3, true);
    amqp_client_send(b);
    ack(3, true);
    SAYS(b, "1 channel.close 406 PRECONDITION_FAILED - unknown delivery tag 3 60 80\n");
    channel_again(b);
    get("q");
    nack(1, false, true);
    get("q");
    SAYS(b, "1 basic.get_ok 1 true  q 1 [3]\n1 basic.get_ok 2 true  q 1 [3]\n");
}

static void unacknowledged_are_put_back_when_the_connection_is_lost(void **state)
{
    fill(a, "q", 300);
    fill(a, "r", 1);
    consume("q", "t");
    consume("r", "u");
    amqp_client_send(b);
    fake_reset(b);
    amqp_client_turns();
    holds(a, "q", 300, 0);
    holds(a, "r", 1, 0);
    b = client(1);
    get("q");
    SAYS(b, "1 basic.get_ok 1 true  q 299 [0]\n");
}

/* The alarm ends with the next second. */
static void memory_again(struct memory *memory, uint64_t limit)
{
    memory->limit = limit;
    for (unsigned i = 0; i < 4; i++)
        fake_pass(amqp_client.g.w[i % 2], 2 * MR_SECOND);
    amqp_client_turns();
}

/* Several queues, so that no batch is long; the memory of the session's worker is full to the last byte. */
static void everything_is_put_back_without_any_memory_to_do_it(void **state)
{
    struct memory *memory = &amqp_client_broker(1)->memory;
    uint64_t limit = memory->limit;
    fill(a, "q", 300);
    fill(a, "r", 300);
    consume("q", "t");
    consume("r", "u");
    amqp_client_send(b);
    memory->limit = memory->used;
    fake_reset(b);
    for (unsigned i = 0; i < 40; i++)
        amqp_client_turns();
    memory_again(memory, limit);
    holds(a, "q", 300, 0);
    holds(a, "r", 300, 0);
    b = client(1);
}

/* Neither stays behind, locked or unused, because there was no memory at the moment when it was to go. */
static void queues_that_end_with_their_connection_go_when_there_is_memory_again(void **state)
{
    struct memory *memory = &amqp_client_broker(1)->memory, *other = &amqp_client_broker(0)->memory;
    uint64_t limit = memory->limit;
    PUT(1, queue_declare, .queue = S("mine"), .exclusive = true);
    PUT(1, queue_declare, .queue = S("passing"), .auto_delete = true);
    consume("passing", "t");
    SAYS(b, "1 queue.declare_ok mine 0 0\n1 queue.declare_ok passing 0 0\n1 basic.consume_ok t\n");
    memory->limit = other->limit = 1;
    fake_reset(b);
    for (unsigned i = 0; i < 10; i++)
        amqp_client_turns();
    other->limit = limit;
    memory_again(memory, limit);
    b = client(1);
    declare(a, "mine");
    PUT(1, queue_declare, .queue = S("passing"), .passive = true);
    SAYS(a, "1 channel.close 404 NOT_FOUND - no queue 'passing' in vhost '/' 50 10\n");
    channel_again(a);
}

/* Every allocation of the session's worker fails once, in turn: the session ends in some way, the broker does not, and what was confirmed is
 * there. */
static void any_allocation_may_fail_and_nothing_confirmed_is_lost(void **state)
{
    struct memory *memory = &amqp_client_broker(1)->memory;
    uint64_t limit = memory->limit;
    unsigned rounds = 0, kept = 0;
    declare(a, "q");
    for (uint64_t room = 0; room < 20000; room += 61, rounds++) {
        struct mr_stream *s = client(1);
        PUT(1, confirm_select, .nowait = true);
        amqp_client_send(s);
        memory->limit = memory->used + room;
        mandatory("", "q", "kept");
        PUT(1, basic_consume, .queue = S("q"), .consumer_tag = S("t"), .no_wait = true);
        PUT(1, queue_declare, .queue = S("mine"), .exclusive = true, .no_wait = true);
        get("q");
        nack(1, true, true);
        ack(1, true);
        amqp_client_send_quietly(s);
        for (unsigned i = 0; i < 10; i++)
            amqp_client_turns();
        bool confirmed = strstr(amqp_client_said(s), "basic.ack 1 ") != NULL;
        memory_again(memory, limit);
        amqp_client_hang_up(s);
        amqp_client_turns();
        PUT(1, queue_purge, .queue = S("q"));
        const char *said = amqp_client_send(a);
        kept += confirmed;
        if (confirmed)
            assert_string_equal(said, "1 queue.purge_ok 1\n");
    }
    assert_true(kept > 10 && kept < rounds - 10);
}

static void deliveries_end_at_unacknowledged_max_and_go_on_below(void **state)
{
    amqp_client_hang_up(a);
    amqp_client_hang_up(b);
    amqp_client_end();
    amqp_client_defaults();
    amqp_client.config.unacknowledged_max = 2;
    start(state);
    fill(a, "q", 4);
    consume("q", "t");
    SAYS(b, "1 basic.consume_ok t\n1 basic.deliver t 1 false  q [0]\n1 basic.deliver t 2 false  q [1]\n");
    ack(2, true);
    SAYS(b, "1 basic.deliver t 3 false  q [2]\n1 basic.deliver t 4 false  q [3]\n");
}

/* -- direct replies ----------------------------------------------------------------------------------------------------------------------- */

static void reply_goes_straight_to_the_channel_that_asked(void **state)
{
    declare(b, "requests");
    PUT(1, basic_consume, .queue = S("amq.rabbitmq.reply-to"), .consumer_tag = S("r"), .no_ack = true);
    publish_with("", "requests", "ask",
                 &(struct amqp_properties){.flags = AMQP_REPLY_TO, .reply_to = S("amq.rabbitmq.reply-to")});
    SAYS(a, "1 basic.consume_ok r\n");
    get("requests");
    SAYS(b, "1 basic.get_ok 1 false  requests 0 [ask]\n");
    char address[256], expected[400];
    strcpy(address, amqp_client.reply_to);
    assert_int_equal(strncmp(address, "amq.rabbitmq.reply-to.0.", 24), 0);
    publish(address, "answer");
    SAYS(b, "");
    snprintf(expected, sizeof expected, "1 basic.deliver r 1 false  %s [answer]\n", address);
    SAID(a, expected);
    PUT(1, basic_cancel, .consumer_tag = S("r"));
    SAYS(a, "1 basic.cancel_ok r\n");
    publish(address, "too late");
    SAYS(b, "");
    SAID(a, "");
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(declare_without_name_generates_one_and_remembers_it),
        T(declare_again_tells_what_is_there),
        T(no_wait_is_silent_and_methods_keep_their_order),
        T(exclusive_queue_is_of_its_connection_and_goes_with_it),
        T(each_error_has_its_code_scope_and_text_and_ends_what_it_should),
        T(rights_are_asked_for_each_name),
        T(published_on_one_worker_got_and_acknowledged_on_another),
        T(body_comes_in_any_frames_and_leaves_whole),
        T(confirms_come_with_multiple_and_returns_before_their_ack),
        T(full_queue_that_rejects_is_a_nack),
        T(too_large_a_message_closes_the_channel_and_its_body_is_skipped),
        T(copies_go_by_their_headers_and_blind_ones_are_not_seen),
        T(what_is_published_on_a_channel_that_ends_is_not_lost),
        T(half_a_content_leaves_nothing),
        T(transaction_is_seen_when_committed_and_not_when_rolled_back),
        T(acknowledgements_are_part_of_the_transaction),
        T(commit_answers_in_order_and_an_empty_one_at_once),
        T(consumer_gets_what_is_there_and_what_comes),
        T(cancelled_consumer_gets_no_more_and_keeps_what_it_has),
        T(consumer_is_told_that_its_queue_is_gone),
        T(prefetch_of_a_consumer_holds_back),
        T(prefetch_of_the_channel_is_shared_by_its_consumers),
        T(what_is_kept_for_a_channel_goes_back_in_order_when_it_ends),
        T(peer_that_does_not_read_gets_all_in_order_when_it_reads),
        T(acknowledged_in_any_order_each_once),
        T(acknowledgements_of_many_queues_mixed_are_each_their_own),
        T(multiple_acknowledges_up_to_its_tag_and_that_tag_must_be_one),
        T(unacknowledged_are_put_back_when_the_connection_is_lost),
        T(everything_is_put_back_without_any_memory_to_do_it),
        T(queues_that_end_with_their_connection_go_when_there_is_memory_again),
        T(any_allocation_may_fail_and_nothing_confirmed_is_lost),
        T(deliveries_end_at_unacknowledged_max_and_go_on_below),
        T(reply_goes_straight_to_the_channel_that_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
