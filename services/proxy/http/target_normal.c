#include "proxy/http/target_normal.h"

#include <string.h>

static unsigned hex_value(uint8_t c)
{
    return c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
}

static bool unreserved(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

/* Most paths have no escape, no empty segment and none that begins with a dot. */
static bool is_normal(struct mr_span path)
{
    uint8_t before = 0;
    for (size_t i = 0; i < path.length; i++) {
        uint8_t c = path.data[i];
        if (c == '%' || (before == '/' && (c == '/' || c == '.')))
            return false;
        before = c;
    }
    return path.length > 0;
}

/* Writes one escape in its normal form; returns bytes, or -400. */
static int escape_normalise(const uint8_t *escape, char *out)
{
    static const char digits[] = "0123456789ABCDEF";
    unsigned c = hex_value(escape[1]) << 4 | hex_value(escape[2]);
    if (c == 0 || c == '/' || c == '\\')
        return -400;
    if (unreserved((uint8_t)c)) {
        out[0] = (char)c;
        return 1;
    }
    out[0] = '%';
    out[1] = digits[c >> 4];
    out[2] = digits[c & 15];
    return 3;
}

/* The segment out[start..n) is complete: what a dot segment does to the path. Returns the new length, or -400. */
static int segment_end(const char *out, int start, int n)
{
    int length = n - start;
    int dots = length > 0 && out[start] == '.' ? (length > 1 && out[start + 1] == '.' ? 2 : 1) : 0;
    if (dots > 0 && length > dots && out[start + dots] == ';')
        return -400; /* some take "..;x" for ".." */
    if (dots != length)
        return n;
    if (dots < 2)
        return start;
    if (start == 1)
        return -400; /* above the root */
    for (n = start - 1; out[n - 1] != '/'; n--)
        ;
    return n;
}

static bool is_hex(uint8_t c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

bool target_path_possible(struct mr_span path)
{
    if (path.length > 0 && path.data[0] != '/')
        return false;
    for (size_t i = 0; i < path.length; i++) {
        uint8_t c = path.data[i];
        if (c <= ' ' || c >= 0x7f || c == '?' || c == '#')
            return false;
        if (c == '%' && (path.length - i < 3 || !is_hex(path.data[i + 1]) || !is_hex(path.data[i + 2])))
            return false;
    }
    return true;
}

int target_normalise(struct mr_span path, char *out)
{
    int n = 0, start = 1;
    if (is_normal(path))
        return 0;
    out[n++] = '/'; /* the grammar has proved that a path begins with one, or is empty */
    for (size_t i = 1; i < path.length; i++) {
        uint8_t c = path.data[i];
        if (c == '%') {
            int added = escape_normalise(path.data + i, out + n);
            if (added < 0)
                return added;
            n += added;
            i += 2;
        } else if (c != '/') {
            out[n++] = (char)c;
        } else {
            int length = segment_end(out, start, n);
            if (length < 0)
                return length;
            if (length == n && n > start)
                out[n++] = '/'; /* a segment that stays; an empty or a dot one brings no slash of its own */
            else
                n = length;
            start = n;
        }
    }
    return segment_end(out, start, n);
}

static bool host_char(uint8_t c)
{
    return unreserved(c) || (c != 0 && strchr("!$&'()*+,;=", c)); /* no escapes: nobody means a name by them */
}

static bool literal_char(uint8_t c)
{
    return (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || (c >= '0' && c <= '9') || c == ':' || c == '.';
}

static bool port_parse(struct mr_span text, uint16_t *port)
{
    unsigned n = 0;
    if (text.length > 5)
        return false;
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        n = n * 10 + (text.data[i] - '0');
    }
    *port = (uint16_t)n; /* an empty one is legal, and means none; 0 would look the same, and is nobody's */
    return n <= UINT16_MAX && (n > 0 || text.length == 0);
}

bool target_authority_parse(struct mr_span text, struct target_authority *a)
{
    size_t n = 0;
    a->port = 0;
    a->literal6 = text.length > 0 && text.data[0] == '[';
    if (a->literal6) {
        for (n = 1; n < text.length && literal_char(text.data[n]); n++)
            ;
        if (n < 4 || n == text.length || text.data[n++] != ']') /* "[::]" is the shortest */
            return false;
    } else {
        while (n < text.length && host_char(text.data[n]))
            n++;
    }
    if (n > TARGET_HOST_MAX || (n == 0 && text.length > 0))
        return false;
    for (size_t i = 0; i < n; i++)
        a->text[i] = (char)(text.data[i] >= 'A' && text.data[i] <= 'Z' ? text.data[i] | 0x20 : text.data[i]);
    a->text[n] = 0;
    a->host = (struct mr_span){(const uint8_t *)a->text, n > 1 && a->text[n - 1] == '.' ? n - 1 : n};
    if (n == text.length)
        return true;
    return text.data[n] == ':' && port_parse((struct mr_span){text.data + n + 1, text.length - n - 1}, &a->port);
}
