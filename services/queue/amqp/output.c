/* What a connection has to say: frames gather here and go to the stream once a turn. Small things are copied, bodies lent; the order is
 * that of the list. All of it counts against AMQP_OUTPUT_MAX, above which nothing that can wait is added and nothing more is read. */
#include <assert.h>
#include <string.h>

#include "queue/amqp/connection.h"
#include "queue/message.h"

#define CHUNK_BYTES       4096u /* of frames after each other */
#define CHUNK_SMALL_BYTES 512u  /* between pieces of bodies */

/* A body that is lent, until the stream has released every piece of it. */
struct content {
    struct amqp_connection *connection;
    void (*release)(void *argument);
    void *argument;
    uint32_t pieces; /* not released */
};

struct amqp_output {
    struct amqp_output *next;
    struct content *content; /* NULL: copied bytes */
    const uint8_t *data;     /* lent */
    uint32_t used, sent, capacity;
    uint8_t bytes[];
};

static struct memory *memory_of(const struct amqp_connection *c)
{
    return &c->broker->memory;
}

static void content_released(void *argument)
{
    struct content *content = argument;
    struct amqp_connection *c = content->connection;
    if (--content->pieces)
        return;
    content->release(content->argument);
    memory_free(memory_of(c), content, sizeof *content);
    c->lent--;
    amqp_connection_settle(c);
}

static void output_free(struct amqp_connection *c, struct amqp_output *o)
{
    memory_free(memory_of(c), o, sizeof *o + o->capacity);
}

/* -- adding -------------------------------------------------------------------------------------------------------------------------------- */

static struct amqp_output *output_add(struct amqp_connection *c, uint32_t capacity)
{
    struct amqp_output *o = memory_alloc(memory_of(c), sizeof *o + capacity);
    if (!o)
        return NULL;
    *o = (struct amqp_output){.capacity = capacity};
    if (c->output_last)
        c->output_last->next = o;
    else
        c->output = o;
    c->output_last = o;
    return o;
}

/* Room for copied bytes behind what is there: at least `n` in one piece. NULL: no memory. */
static struct amqp_output *output_reserve(struct amqp_connection *c, size_t n)
{
    struct amqp_output *o = c->output_last;
    if (o && !o->content && o->capacity - o->used >= n)
        return o;
    size_t usual = (o && o->content ? CHUNK_SMALL_BYTES : CHUNK_BYTES) - sizeof *o;
    return output_add(c, (uint32_t)(n > usual ? n : usual));
}

static void output_added(struct amqp_connection *c, struct amqp_output *o, size_t n)
{
    o->used += (uint32_t)n;
    c->output_bytes += n;
}

static bool output_put(struct amqp_connection *c, const void *data, size_t n)
{
    struct amqp_output *o = output_reserve(c, n);
    if (!o)
        return false;
    memcpy(o->bytes + o->used, data, n);
    output_added(c, o, n);
    return true;
}

static bool output_put_method(struct amqp_connection *c, uint16_t channel, const struct amqp_method *m)
{
    struct amqp_output *o = c->output_last;
    size_t n = 0;
    if (o && !o->content)
        n = amqp_method_emit(o->bytes + o->used, o->capacity - o->used, channel, m);
    if (!n) { /* our own methods are short strings and a table of server-properties: they fit in a whole chunk */
        o = output_reserve(c, CHUNK_BYTES - sizeof *o);
        n = o ? amqp_method_emit(o->bytes + o->used, o->capacity - o->used, channel, m) : 0;
    }
    assert(!o || n);
    if (n)
        output_added(c, o, n);
    return n > 0;
}

/* Where the output was, to go back there when memory ends in the middle of a content. */
struct mark {
    struct amqp_output *last;
    uint32_t used;
    uint64_t bytes;
};

static struct mark mark_set(const struct amqp_connection *c)
{
    return (struct mark){c->output_last, c->output_last ? c->output_last->used : 0, c->output_bytes};
}

static void mark_back(struct amqp_connection *c, const struct mark *mark)
{
    struct amqp_output *o = mark->last ? mark->last->next : c->output;
    while (o) {
        struct amqp_output *next = o->next;
        output_free(c, o);
        o = next;
    }
    if (mark->last) {
        mark->last->next = NULL;
        mark->last->used = mark->used;
    } else {
        c->output = NULL;
    }
    c->output_last = mark->last;
    c->output_bytes = mark->bytes;
}

