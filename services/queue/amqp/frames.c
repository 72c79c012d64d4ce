/* What a frame is for: which channel, and whether it may come now. Contents are put together here (4.2.6): a method that has one, its header,
 * body frames until the bytes announced have come. Texts are RabbitMQ's. */
#include <stdio.h>

#include "queue/amqp/connection.h"

#define CLASS_CONNECTION 10
#define CLASS_BASIC      60

/* -- words ------------------------------------------------------------------------------------------------------------------------------------ */

static bool printable(struct mr_span bytes)
{
    for (size_t i = 0; i < bytes.length; i++)
        if (bytes.data[i] < ' ' || bytes.data[i] > '~' || bytes.data[i] == '"' || bytes.data[i] == '\\')
            return false;
    return bytes.length > 0;
}

/* As Erlang writes a binary, cut after 16 bytes. */
static int octets(char *to, size_t room, struct mr_span bytes)
{
    if (printable(bytes))
        return snprintf(to, room, "<<\"%.*s\">>", (int)bytes.length, (const char *)bytes.data);
    int n = snprintf(to, room, "<<");
    for (size_t i = 0; i < bytes.length; i++)
        n += snprintf(to + n, room - (size_t)n, i ? ",%u" : "%u", bytes.data[i]);
    return n + snprintf(to + n, room - (size_t)n, ">>");
}

const char *amqp_snippet(char to[AMQP_SNIPPET_BYTES], struct mr_span payload)
{
    bool all = payload.length <= 16;
    int n = snprintf(to, AMQP_SNIPPET_BYTES, "%s octets = ", all ? "all" : "first 16");
    octets(to + n, AMQP_SNIPPET_BYTES - (size_t)n, (struct mr_span){payload.data, all ? payload.length : 16});
    return to;
}

static void unknown_frame(struct amqp_connection *c, const struct amqp_frame *f)
{
    char snippet[AMQP_SNIPPET_BYTES];
    amqp_connection_error(c, AMQP_FRAME_ERROR, 0, "type %u, %s: unknown_frame", f->type,
                          amqp_snippet(snippet, f->payload));
}

static void misplaced_frame(struct amqp_connection *c, const struct amqp_frame *f)
{
    char snippet[AMQP_SNIPPET_BYTES];
    amqp_connection_error(c, AMQP_UNEXPECTED_FRAME, 0, "type %u, %s", f->type, amqp_snippet(snippet, f->payload));
}

static void unimplemented(struct amqp_connection *c, uint32_t method)
{
    amqp_connection_error(c, AMQP_COMMAND_INVALID, method, "unimplemented method");
}

/* What a content expects and did not get. */
static void content_misplaced(struct amqp_channel *ch)
{
    static const char *const texts[] = {
        [AMQP_EXPECT_METHOD] = "expected method frame, got non method frame instead",
        [AMQP_EXPECT_HEADER] = "expected content header for class 60, got non content header frame instead",
        [AMQP_EXPECT_BODY] = "expected content body, got non content body frame instead",
    };
    uint32_t method = ch->content == AMQP_EXPECT_METHOD ? 0 : ch->content_method;
    amqp_connection_error(ch->connection, AMQP_UNEXPECTED_FRAME, method, "%s", texts[ch->content]);
}

/* -- methods ------------------------------------------------------------------------------------------------------------------------------------ */

/* False: an error was sent. */
static bool method_parse(struct amqp_connection *c, const struct amqp_frame *f, struct amqp_method *m)
{
    uint32_t id = 0;
    int result = amqp_method_parse(f->payload, m, &id);
    char text[AMQP_SNIPPET_BYTES];
    if (!result)
        return true;
    if (f->payload.length < 4) {
        unknown_frame(c, f);
    } else if (result == -AMQP_SYNTAX_ERROR) {
        bool all = f->payload.length <= 20;
        octets(text, sizeof text, (struct mr_span){f->payload.data + 4, all ? f->payload.length - 4 : 16});
        amqp_connection_error(c, AMQP_FRAME_ERROR, id, "cannot decode %s%s", text, all ? "" : "...");
    } else {
        amqp_connection_error(c, (unsigned)-result, id, "unknown class or method");
    }
    return false;
}

