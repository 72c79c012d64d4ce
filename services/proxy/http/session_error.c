/* Answers of our own: short pages, and whether the connection goes on behind them. */
#include <stdio.h>
#include <string.h>

#include "proxy/http/session_machine.h"

static const struct {
    int status;
    enum proxy_counter counter;
} counters[] = {
    {400, PROXY_SESSION_ERROR_400}, {403, PROXY_SESSION_ERROR_403}, {404, PROXY_SESSION_ERROR_404},
    {408, PROXY_SESSION_ERROR_408}, {413, PROXY_SESSION_ERROR_413}, {414, PROXY_SESSION_ERROR_414},
    {417, PROXY_SESSION_ERROR_417}, {431, PROXY_SESSION_ERROR_431}, {501, PROXY_SESSION_ERROR_501},
    {502, PROXY_SESSION_ERROR_502}, {503, PROXY_SESSION_ERROR_503}, {504, PROXY_SESSION_ERROR_504},
    {505, PROXY_SESSION_ERROR_505},
};

static void count(struct session *s, int status)
{
    for (unsigned i = 0; i < sizeof counters / sizeof *counters; i++)
        if (counters[i].status == status)
            proxy_count(s->proxy, counters[i].counter);
}

/* RFC 9110 10.1.1: a peer that got no 100 may or may not send the body; only an end is unambiguous. */
void session_persistence(struct session *s, struct session_writer *w)
{
    const struct http_body *b = &s->up.body;
    if (s->proxy->stopping || !s->listener->plan)
        s->keep_alive = false;
    if (!http_body_ended(b) &&
        (s->expect_continue || (b->state == EXPECT_LENGTH_DATA && b->remaining > SESSION_DISCARD_BYTES_MAX)))
        s->keep_alive = false;
    if (!s->keep_alive)
        session_put_text(w, "Connection: close\r\n");
    else if (s->minor == 0)
        session_put_text(w, "Connection: keep-alive\r\n");
}

void session_respond_own(struct session *s, struct session_writer *w)
{
    s->began = true;
    s->down.finished = true; /* nothing is moved, only what had no room is owed */
    s->down.chunk = 0;
    s->down.frame_at = s->down.frame_length = 0;
    session_set_state(s, SESSION_EXPECT_ROOM);
    session_respond_send(s, w);
}

static void write_head(struct session *s, struct session_writer *w, int status, size_t page_bytes)
{
    const char *reason = http_status_reason(status);
    session_respond_begin(s, w, status, (struct mr_span){(const uint8_t *)reason, strlen(reason)});
    http_clock_seconds(&s->proxy->clock, mr_now(s->proxy->worker));
    session_put_text(w, "Date: ");
    session_put(w, s->proxy->clock.date, HTTP_DATE_BYTES);
    session_put_text(w, "\r\n");
    if (status != 204) {
        session_put_text(w, "Content-Type: text/html; charset=utf-8\r\nCache-Control: no-store\r\nContent-Length: ");
        session_put_number(w, page_bytes);
        session_put_text(w, "\r\n");
    }
    if (status == 503)
        session_put_text(w, "Retry-After: 1\r\n");
    if (status == 204 || status == 405)
        session_put_text(w, "Allow: GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n");
    session_persistence(s, w);
    session_put_text(w, "\r\n");
}

void session_answer(struct session *s, int status)
{
    struct session_writer w;
    char page[256];
    const char *reason = http_status_reason(status);
    size_t n = (size_t)snprintf(page, sizeof page, "<!doctype html><title>%d %s</title><h1>%d %s</h1>\n", status,
                                reason, status, reason);
    if (s->revalidates) { /* nobody is there to be told */
        session_free(s);
        return;
    }
    count(s, status);
    write_head(s, &w, status, n);
    if (s->method != HTTP_HEAD && status != 204)
        session_put(&w, page, n);
    session_respond_own(s, &w);
}

void session_refuse(struct session *s, int status)
{
    s->keep_alive = false;
    session_answer(s, status);
}

void session_refuse_unread(struct session *s, int status)
{
    s->method = HTTP_METHOD_OTHER;
    s->minor = 1;
    s->expect_continue = false;
    s->up.body.state = BODY_ENDED;
    if (s->head)
        proxy_buffer_give(s->proxy, s->head);
    s->head = NULL;
    session_refuse(s, status);
}
