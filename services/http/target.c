#include "http/target.h"

#include <stdio.h>
#include <string.h>

static unsigned hex_value(uint8_t c)
{
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

/* The segment that ends the path so far: what a file system would take as a step upwards, or hides. */
static int segment_check(const char *segment, size_t length)
{
    if (length == 2 && memcmp(segment, "..", 2) == 0)
        return -400;
    return length > 0 && segment[0] == '.' ? -404 : 0;
}

int http_target_decode(struct mr_span raw, struct http_path *path)
{
    size_t n = 0, segment = 0; /* the segment begins behind this slash */
    int status = 0, worst = 0;
    for (size_t i = 0; i < raw.length; i++) {
        uint8_t c = raw.data[i];
        if (c == '%') { /* the grammar has proved that two hex digits follow */
            c = (uint8_t)(hex_value(raw.data[i + 1]) << 4 | hex_value(raw.data[i + 2]));
            i += 2;
            if (c == '/' || c == '\\')
                worst = -404;
        }
        if (c < 0x20 || c == 0x7f)
            return -400;
        if (c == '/' && n > 0) {
            if ((status = segment_check(path->text + segment, n - segment)) == -400)
                return status;
            worst = status ? status : worst;
            if (path->text[n - 1] == '/')
                continue; /* "//evil.example" must not come back in a Location field */
        }
        if (n == HTTP_PATH_BYTES_MAX)
            return -404;
        path->text[n++] = (char)c;
        if (c == '/')
            segment = n;
    }
    if (n == 0)
        path->text[n++] = '/', segment = n;
    path->text[n] = 0;
    path->length = (uint16_t)n;
    status = segment_check(path->text + segment, n - segment);
    return status ? status : worst;
}

size_t http_target_encode(const char *path, char *out, size_t size)
{
    static const char plain[] = "/-._~!$&'()*+,;=:@";
    size_t n = 0;
    for (const char *p = path; *p; p++) {
        uint8_t c = (uint8_t)*p;
        if (n + 4 > size)
            return 0;
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr(plain, c))
            out[n++] = (char)c;
        else
            n += (size_t)snprintf(out + n, 4, "%%%02X", c);
    }
    out[n] = 0;
    return n;
}