static void channel_close_ok(struct amqp_channel *ch)
{
    struct amqp_method ok = {.id = AMQP_channel_close_ok};
    amqp_send_method(ch->connection, ch->number, &ok);
}

/* We asked it to close: everything else crossed our close on the way. A close of theirs that did is answered; theirs of ours still comes. */
static void closing_method(struct amqp_channel *ch, const struct amqp_method *m)
{
    if (m->id == AMQP_channel_close_ok)
        amqp_channels_remove(ch);
    else if (m->id == AMQP_channel_close)
        channel_close_ok(ch);
}

static void publish_begins(struct amqp_channel *ch, const struct amqp_method *m)
{
    struct amqp_connection *c = ch->connection;
    ch->content = AMQP_EXPECT_HEADER;
    ch->content_method = m->id;
    if (!c->publisher || c->broker->alarms) {
        c->publisher = true;
        amqp_connection_alarms(c);
    }
}

static void channel_method(struct amqp_channel *ch, const struct amqp_method *m)
{
    struct amqp_connection *c = ch->connection;
    switch (m->id) {
    case AMQP_channel_open:
        amqp_connection_error(c, AMQP_CHANNEL_ERROR, m->id, "second 'channel.open' seen");
        return;
    case AMQP_channel_close:
        amqp_channels_finish(ch);
        channel_close_ok(ch);
        amqp_channels_remove(ch);
        return;
    case AMQP_channel_close_ok:
    case AMQP_channel_open_ok:
        unimplemented(c, m->id);
        return;
    case AMQP_basic_publish:
        publish_begins(ch, m);
        break;
    default:
        if (m->id >> 16 == CLASS_CONNECTION || amqp_method_has_content(m->id)) {
            unimplemented(c, m->id);
            return;
        }
    }
    amqp_channel_method(ch, m);
}

static void method_without_channel(struct amqp_connection *c, uint16_t number, const struct amqp_method *m)
{
    if (m->id == AMQP_channel_open)
        amqp_channels_open(c, number);
    else if (m->id >> 16 == CLASS_CONNECTION)
        unimplemented(c, m->id);
    else
        amqp_connection_error(c, AMQP_CHANNEL_ERROR, m->id, "expected 'channel.open'");
}

static void method_frame(struct amqp_connection *c, struct amqp_channel *ch, const struct amqp_frame *f)
{
    struct amqp_method m;
    if (ch && ch->content != AMQP_EXPECT_METHOD)
        content_misplaced(ch);
    else if (!method_parse(c, f, &m))
        return;
    else if (!ch)
        method_without_channel(c, f->channel, &m);
    else if (ch->ended)
        closing_method(ch, &m);
    else
        channel_method(ch, &m);
}

/* -- contents -------------------------------------------------------------------------------------------------------------------------------------- */

static void header_frame(struct amqp_channel *ch, const struct amqp_frame *f)
{
    struct amqp_connection *c = ch->connection;
    struct amqp_header h = {0};
    if (ch->content != AMQP_EXPECT_HEADER) {
        content_misplaced(ch);
        return;
    }
    int result = amqp_header_parse(f->payload, &h);
    if (result == -AMQP_FRAME_ERROR && h.class_id != CLASS_BASIC) {
        amqp_connection_error(c, AMQP_UNEXPECTED_FRAME, ch->content_method,
                              "expected content header for class 60, got one for class %u instead", h.class_id);
    } else if (result == -AMQP_FRAME_ERROR) {
        content_misplaced(ch);
    } else if (result && f->payload.length < 14) {
        unknown_frame(c, f);
    } else if (result) {
        amqp_connection_error(c, (unsigned)-result, ch->content_method, "malformed properties");
    } else {
        ch->body_missing = h.body_bytes;
        ch->content = h.body_bytes ? AMQP_EXPECT_BODY : AMQP_EXPECT_METHOD;
        amqp_channel_header(ch, &h);
    }
}

