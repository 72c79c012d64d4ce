/* Calls: their pool, bodies taken in, answers of queues put into statuses. */
#include "http/call.h"

#include <stdlib.h>
#include <string.h>

int http_calls_start(struct http *http)
{
    const struct http_config *config = &http->config;
    http->calls = calloc(config->queue_calls_max, sizeof *http->calls);
    http->call_bytes = calloc(config->queue_calls_max, config->queue_body_bytes_max); /* untouched, and so not there */
    if (!http->calls || !http->call_bytes)
        return MR_ERROR_NO_MEMORY;
    for (uint64_t i = config->queue_calls_max; i-- > 0;) {
        struct http_call *call = &http->calls[i];
        call->http = http;
        call->bytes = http->call_bytes + i * config->queue_body_bytes_max;
        call->next = http->free_calls;
        http->free_calls = call;
    }
    return MR_OK;
}

void http_calls_release(struct http *http)
{
    free(http->calls);
    free(http->call_bytes);
}

struct http_call *http_call_take(struct http_connection *c)
{
    struct http *http = c->http;
    struct http_call *call = http->free_calls;
    if (!call) {
        http_answer_json_error(c, 503, "too many requests wait for an answer (queue_calls_max)");
        return NULL;
    }
    http->free_calls = call->next;
    *call = (struct http_call){.http = http, .bytes = call->bytes};
    call->out = (struct json_out){.data = (char *)call->bytes, .room = http->config.queue_body_bytes_max};
    return call;
}

void http_call_give(struct http_call *call)
{
    call->next = call->http->free_calls;
    call->http->free_calls = call;
}

/* Bodies. */

/* c->body.limit is what `bytes` has room for. */
static void body_take(struct http_connection *c, struct mr_span payload)
{
    struct http_call *call = c->call;
    memcpy(call->bytes + call->used, payload.data, payload.length);
    call->used += payload.length;
}

static void body_end(struct http_connection *c)
{
    struct http_call *call = c->call;
    c->call = NULL;
    call->run(c, call);
}

static void body_gone(struct http_connection *c)
{
    http_call_give(c->call);
    c->call = NULL;
}

static const struct http_taker call_taker = {body_take, body_end, body_gone};

void http_call_after_body(struct http_connection *c, struct http_call *call)
{
    uint64_t most = c->http->config.queue_body_bytes_max;
    if (!http_body_ended(&c->body) && c->body.state == EXPECT_LENGTH_DATA && c->body.remaining > most) {
        c->keep_alive = false;
        http_call_error(c, call, 413, "the body is longer than queue_body_bytes_max");
        return;
    }
    if (!http_body_ended(&c->body) && c->body.limit > most)
        c->body.limit = most;
    c->call = call;
    http_answer_after_body(c, &call_taker);
}

/* Waiting. */

void http_call_wait(struct http_connection *c, struct http_call *call)
{
    call->ticket = http_answer_later(c);
    call->http->files.outstanding++; /* the instance lives until it is answered */
}

struct http_connection *http_call_back(struct http_call *call)
{
    return http_ticket_connection(call->ticket);
}

void http_call_ended(struct http_connection *c, struct http *http)
{
    if (c)
        http_connection_advance(c);
    http_job_ended(http);
}

/* Answers. */

static const char json_type[] = "application/json";

void http_answer_json_error(struct http_connection *c, int status, const char *text)
{
    char bytes[512];
    struct json_out o = {.data = bytes, .room = sizeof bytes};
    json_put_open(&o, NULL, '{');
    json_put_string(&o, "error", text);
    json_put_close(&o, '}');
    if (o.failed)
        http_answer_error(c, status);
    else
        http_answer_text(c, status, json_type, bytes, o.used);
}

void http_call_error(struct http_connection *c, struct http_call *call, int status, const char *text)
{
    http_answer_json_error(c, status, text);
    http_call_give(call);
}

void http_call_outcome(struct http_connection *c, struct http_call *call, enum mr_queue_outcome outcome)
{
    static const struct {
        int status;
        const char *text;
    } answers[] = {
        [MR_QUEUE_DONE] = {200, ""},
        [MR_QUEUE_NOT_FOUND] = {404, "there is no such queue or exchange"},
        [MR_QUEUE_UNROUTED] = {404, "no queue is bound that takes it"},
        [MR_QUEUE_REFUSED] =
            {409, "refused: a queue is full, or exists with other properties, or there is no such delivery"},
        [MR_QUEUE_EMPTY] = {404, "nothing is ready"},
        [MR_QUEUE_IN_USE] = {409, "the queue is in use by one connection alone"},
        [MR_QUEUE_NO_MEMORY] = {503, "the queue service is at a limit of memory or disk: try again later"},
    };
    if (outcome == MR_QUEUE_DONE)
        http_call_done(c, call, 200);
    else
        http_call_error(c, call, answers[outcome].status, answers[outcome].text);
}

void http_call_refused(struct http_connection *c, struct http_call *call, int error)
{
    if (error == MR_ERROR_INVALID)
        http_call_error(c, call, 400, "a name or a value is longer than the queue service takes");
    else
        http_call_outcome(c, call, MR_QUEUE_NO_MEMORY);
}

void http_call_done(struct http_connection *c, struct http_call *call, int status)
{
    http_answer_text(c, status, json_type, "{}", 2);
    http_call_give(call);
}

void http_call_answer(struct http_connection *c, struct http_call *call, int status)
{
    struct http_head h;
    if (call->out.used <= HTTP_COPY_BYTES_MAX || c->method == HTTP_HEAD) {
        http_answer_text(c, status, json_type, call->out.data, call->out.used);
        http_call_give(call);
        return;
    }
    http_answer_begin(c, &h, status);
    http_head_field(&h, "Content-Type", json_type);
    http_head_field(&h, "Cache-Control", "no-store");
    http_head_number(&h, "Content-Length", call->out.used);
    http_answer_end(c, &h, status);
    http_output_call(c, call, call->out.used);
}

/* Whose page it was: browsers say so with each request that could change something. */
bool http_request_foreign(const struct http_request *r, const uint8_t *head)
{
    struct mr_span host = http_request_value(r, head, HTTP_HEADER_HOST);
    for (unsigned i = 0; i < r->field_count; i++) {
        struct mr_span value = http_request_text(head, r->fields[i].value);
        if (!http_text_equal(http_request_text(head, r->fields[i].name), "origin"))
            continue;
        const uint8_t *mark = memmem(value.data, value.length, "://", 3);
        size_t n = mark ? (size_t)(value.data + value.length - mark) - 3 : 0;
        if (!mark || n != host.length || memcmp(mark + 3, host.data, n) != 0)
            return true;
    }
    return false;
}

static int hex(uint8_t c)
{
    return c >= '0' && c <= '9' ? c - '0' : (c | 0x20) >= 'a' && (c | 0x20) <= 'f' ? (c | 0x20) - 'a' + 10 : -1;
}

int http_percent_decode(const uint8_t *p, size_t n)
{
    int high = n >= 3 && p[0] == '%' ? hex(p[1]) : -1, low = high >= 0 ? hex(p[2]) : -1;
    return low >= 0 ? high << 4 | low : -1;
}
