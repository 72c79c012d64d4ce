/* Emits response heads into a bounded buffer, and keeps the text of the Date field, which changes once a second. */
#ifndef SERVICES_HTTP_RESPONSE_H
#define SERVICES_HTTP_RESPONSE_H

#include <millrace/types.h>

#include "http/date.h"

#define HTTP_SERVER_TEXT "millrace"

/* The wall clock, derived from the worker's own: no clock is read on the packet path. Offload threads read the real one
 * when they work, and the difference is set anew. */
struct http_clock {
    int64_t wall_offset_ns; /* wall clock minus mr_now */
    mr_time valid_until;    /* the text is right until then */
    int64_t seconds;        /* of the wall clock, as of the text */
    char date[HTTP_DATE_BYTES];
};

void http_clock_set(struct http_clock *k, mr_time now, int64_t wall_ns);
void http_clock_advance(struct http_clock *k, mr_time now);

/* Seconds since 1970, and k->date in step with them. */
static inline int64_t http_clock_seconds(struct http_clock *k, mr_time now)
{
    if (now >= k->valid_until)
        http_clock_advance(k, now);
    return k->seconds;
}

const char *http_status_reason(int status);

/* A head under construction; it asserts that what is written fits, for nothing a peer sends is repeated at length. */
struct http_head {
    char *start, *at, *end;
};

static inline size_t http_head_length(const struct http_head *h)
{
    return (size_t)(h->at - h->start);
}

/* Status line, Date and Server. `date` is HTTP_DATE_BYTES long; it lies behind the status line and "Date: ". */
void http_head_begin(struct http_head *h, char *buffer, size_t size, int status, const char *date);
void http_head_field(struct http_head *h, const char *name, const char *value);
void http_head_number(struct http_head *h, const char *name, uint64_t value);
void http_head_date(struct http_head *h, const char *name, int64_t seconds);
void http_head_end(struct http_head *h); /* the empty line */
void http_head_raw(struct http_head *h, const void *bytes, size_t n);

/* Digits of `value`, no zero behind; returns how many (at most 20). */
size_t http_number_format(uint64_t value, char *text);

#endif
