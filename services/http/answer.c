/* What handlers answer with: heads, short pages, and whether the connection goes on behind them. */
#include <stdio.h>
#include <string.h>

#include "http/connection.h"

/* Decides before the head is written whether the connection outlives the response (RFC 9112 9.3, 9.6). */
static void persistence_settle(struct http_connection *c)
{
    if (c->http->stopping)
        c->keep_alive = false;
    if (http_body_ended(&c->body))
        return;
    /* RFC 9110 10.1.1: a peer that got no 100 may or may not send the body; only an end is unambiguous. */
    if (c->expect_continue || (c->body.state == EXPECT_LENGTH_DATA && c->body.remaining > HTTP_DISCARD_BYTES_MAX))
        c->keep_alive = false;
}

static void count_response(struct http_connection *c, int status)
{
    c->http->counters[HTTP_COUNTER_RESPONSES_2XX + (unsigned)(status / 100 - 2)]++;
}

void http_answer_begin(struct http_connection *c, struct http_head *h, int status)
{
    http_clock_seconds(&c->http->clock, mr_now(c->http->worker));
    http_head_begin(h, c->http->scratch, sizeof c->http->scratch, status, c->http->clock.date);
}

void http_answer_end(struct http_connection *c, struct http_head *h, int status)
{
    persistence_settle(c);
    if (!c->keep_alive)
        http_head_field(h, "Connection", "close");
    else if (c->minor == 0)
        http_head_field(h, "Connection", "keep-alive");
    http_head_end(h);
    count_response(c, status);
    http_connection_set_state(c, EXPECT_ROOM);
    http_output_bytes(c, h->start, http_head_length(h));
}

void http_answer_ready(struct http_connection *c, const uint8_t *bytes, size_t n)
{
    count_response(c, 200);
    http_connection_set_state(c, EXPECT_ROOM);
    http_output_bytes(c, bytes, n);
}

static void answer_text(struct http_connection *c, struct http_head *h, int status, const char *type, const char *text,
                        size_t n)
{
    http_head_field(h, "Content-Type", type);
    http_head_field(h, "Cache-Control", "no-store");
    http_head_number(h, "Content-Length", n);
    http_answer_end(c, h, status);
    if (c->method != HTTP_HEAD)
        http_output_bytes(c, text, n);
}

void http_answer_text(struct http_connection *c, int status, const char *type, const char *text, size_t n)
{
    struct http_head h;
    http_answer_begin(c, &h, status);
    answer_text(c, &h, status, type, text, n);
}

static size_t page_write(char *page, size_t size, int status)
{
    const char *reason = http_status_reason(status);
    return (size_t)snprintf(page, size, "<!doctype html><title>%d %s</title><h1>%d %s</h1>\n", status, reason, status,
                            reason);
}

void http_answer_error(struct http_connection *c, int status)
{
    char page[256];
    size_t n = page_write(page, sizeof page, status);
    http_answer_text(c, status, "text/html; charset=utf-8", page, n);
}

void http_answer_not_allowed(struct http_connection *c, const char *allowed)
{
    char page[256];
    struct http_head h;
    size_t n = page_write(page, sizeof page, 405);
    http_answer_begin(c, &h, 405);
    http_head_field(&h, "Allow", allowed); /* RFC 9110 15.5.6 */
    answer_text(c, &h, 405, "text/html; charset=utf-8", page, n);
}

static void count_refusal(struct http_connection *c, int status)
{
    static const struct {
        int status;
        enum http_counter counter;
    } refusals[] = {
        {400, HTTP_COUNTER_ERROR_400}, {408, HTTP_COUNTER_ERROR_408}, {413, HTTP_COUNTER_ERROR_413},
        {414, HTTP_COUNTER_ERROR_414}, {417, HTTP_COUNTER_ERROR_417}, {431, HTTP_COUNTER_ERROR_431},
        {501, HTTP_COUNTER_ERROR_501}, {503, HTTP_COUNTER_ERROR_503}, {505, HTTP_COUNTER_ERROR_505},
    };
    for (unsigned i = 0; i < sizeof refusals / sizeof *refusals; i++)
        if (refusals[i].status == status)
            c->http->counters[refusals[i].counter]++;
}

void http_answer_refuse(struct http_connection *c, int status)
{
    count_refusal(c, status);
    c->keep_alive = false;
    http_answer_error(c, status);
}

void http_answer_wait(struct http_connection *c, struct http_file *f)
{
    c->file = f;
    http_file_wait(f, c);
    http_connection_set_state(c, EXPECT_FILE);
}

void http_answer_after_body(struct http_connection *c, const struct http_taker *taker)
{
    c->taker = taker;
    http_connection_set_state(c, EXPECT_BODY);
}

struct http_ticket http_answer_later(struct http_connection *c)
{
    c->ticket = ++c->http->tickets;
    http_connection_set_state(c, EXPECT_ANSWER);
    return (struct http_ticket){c, c->ticket};
}

bool http_ticket_waits(struct http_ticket t)
{
    return t.connection->state == EXPECT_ANSWER && t.connection->ticket == t.number;
}

/* Connections are never freed, and no two tickets are the same: a late answer finds another number, or none. */
struct http_connection *http_ticket_connection(struct http_ticket t)
{
    struct http_connection *c = t.connection;
    if (!http_ticket_waits(t))
        return NULL;
    c->ticket = 0;
    return c;
}
