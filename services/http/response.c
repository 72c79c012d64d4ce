#include "http/response.h"

#include <assert.h>
#include <string.h>

void http_clock_advance(struct http_clock *k, mr_time now)
{
    int64_t wall = (int64_t)now + k->wall_offset_ns;
    k->seconds = wall / 1000000000;
    k->valid_until = (mr_time)((k->seconds + 1) * 1000000000 - k->wall_offset_ns);
    http_date_format(k->seconds, k->date);
}

void http_clock_set(struct http_clock *k, mr_time now, int64_t wall_ns)
{
    k->wall_offset_ns = wall_ns - (int64_t)now;
    http_clock_advance(k, now);
}

static const struct {
    int status;
    const char *reason;
} reasons[] = {
#define STATUS(code, reason) {code, reason},
#include "http/status.def"
#undef STATUS
};

const char *http_status_reason(int status)
{
    for (unsigned i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Unknown";
}

size_t http_number_format(uint64_t value, char *text)
{
    char reversed[20];
    size_t n = 0;
    do
        reversed[n++] = (char)('0' + value % 10);
    while (value /= 10);
    for (size_t i = 0; i < n; i++)
        text[i] = reversed[n - 1 - i];
    return n;
}

void http_head_raw(struct http_head *h, const void *bytes, size_t n)
{
    assert((size_t)(h->end - h->at) >= n);
    memcpy(h->at, bytes, n);
    h->at += n;
}

static void put_text(struct http_head *h, const char *text)
{
    http_head_raw(h, text, strlen(text));
}

void http_head_field(struct http_head *h, const char *name, const char *value)
{
    put_text(h, name);
    http_head_raw(h, ": ", 2);
    put_text(h, value);
    http_head_raw(h, "\r\n", 2);
}

void http_head_number(struct http_head *h, const char *name, uint64_t value)
{
    char digits[21];
    digits[http_number_format(value, digits)] = 0;
    http_head_field(h, name, digits);
}

void http_head_date(struct http_head *h, const char *name, int64_t seconds)
{
    char text[HTTP_DATE_BYTES + 1];
    http_date_format(seconds, text);
    text[HTTP_DATE_BYTES] = 0;
    http_head_field(h, name, text);
}

void http_head_begin(struct http_head *h, char *buffer, size_t size, int status, const char *date)
{
    *h = (struct http_head){buffer, buffer, buffer + size};
    http_head_raw(h, "HTTP/1.1 ", 9);
    h->at += http_number_format((uint64_t)status, h->at);
    http_head_raw(h, " ", 1);
    put_text(h, http_status_reason(status));
    http_head_raw(h, "\r\nDate: ", 8);
    http_head_raw(h, date, HTTP_DATE_BYTES);
    http_head_raw(h, "\r\n", 2);
    http_head_field(h, "Server", HTTP_SERVER_TEXT);
}

void http_head_end(struct http_head *h)
{
    http_head_raw(h, "\r\n", 2);
}
