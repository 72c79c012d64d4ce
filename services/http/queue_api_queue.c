/* Queues declared, deleted, purged, looked at. */
#include <string.h>

#include "http/queue_api.h"

void queue_api_answered(void *context, enum mr_queue_outcome outcome)
{
    struct http_call *call = context;
    struct http *http = call->http;
    struct http_connection *c = http_call_back(call);
    if (c)
        http_call_outcome(c, call, outcome);
    else
        http_call_give(call);
    http_call_ended(c, http);
}

void queue_api_asked(struct http_connection *c, struct http_call *call, int error)
{
    if (error == MR_OK)
        http_call_wait(c, call);
    else
        http_call_refused(c, call, error);
}

/* The service was there when the request came; while its body came it may have gone. */
static struct mr_queues *queues(struct http_connection *c, struct http_call *call)
{
    struct mr_queues *q = mr_queues_find(c->http->worker);
    if (!q)
        http_call_error(c, call, 503, HTTP_NO_QUEUES);
    return q;
}

#define AT(member) offsetof(struct mr_queue_options, member)

void queue_api_declare(struct http_connection *c, struct http_call *call)
{
    static const struct queue_api_member members[] = {
        {"transient", MEMBER_BOOL, AT(transient), 0},
        {"auto_delete", MEMBER_BOOL, AT(auto_delete), 0},
        {"message_ttl_ms", MEMBER_U64, AT(message_ttl_ms), INT64_MAX},
        {"expires_ms", MEMBER_U64, AT(expires_ms), INT64_MAX},
        {"length_max", MEMBER_U64, AT(length_max), INT64_MAX},
        {"length_bytes_max", MEMBER_U64, AT(length_bytes_max), INT64_MAX},
        {"priority_max", MEMBER_U8, AT(priority_max), UINT8_MAX},
        {"dead_letter_exchange", MEMBER_TEXT, AT(dead_letter_exchange), 0},
        {"dead_letter_key", MEMBER_TEXT, AT(dead_letter_key), 0},
        {"durability", MEMBER_TEXT, AT(durability), 0},
        {0},
    };
    struct mr_queue_options options = {0};
    struct mr_queues *q = queues(c, call);
    if (q && queue_api_members(c, call, members, &options))
        queue_api_asked(c, call, mr_queue_declare(q, http_call_name(call), &options, queue_api_answered, call));
}
#undef AT

void queue_api_delete(struct http_connection *c, struct http_call *call)
{
    struct mr_queues *q = queues(c, call);
    if (q)
        queue_api_asked(c, call, mr_queue_delete(q, http_call_name(call), queue_api_answered, call));
}

void queue_api_purge(struct http_connection *c, struct http_call *call)
{
    struct mr_queues *q = queues(c, call);
    if (q)
        queue_api_asked(c, call, mr_queue_purge(q, http_call_name(call), queue_api_answered, call));
}

static void state_put(struct json_out *o, const struct mr_queue_state *s)
{
    json_put_open(o, NULL, '{');
    json_put_text(o, "name", s->name);
    json_put_number(o, "ready", s->ready);
    json_put_number(o, "unacknowledged", s->unacknowledged);
    json_put_number(o, "delayed", s->delayed);
    json_put_number(o, "consumers", s->consumers);
    json_put_number(o, "bytes", s->bytes);
    json_put_number(o, "oldest_ms", s->oldest_ms);
    json_put_number(o, "publish_rate", s->publish_rate);
    json_put_number(o, "deliver_rate", s->deliver_rate);
    json_put_number(o, "acknowledge_rate", s->acknowledge_rate);
    json_put_close(o, '}');
}

static void state_shown(void *context, enum mr_queue_outcome outcome, const struct mr_queue_state *s)
{
    struct http_call *call = context;
    struct http *http = call->http;
    struct http_connection *c = http_call_back(call);
    if (s)
        state_put(&call->out, s);
    if (!c)
        http_call_give(call);
    else if (outcome != MR_QUEUE_DONE || !s)
        http_call_outcome(c, call, outcome == MR_QUEUE_DONE ? MR_QUEUE_NOT_FOUND : outcome);
    else
        http_call_answer(c, call, 200);
    http_call_ended(c, http);
}

void queue_api_state(struct http_connection *c, struct http_call *call)
{
    struct mr_queues *q = queues(c, call);
    if (q)
        queue_api_asked(c, call, mr_queue_state(q, http_call_name(call), state_shown, call));
}

/* One more; what does not fit is left away, and said so at the end. */
static void list_add(struct http_call *call, const struct mr_queue_state *s)
{
    struct json_out before = call->out;
    if (before.failed)
        return;
    state_put(&call->out, s);
    if (call->out.failed) {
        call->out = before;
        call->out.failed = true;
    }
}

#define LIST_END_BYTES 32 /* of the buffer, for the end below */

static void list_shown(void *context, enum mr_queue_outcome outcome, const struct mr_queue_state *s)
{
    struct http_call *call = context;
    struct http *http = call->http;
    if (s) {
        list_add(call, s);
        return;
    }
    struct http_connection *c = http_call_back(call);
    if (!c) {
        http_call_give(call);
    } else if (outcome != MR_QUEUE_DONE) {
        http_call_outcome(c, call, outcome);
    } else {
        bool truncated = call->out.failed;
        call->out.failed = false;
        call->out.room += LIST_END_BYTES;
        json_put_close(&call->out, ']');
        json_put_bool(&call->out, "truncated", truncated);
        json_put_close(&call->out, '}');
        http_call_answer(c, call, 200);
    }
    http_call_ended(c, http);
}

void queue_api_list(struct http_connection *c, struct http_call *call)
{
    struct mr_queues *q = queues(c, call);
    if (!q)
        return;
    json_put_open(&call->out, NULL, '{');
    json_put_open(&call->out, "queues", '[');
    call->out.room -= LIST_END_BYTES;
    queue_api_asked(c, call, mr_queue_list(q, list_shown, call));
}
