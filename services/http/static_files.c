/* Files of the document root: from a request to the response that the cached entry, its conditions and ranges give. */
#include <stdio.h>
#include <string.h>

#include "http/condition.h"
#include "http/connection.h"

/* The head lies prebuilt in front of the body; only its Date gets old. It is always copied when sent, so it may change. */
static void date_refresh(struct http *http, struct http_file *f)
{
    int64_t now = http_clock_seconds(&http->clock, mr_now(http->worker));
    if (__builtin_expect(f->date_seconds != now, 0)) {
        memcpy(f->memory + HTTP_HEAD_ROOM - f->head_length + f->date_offset, http->clock.date, HTTP_DATE_BYTES);
        f->date_seconds = now;
    }
}

static void body_send(struct http_connection *c, struct http_file *f, uint64_t first, uint64_t end)
{
    if (c->method == HTTP_HEAD)
        return;
    if (f->held && end - first <= HTTP_COPY_BYTES_MAX)
        http_output_bytes(c, http_file_body(f) + first, (size_t)(end - first));
    else
        http_output_file(c, f, first, end);
}

/* The response as it was prebuilt, on a connection that ends, is older than 1.1, or for a HEAD. */
static void answer_prebuilt(struct http_connection *c, struct http_file *f)
{
    struct http_head h = {c->http->scratch, c->http->scratch, c->http->scratch + sizeof c->http->scratch};
    http_head_raw(&h, http_file_head(f), f->head_length - 2u); /* all but the empty line */
    http_answer_end(c, &h, f->status);
    body_send(c, f, 0, f->size);
}

static void validators_write(struct http_head *h, const struct http_file *f)
{
    http_head_date(h, "Last-Modified", f->modified_ns / 1000000000);
    http_head_field(h, "ETag", f->etag);
}

static void answer_not_modified(struct http_connection *c, struct http_file *f)
{
    struct http_head h;
    http_answer_begin(c, &h, 304);
    validators_write(&h, f);
    http_answer_end(c, &h, 304);
}

static void answer_range(struct http_connection *c, struct http_file *f, uint64_t first, uint64_t last)
{
    struct http_head h;
    char range[80];
    snprintf(range, sizeof range, "bytes %llu-%llu/%llu", (unsigned long long)first, (unsigned long long)last,
             (unsigned long long)f->size);
    http_answer_begin(c, &h, 206);
    http_head_field(&h, "Content-Type", f->type);
    http_head_number(&h, "Content-Length", last - first + 1);
    http_head_field(&h, "Content-Range", range);
    validators_write(&h, f);
    http_answer_end(c, &h, 206);
    body_send(c, f, first, last + 1);
}

static void answer_no_range(struct http_connection *c, struct http_file *f)
{
    struct http_head h;
    char range[40];
    snprintf(range, sizeof range, "bytes */%llu", (unsigned long long)f->size);
    http_answer_begin(c, &h, 416);
    http_head_field(&h, "Content-Range", range); /* RFC 9110 15.5.17 */
    http_head_number(&h, "Content-Length", 0);
    http_answer_end(c, &h, 416);
}

/* RFC 9110 13.2.2: conditions first, then the range. */
static void answer_conditional(struct http_connection *c, const struct http_request *r, const uint8_t *head,
                               struct http_file *f)
{
    struct http_validators v = {f->etag, f->modified_ns / 1000000000};
    int64_t now = http_clock_seconds(&c->http->clock, mr_now(c->http->worker));
    uint64_t first = 0, last = 0;
    int status = http_condition_evaluate(r, head, &v, now);
    if (status == 200 && r->method == HTTP_GET)
        status = http_range_evaluate(r, head, &v, now, f->size, &first, &last);
    if (status == 304)
        answer_not_modified(c, f);
    else if (status == 206)
        answer_range(c, f, first, last);
    else if (status == 416)
        answer_no_range(c, f);
    else if (status == 412)
        http_answer_error(c, 412);
    else
        answer_prebuilt(c, f);
}

void http_file_answer(struct http_connection *c, const struct http_request *r, const uint8_t *head, struct http_file *f)
{
    date_refresh(c->http, f);
    bool plain = !(r->present & (HTTP_CONDITION_HEADERS | 1ull << HTTP_HEADER_RANGE)) || f->status != 200;
    if (__builtin_expect(!plain, 0)) {
        answer_conditional(c, r, head, f);
        return;
    }
    bool ready = f->status == 200 && r->method == HTTP_GET && c->keep_alive && c->minor >= 1 &&
                 http_body_ended(&c->body) && !c->http->stopping;
    if (__builtin_expect(!ready, 0)) {
        answer_prebuilt(c, f);
    } else if (f->held && f->size <= HTTP_COPY_BYTES_MAX) {
        http_answer_ready(c, http_file_head(f), f->head_length + (size_t)f->size);
    } else {
        http_answer_ready(c, http_file_head(f), f->head_length);
        http_output_file(c, f, 0, f->size);
    }
}

/* The entry that this request has waited for, when what came of it may be answered with; else NULL. */
static struct http_file *awaited_file(struct http_connection *c)
{
    struct http_file *f = c->file;
    c->file = NULL;
    if (f && f->changed) { /* it waited for a comparison, and there is another file now */
        http_file_release(f);
        return NULL;
    }
    return f;
}

void http_static_answer(struct http_connection *c, const struct http_request *r, const uint8_t *head)
{
    struct http *http = c->http;
    struct http_file *f = awaited_file(c);
    if (!f) {
        struct http_path path;
        int status = http_target_decode(http_request_text(head, r->path), &path);
        if (status != 0 || http->files.root < 0) {
            http_answer_error(c, status ? -status : 404);
            return;
        }
        if (!(f = http_file_find(http, &path))) {
            http_answer_refuse(c, 503);
            return;
        }
        if (!http_file_fresh(http, f)) {
            http_answer_wait(c, f);
            return;
        }
    }
    if (f->memory)
        http_file_answer(c, r, head, f);
    else
        http_answer_refuse(c, 503); /* the offload thread had no memory for it */
    http_file_release(f);
}