/* -- methods ----------------------------------------------------------------------------------------------------------------------------------- */

/* Asked again at once it would be as bad: the next second, or when the stream has taken something. */
static enum amqp_sent starve(struct amqp_connection *c)
{
    c->starved = true;
    return AMQP_SENT_NOT;
}

static bool may_send(const struct amqp_connection *c, uint16_t channel)
{
    return c->stream && !c->cut && (channel ? c->state == AMQP_OPEN : c->state < AMQP_EXPECT_END);
}

void amqp_send_method(struct amqp_connection *c, uint16_t channel, const struct amqp_method *m)
{
    if (!may_send(c, channel))
        return;
    if (!output_put_method(c, channel, m))
        amqp_connection_cut(c);
    amqp_connection_turn(c);
}

void amqp_send_bytes(struct amqp_connection *c, const void *data, size_t n)
{
    if (!output_put(c, data, n))
        amqp_connection_cut(c);
    amqp_connection_turn(c);
}

void amqp_send_heartbeat(struct amqp_connection *c)
{
    uint8_t frame[AMQP_FRAME_OVERHEAD];
    amqp_send_bytes(c, frame, amqp_heartbeat_emit(frame, sizeof frame));
}

/* -- contents ------------------------------------------------------------------------------------------------------------------------------------ */

/* The body of a message, read in order. */
struct body {
    const struct message_piece *piece;
    uint32_t at;
};

/* The next bytes that lie together, at most `n`. */
static struct mr_span body_take(struct body *b, size_t n)
{
    while (b->at == b->piece->length) {
        b->piece = b->piece->next;
        b->at = 0;
    }
    size_t part = b->piece->length - b->at;
    struct mr_span span = {b->piece->bytes + b->at, part < n ? part : n};
    b->at += (uint32_t)span.length;
    return span;
}

static bool payload_put(struct amqp_connection *c, struct body *b, size_t n, struct content *content)
{
    while (n) {
        struct mr_span span = body_take(b, n);
        n -= span.length;
        if (!content) {
            if (!output_put(c, span.data, span.length))
                return false;
            continue;
        }
        struct amqp_output *o = output_add(c, 0);
        if (!o)
            return false;
        o->content = content;
        o->data = span.data;
        content->pieces++;
        output_added(c, o, span.length);
    }
    return true;
}

static bool body_put(struct amqp_connection *c, uint16_t channel, const struct message *message,
                     struct content *content)
{
    struct body body = {message->body, 0};
    const uint64_t frame_bytes = c->frame_max - AMQP_FRAME_OVERHEAD;
    static const uint8_t end = AMQP_FRAME_END;
    for (uint64_t left = message->body_bytes; left;) {
        uint32_t n = (uint32_t)(left < frame_bytes ? left : frame_bytes);
        uint8_t head[AMQP_FRAME_HEAD];
        amqp_body_head(head, channel, n);
        if (!output_put(c, head, sizeof head) || !payload_put(c, &body, n, content) || !output_put(c, &end, 1))
            return false;
        left -= n;
    }
    return true;
}

static bool header_put(struct amqp_connection *c, uint16_t channel, const struct message *message)
{
    struct mr_span properties = message_properties(message);
    size_t n = AMQP_FRAME_OVERHEAD + 12 + (properties.length < 2 ? 2 : properties.length);
    struct amqp_output *o = n <= MEMORY_LARGEST - sizeof *o ? output_reserve(c, n) : NULL;
    n = o ? amqp_header_emit(o->bytes + o->used, o->capacity - o->used, channel, message->body_bytes, properties) : 0;
    if (n)
        output_added(c, o, n);
    return n > 0;
}

/* 4.2.6.1: the header is a frame of its own and cannot be split. A peer that tuned frames below it (at least 4096) cannot be given this
 * message; RabbitMQ sends it all the same, and so do we. */