/* The channel that a body frame is for, when it may come now. NULL: it is dropped, after an error or because the channel is closing. */
static struct amqp_channel *body_channel(struct amqp_connection *c, uint16_t number, uint64_t bytes)
{
    struct amqp_channel *ch = c->state == AMQP_OPEN ? amqp_channel_find(c, number) : NULL;
    if (!ch || ch->ended)
        return NULL;
    if (ch->content != AMQP_EXPECT_BODY)
        content_misplaced(ch);
    else if (bytes > ch->body_missing)
        amqp_connection_error(c, AMQP_UNEXPECTED_FRAME, ch->content_method,
                              "expected %llu bytes of content body, got %llu instead",
                              (unsigned long long)ch->body_missing, (unsigned long long)bytes);
    else
        return ch;
    return NULL;
}

/* A channel that nobody opened, or none at all. */
static void body_without_channel(struct amqp_connection *c, uint16_t number)
{
    struct amqp_frame f = {.type = AMQP_FRAME_BODY, .channel = number};
    if (c->state < AMQP_OPEN || !number)
        misplaced_frame(c, &f);
    else if (c->state == AMQP_OPEN && !amqp_channel_find(c, number))
        amqp_connection_error(c, AMQP_UNEXPECTED_FRAME, 0, "expected method frame, got non method frame instead");
}

void amqp_frame_body_begin(struct amqp_connection *c, uint16_t channel, uint32_t payload_bytes)
{
    if (!body_channel(c, channel, payload_bytes))
        body_without_channel(c, channel);
}

void amqp_frame_body_piece(struct amqp_connection *c, uint16_t channel, struct mr_span bytes)
{
    struct amqp_channel *ch = body_channel(c, channel, bytes.length);
    if (!ch || !bytes.length)
        return;
    ch->body_missing -= bytes.length;
    if (!ch->body_missing)
        ch->content = AMQP_EXPECT_METHOD;
    amqp_channel_body(ch, bytes);
}

/* -- frames ------------------------------------------------------------------------------------------------------------------------------------------- */

static void frame_of_connection(struct amqp_connection *c, const struct amqp_frame *f)
{
    struct amqp_method m;
    if (f->type == AMQP_FRAME_HEARTBEAT && f->payload.length)
        unknown_frame(c, f);
    else if (f->type == AMQP_FRAME_HEADER || f->type == AMQP_FRAME_BODY)
        misplaced_frame(c, f);
    else if (f->type == AMQP_FRAME_METHOD && method_parse(c, f, &m))
        amqp_connection_method(c, &m);
}

static void frame_of_channel(struct amqp_connection *c, const struct amqp_frame *f)
{
    struct amqp_channel *ch = amqp_channel_find(c, f->channel);
    if (f->type == AMQP_FRAME_HEARTBEAT)
        misplaced_frame(c, f);
    else if (f->type == AMQP_FRAME_METHOD)
        method_frame(c, ch, f);
    else if (!ch)
        amqp_connection_error(c, AMQP_UNEXPECTED_FRAME, 0, "expected method frame, got non method frame instead");
    else if (f->type == AMQP_FRAME_HEADER && !ch->ended)
        header_frame(ch, f);
    else if (f->type == AMQP_FRAME_BODY && body_channel(c, f->channel, f->payload.length))
        amqp_frame_body_piece(c, f->channel, f->payload);
}

void amqp_frame_arrived(struct amqp_connection *c, const struct amqp_frame *f)
{
    bool known = f->type == AMQP_FRAME_METHOD || f->type == AMQP_FRAME_HEADER || f->type == AMQP_FRAME_BODY ||
                 f->type == AMQP_FRAME_HEARTBEAT;
    if (c->state == AMQP_EXPECT_CLOSE_OK && (f->channel || f->type != AMQP_FRAME_METHOD))
        return; /* it was under way when we closed */
    if (!known)
        unknown_frame(c, f);
    else if (!f->channel)
        frame_of_connection(c, f);
    else if (c->state == AMQP_OPEN)
        frame_of_channel(c, f);
    else
        misplaced_frame(c, f);
}
