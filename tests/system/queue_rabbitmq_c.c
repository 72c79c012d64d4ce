/* rabbitmq-c as people use it: confirms, consume and acknowledge, get, heartbeats, a channel error.
 * usage: queue_rabbitmq_c HOST PORT; one line at the end, or what went wrong and exit 1. */
#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#define MESSAGES 300

static void must(int good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "queue_rabbitmq_c: %s\n", what);
    exit(1);
}

static void replied(amqp_connection_state_t c, const char *what)
{
    amqp_rpc_reply_t r = amqp_get_rpc_reply(c);
    if (r.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && r.reply.id == AMQP_CHANNEL_CLOSE_METHOD) {
        amqp_channel_close_t *m = r.reply.decoded;
        fprintf(stderr, "%u %.*s\n", m->reply_code, (int)m->reply_text.len, (char *)m->reply_text.bytes);
    }
    must(r.reply_type == AMQP_RESPONSE_NORMAL, what);
}

static amqp_connection_state_t opened(const char *host, int port)
{
    amqp_connection_state_t c = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(c);
    must(socket && amqp_socket_open(socket, host, port) == AMQP_STATUS_OK, "connect");
    amqp_rpc_reply_t r = amqp_login(c, "/", 0, 65536, 5, AMQP_SASL_METHOD_PLAIN, "guest", "guest");
    must(r.reply_type == AMQP_RESPONSE_NORMAL, "login");
    amqp_channel_open(c, 1);
    replied(c, "channel.open");
    return c;
}

static void publish(amqp_connection_state_t c, unsigned number)
{
    char text[32];
    amqp_basic_properties_t properties = {._flags = AMQP_BASIC_DELIVERY_MODE_FLAG | AMQP_BASIC_MESSAGE_ID_FLAG, .delivery_mode = 2};
    snprintf(text, sizeof text, "number %u", number);
    properties.message_id = amqp_cstring_bytes(text);
    must(amqp_basic_publish(c, 1, amqp_empty_bytes, amqp_cstring_bytes("c-queue"), 1, 0, &properties,
                            amqp_cstring_bytes(text)) == AMQP_STATUS_OK,
         "publish");
}

/* Tags may be confirmed one by one or many at once. */
static void confirmed(amqp_connection_state_t c)
{
    for (uint64_t done = 0; done < MESSAGES;) {
        amqp_frame_t frame;
        must(amqp_simple_wait_frame(c, &frame) == AMQP_STATUS_OK, "wait for confirms");
        must(frame.frame_type == AMQP_FRAME_METHOD && frame.payload.method.id == AMQP_BASIC_ACK_METHOD, "another frame than an ack");
        amqp_basic_ack_t *ack = frame.payload.method.decoded;
        must(ack->multiple ? ack->delivery_tag > done : ack->delivery_tag >= 1, "an ack that went back");
        done = ack->multiple ? ack->delivery_tag : done + 1;
    }
}

static void consumed(amqp_connection_state_t c)
{
    amqp_basic_qos(c, 1, 0, 20, 0);
    replied(c, "basic.qos");
    amqp_basic_consume(c, 1, amqp_cstring_bytes("c-queue"), amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
    replied(c, "basic.consume");
    for (unsigned i = 0; i < MESSAGES; i++) {
        amqp_envelope_t e;
        char text[32];
        struct timeval patience = {.tv_sec = 10};
        amqp_maybe_release_buffers(c);
        must(amqp_consume_message(c, &e, &patience, 0).reply_type == AMQP_RESPONSE_NORMAL, "consume");
        int n = snprintf(text, sizeof text, "number %u", i);
        must(e.message.body.len == (size_t)n && !memcmp(e.message.body.bytes, text, (size_t)n), "another message than was sent");
        must(e.message.properties.delivery_mode == 2 && e.message.properties.message_id.len == (size_t)n, "other properties");
        must(amqp_basic_ack(c, 1, e.delivery_tag, 0) == AMQP_STATUS_OK, "ack");
        amqp_destroy_envelope(&e);
    }
}

static void refused(amqp_connection_state_t c)
{
    amqp_channel_open(c, 2);
    replied(c, "channel.open");
    amqp_queue_declare(c, 2, amqp_cstring_bytes("c-missing"), 1, 0, 0, 0, amqp_empty_table);
    amqp_rpc_reply_t r = amqp_get_rpc_reply(c);
    must(r.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION && r.reply.id == AMQP_CHANNEL_CLOSE_METHOD, "a missing queue is there");
    must(((amqp_channel_close_t *)r.reply.decoded)->reply_code == 404, "another code than 404");
}

int main(int argc, char **argv)
{
    must(argc == 3, "usage: queue_rabbitmq_c HOST PORT");
    amqp_connection_state_t c = opened(argv[1], atoi(argv[2]));
    amqp_queue_declare(c, 1, amqp_cstring_bytes("c-queue"), 0, 1, 0, 0, amqp_empty_table);
    replied(c, "queue.declare");
    amqp_confirm_select(c, 1);
    replied(c, "confirm.select");
    for (unsigned i = 0; i < MESSAGES; i++)
        publish(c, i);
    confirmed(c);
    consumed(c);
    refused(c);
    amqp_queue_delete(c, 1, amqp_cstring_bytes("c-queue"), 0, 0);
    replied(c, "queue.delete");
    must(amqp_connection_close(c, AMQP_REPLY_SUCCESS).reply_type == AMQP_RESPONSE_NORMAL, "close");
    must(amqp_destroy_connection(c) == AMQP_STATUS_OK, "destroy");
    printf("rabbitmq-c %s: confirms, consume, acknowledge, a channel error\n", amqp_version());
}
