/* Messages published, got and settled. */
#include <string.h>

#include "http/queue_api.h"

/* -- publish ---------------------------------------------------------------------------------------------------------- */

static void confirmed(void *context, enum mr_queue_outcome outcome)
{
    struct http_call *call = context;
    struct http *http = call->http;
    struct http_connection *c = http_call_back(call);
    if (!c)
        http_call_give(call);
    else if (outcome == MR_QUEUE_DONE)
        http_call_done(c, call, 201);
    else
        http_call_outcome(c, call, outcome);
    http_call_ended(c, http);
}

struct publication {
    struct mr_queue_message m;
    struct mr_span encoding;
    bool persistent;
};
#define AT(member) offsetof(struct publication, member)
static const struct queue_api_member publication_members[] = {
    {"body", MEMBER_SPAN, AT(m.body), 0},
    {"encoding", MEMBER_SPAN, AT(encoding), 0},
    {"content_type", MEMBER_SPAN, AT(m.content_type), 0},
    {"correlation_id", MEMBER_SPAN, AT(m.correlation_id), 0},
    {"reply_to", MEMBER_SPAN, AT(m.reply_to), 0},
    {"message_id", MEMBER_SPAN, AT(m.message_id), 0},
    {"delay_ms", MEMBER_U64, AT(m.delay_ms), UINT32_MAX},
    {"ttl_ms", MEMBER_U64, AT(m.ttl_ms), UINT32_MAX},
    {"priority", MEMBER_U8, AT(m.priority), UINT8_MAX},
    {"persistent", MEMBER_BOOL, AT(persistent), 0},
    {"routing_key", MEMBER_SPAN, AT(m.key), 0},
    {0},
};
#undef AT

/* The body as it was meant: "encoding" is "utf-8", or "base64" for what is no text. */
static bool body_decode(struct publication *p, struct http_call *call)
{
    if (p->encoding.length == 0 || http_text_equal(p->encoding, "utf-8"))
        return true;
    if (!http_text_equal(p->encoding, "base64"))
        return false;
    uint8_t *bytes = p->m.body.data ? call->bytes + (p->m.body.data - call->bytes) : call->bytes;
    size_t n = base64_decode(p->m.body, bytes);
    p->m.body = (struct mr_span){bytes, n};
    return n != SIZE_MAX;
}

static void publish(struct http_connection *c, struct http_call *call, bool to_exchange)
{
    struct publication p = {.persistent = true};
    struct mr_queues *q = mr_queues_find(c->http->worker);
    if (!q) {
        http_call_error(c, call, 503, HTTP_NO_QUEUES);
        return;
    }
    if (!queue_api_members(c, call, publication_members, &p))
        return;
    if (!p.m.body.data || !body_decode(&p, call)) {
        http_call_error(c, call, 400, "\"body\" is needed; \"encoding\" is \"utf-8\" or \"base64\", and well formed");
        return;
    }
    if (!to_exchange && p.m.key.data) {
        http_call_error(c, call, 400, "no such member: routing_key (publish to an exchange with it)");
        return;
    }
    p.m.exchange = to_exchange ? http_call_name(call) : (struct mr_span){0};
    p.m.key = to_exchange ? p.m.key : http_call_name(call);
    p.m.transient = !p.persistent;
    queue_api_asked(c, call, mr_queue_publish(q, &p.m, confirmed, call));
}

void queue_api_publish(struct http_connection *c, struct http_call *call)
{
    publish(c, call, false);
}

void queue_api_exchange(struct http_connection *c, struct http_call *call)
{
    publish(c, call, true);
}

/* -- settle ----------------------------------------------------------------------------------------------------------- */

struct settling {
    uint64_t delivery;
    bool requeue;
};
static const struct queue_api_member settling_members[] = {
    {"delivery", MEMBER_NUMBER, offsetof(struct settling, delivery), UINT64_MAX},
    {"requeue", MEMBER_BOOL, offsetof(struct settling, requeue), 0},
    {0},
};

static void settle(struct http_connection *c, struct http_call *call, bool acknowledge)
{
    struct settling s = {.requeue = true};
    struct mr_queues *q = mr_queues_find(c->http->worker);
    if (!q)
        http_call_error(c, call, 503, HTTP_NO_QUEUES);
    else if (!queue_api_members(c, call, settling_members, &s))
        return;
    else if (s.delivery == 0)
        http_call_error(c, call, 400, "\"delivery\" is needed: what get with ack=manual has shown");
    else
        queue_api_asked(c, call,
                        mr_queue_settle(q, s.delivery,
                                        acknowledge ? MR_QUEUE_ACKNOWLEDGE
                                        : s.requeue ? MR_QUEUE_REQUEUE
                                                    : MR_QUEUE_REJECT,
                                        queue_api_answered, call));
}

