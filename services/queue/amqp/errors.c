/* How a connection or a channel is closed for what its peer did (or what we cannot do): code, text, class and method, as RabbitMQ words them. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "queue/amqp/connection.h"

static struct mr_span text_make(char to[QUEUE_NAME_MAX + 1], unsigned code, const char *format, va_list arguments)
    __attribute__((format(printf, 3, 0), nonnull(3)));

/* "NOT_FOUND - no queue 'q' in vhost '/'", cut at what a short string takes. */
static struct mr_span text_make(char to[QUEUE_NAME_MAX + 1], unsigned code, const char *format, va_list arguments)
{
    const char *name = amqp_reply_name(code);
    int n = snprintf(to, QUEUE_NAME_MAX + 1, "%s - ", name ? name : "ERROR");
    vsnprintf(to + n, QUEUE_NAME_MAX + 1 - (size_t)n, format, arguments);
    return (struct mr_span){(const uint8_t *)to, strlen(to)};
}

void amqp_connection_close(struct amqp_connection *c, unsigned code, uint32_t class_and_method, struct mr_span text)
{
    struct amqp_method close = {.id = AMQP_connection_close,
                                .connection_close = {.reply_code = (uint16_t)code,
                                                     .reply_text = text,
                                                     .class_id = (uint16_t)(class_and_method >> 16),
                                                     .method_id = (uint16_t)class_and_method}};
    c->refused = (uint16_t)code;
    c->due = mr_now(c->broker->worker) + AMQP_CLOSE_TIMEOUT;
    amqp_send_method(c, 0, &close);
    amqp_connection_set_state(c, AMQP_EXPECT_CLOSE_OK);
    amqp_channels_end(c);
    amqp_connection_deadline(c);
}

/* Before the virtual host is asked for a peer has no right to be told anything: RabbitMQ just hangs up, and clients know what that means. */
static void connection_error(struct amqp_connection *c, unsigned code, uint32_t class_and_method, struct mr_span text)
{
    if (c->state >= AMQP_EXPECT_CLOSE_OK || c->cut)
        return;
    c->broker->counters[QUEUE_COUNTER_CONNECTION_ERRORS]++;
    if (c->state >= AMQP_EXPECT_OPEN)
        amqp_connection_close(c, code, class_and_method, text);
    else
        amqp_connection_end(c);
}

void amqp_connection_error(struct amqp_connection *c, unsigned code, uint32_t class_and_method, const char *format, ...)
{
    char text[QUEUE_NAME_MAX + 1];
    va_list arguments;
    va_start(arguments, format);
    struct mr_span span = text_make(text, code, format, arguments);
    va_end(arguments);
    connection_error(c, code, class_and_method, span);
}

static void channel_error(struct amqp_channel *ch, unsigned code, uint32_t class_and_method, struct mr_span text)
{
    struct amqp_connection *c = ch->connection;
    struct amqp_method close = {.id = AMQP_channel_close,
                                .channel_close = {.reply_code = (uint16_t)code,
                                                  .reply_text = text,
                                                  .class_id = (uint16_t)(class_and_method >> 16),
                                                  .method_id = (uint16_t)class_and_method}};
    if (ch->ended)
        return;
    c->broker->counters[QUEUE_COUNTER_CHANNEL_ERRORS]++;
    amqp_channels_finish(ch);
    ch->state = AMQP_CHANNEL_EXPECT_CLOSE_OK;
    amqp_send_method(c, ch->number, &close);
}

void amqp_channel_error(struct amqp_channel *ch, unsigned code, uint32_t class_and_method, const char *format, ...)
{
    char text[QUEUE_NAME_MAX + 1];
    va_list arguments;
    va_start(arguments, format);
    struct mr_span span = text_make(text, code, format, arguments);
    va_end(arguments);
    if (amqp_reply_hard(code))
        connection_error(ch->connection, code, class_and_method, span);
    else
        channel_error(ch, code, class_and_method, span);
}