enum amqp_sent amqp_send_content(struct amqp_connection *c, uint16_t channel, const struct amqp_method *m,
                                 const struct message *message, bool always, void (*release)(void *argument),
                                 void *argument)
{
    if (!may_send(c, channel) || !(always || amqp_output_room(c)))
        return AMQP_SENT_NOT;
    struct content *content = NULL;
    struct mark mark = mark_set(c);
    if (message->body_bytes > AMQP_OUTPUT_COPY_MAX) {
        if (!(content = memory_alloc(memory_of(c), sizeof *content)))
            return starve(c);
        *content = (struct content){c, release, argument, 0};
    }
    if (!output_put_method(c, channel, m) || !header_put(c, channel, message) ||
        !body_put(c, channel, message, content)) {
        mark_back(c, &mark);
        if (content)
            memory_free(memory_of(c), content, sizeof *content);
        return starve(c);
    }
    c->lent += content != NULL;
    amqp_connection_turn(c);
    return content ? AMQP_SENT_LENT : AMQP_SENT_COPIED;
}

/* -- writing --------------------------------------------------------------------------------------------------------------------------------------- */

static bool output_write(struct amqp_connection *c, struct amqp_output *o)
{
    size_t n = o->used - o->sent;
    if (o->content) {
        if (!mr_stream_lend(c->stream, o->data, o->used, content_released, o->content))
            return false;
    } else {
        n = mr_stream_send(c->stream, o->bytes + o->sent, n);
    }
    o->sent += (uint32_t)n;
    c->output_bytes -= n;
    c->sent_bytes += n;
    return o->sent == o->used;
}

void amqp_output_flush(struct amqp_connection *c)
{
    struct amqp_output *o;
    while ((o = c->output) != NULL && output_write(c, o)) {
        if (!(c->output = o->next))
            c->output_last = NULL;
        output_free(c, o);
    }
}

void amqp_output_drop(struct amqp_connection *c)
{
    struct amqp_output *o;
    while ((o = c->output) != NULL) {
        struct content *content = o->content;
        if (!(c->output = o->next))
            c->output_last = NULL;
        c->output_bytes -= o->used - o->sent;
        output_free(c, o);
        if (content)
            content_released(content);
    }
}

/* -- room ------------------------------------------------------------------------------------------------------------------------------------------- */

bool amqp_output_room(const struct amqp_connection *c)
{
    return c->output_bytes < AMQP_OUTPUT_MAX;
}

void amqp_output_wait(struct amqp_channel *ch)
{
    struct amqp_connection *c = ch->connection;
    if (ch->wait_link || ch->ended)
        return;
    ch->wait_next = NULL;
    ch->wait_link = c->waiters_end;
    *c->waiters_end = ch;
    c->waiters_end = &ch->wait_next;
    amqp_connection_turn(c);
}

void amqp_output_forget(struct amqp_channel *ch)
{
    struct amqp_connection *c = ch->connection;
    if (!ch->wait_link)
        return;
    *ch->wait_link = ch->wait_next;
    if (ch->wait_next)
        ch->wait_next->wait_link = ch->wait_link;
    else
        c->waiters_end = ch->wait_link;
    ch->wait_link = NULL;
}

bool amqp_output_told(const struct amqp_connection *c)
{
    return c->waiters && c->state == AMQP_OPEN && !c->cut && !c->starved && amqp_output_room(c);
}

void amqp_output_tell(struct amqp_connection *c)
{
    struct amqp_channel *last =
        c->waiters ? (struct amqp_channel *)((char *)c->waiters_end - offsetof(struct amqp_channel, wait_next)) : NULL;
    while (amqp_output_told(c)) { /* who waits again goes behind the last */
        struct amqp_channel *ch = c->waiters;
        amqp_output_forget(ch);
        amqp_channel_writable(ch);
        if (ch == last)
            return;
    }
}

void amqp_output_check(const struct amqp_connection *c)
{
    uint64_t bytes = 0;
    const struct amqp_output *last = NULL;
    for (const struct amqp_output *o = c->output; o; last = o, o = o->next) {
        assert(o->sent <= o->used && (o->content || o->used <= o->capacity));
        assert(!o->content || o->content->pieces > 0);
        bytes += o->used - o->sent;
    }
    assert(last == c->output_last);
    assert(bytes == c->output_bytes);
    for (struct amqp_channel *const *link = &c->waiters; *link; link = &(*link)->wait_next)
        assert((*link)->wait_link == link && !(*link)->ended);
}