void queue_api_ack(struct http_connection *c, struct http_call *call)
{
    settle(c, call, true);
}

void queue_api_nack(struct http_connection *c, struct http_call *call)
{
    settle(c, call, false);
}

/* -- get -------------------------------------------------------------------------------------------------------------- */

#define GET_END_BYTES 8 /* of the buffer, for "]}" */

static void text_put(struct json_out *o, const char *name, struct mr_span text)
{
    if (text.length)
        json_put_text(o, name, text);
}

static void message_put(struct json_out *o, const struct mr_queue_message *m, bool manual)
{
    char digits[21];
    json_put_open(o, NULL, '{');
    if (manual) {
        digits[http_number_format(m->delivery, digits)] = 0;
        json_put_string(o, "delivery", digits); /* a string: more than a number of JavaScript holds */
    }
    json_put_text(o, "exchange", m->exchange);
    json_put_text(o, "routing_key", m->key);
    json_put_bool(o, "redelivered", m->redelivered);
    json_put_bool(o, "persistent", !m->transient);
    json_put_number(o, "priority", m->priority);
    json_put_number(o, "published_ms", m->published_ms);
    text_put(o, "content_type", m->content_type);
    text_put(o, "correlation_id", m->correlation_id);
    text_put(o, "reply_to", m->reply_to);
    text_put(o, "message_id", m->message_id);
    if (m->ttl_ms)
        json_put_number(o, "ttl_ms", m->ttl_ms);
    bool text = utf8_valid(m->body);
    json_put_string(o, "encoding", text ? "utf-8" : "base64");
    if (text)
        json_put_text(o, "body", m->body);
    else
        json_put_base64(o, "body", m->body);
    json_put_close(o, '}');
}

/* Who is not told is not answered for: what cannot be settled now goes back when its time is over. */
static void settled(void *context, enum mr_queue_outcome outcome)
{
}

static void settle_quietly(struct http *http, uint64_t delivery, enum mr_queue_settle how)
{
    struct mr_queues *q = mr_queues_find(http->worker);
    if (q)
        mr_queue_settle(q, delivery, how, settled, NULL);
}

/* All that was got: acknowledged, or, when nobody is there to be told, put back. */
static void get_settle(struct http_call *call, bool told)
{
    for (unsigned i = 0; i < call->got; i++)
        if (!told || !call->manual)
            settle_quietly(call->http, call->deliveries[i], told ? MR_QUEUE_ACKNOWLEDGE : MR_QUEUE_REQUEUE);
}

static void get_end(struct http_call *call, struct http_connection *c)
{
    get_settle(call, c != NULL);
    if (!c) {
        http_call_give(call);
        return;
    }
    call->out.room += GET_END_BYTES;
    json_put_close(&call->out, ']');
    json_put_close(&call->out, '}');
    http_call_answer(c, call, 200);
}

/* False: there is no room for it in the answer; it goes back. */
static bool message_add(struct http_call *call, const struct mr_queue_message *m)
{
    struct json_out before = call->out;
    message_put(&call->out, m, call->manual);
    if (call->out.failed) {
        call->out = before;
        settle_quietly(call->http, m->delivery, MR_QUEUE_REQUEUE);
        return false;
    }
    call->deliveries[call->got++] = m->delivery;
    return true;
}

static void got(void *context, enum mr_queue_outcome outcome, const struct mr_queue_message *m)
{
    struct http_call *call = context;
    struct http *http = call->http;
    bool waits = http_ticket_waits(call->ticket);
    struct mr_queues *q = mr_queues_find(http->worker);
    bool added = outcome == MR_QUEUE_DONE && message_add(call, m);
    if (added && waits && call->got < call->wanted && q &&
        mr_queue_get(q, http_call_name(call), false, call->within_ms, got, call) == MR_OK)
        return;
    struct http_connection *c = http_call_back(call);
    if (c && call->got == 0 && outcome == MR_QUEUE_DONE)
        http_call_error(c, call, 409, "the next message is longer than queue_body_bytes_max has room for");
    else if (c && call->got == 0 && outcome != MR_QUEUE_EMPTY)
        http_call_outcome(c, call, outcome);
    else
        get_end(call, c);
    http_call_ended(c, http);
}

/* Every message is got to be settled, and acknowledged when the answer is written: one that found no room, or whose asker has
 * gone meanwhile, is put back. */
void queue_api_get(struct http_connection *c, struct http_call *call)
{
    struct mr_queues *q = mr_queues_find(c->http->worker);
    if (!q) {
        http_call_error(c, call, 503, HTTP_NO_QUEUES);
        return;
    }
    json_put_open(&call->out, NULL, '{');
    json_put_open(&call->out, "messages", '[');
    call->out.room -= GET_END_BYTES;
    queue_api_asked(c, call, mr_queue_get(q, http_call_name(call), false, call->within_ms, got, call));
}
