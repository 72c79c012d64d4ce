/* From the head of a request to what it asks for: authority, path and query in the form that goes on. */
#include "proxy/http/session_machine.h"

/* The authority of an absolute target (RFC 9112 3.2.2): between "://" and the path. */
static struct mr_span absolute_authority(const struct http_request *r, const uint8_t *head)
{
    const uint8_t *p = head + r->target.offset, *end = p + r->target.length;
    while (*p != ':')
        p++;
    p += 3;
    const uint8_t *stop = p;
    while (stop < end && *stop != '/' && *stop != '?')
        stop++;
    return (struct mr_span){p, (size_t)(stop - p)};
}

/* RFC 9112 3.2.2: who gets an absolute target ignores Host and writes it anew. */
static int view_authority(struct session *s, struct session_view *v)
{
    const struct http_request *r = &v->request;
    switch (r->form) {
    case HTTP_TARGET_ABSOLUTE:
        if ((v->head[r->target.offset + 4] | 0x20) == 's')
            return s->forward ? -501 : -400; /* https: nobody here has a key */
        v->authority = absolute_authority(r, v->head);
        if (v->authority.length == 0)
            return -400; /* RFC 9110 4.2.1 */
        break;
    case HTTP_TARGET_AUTHORITY:
        v->authority = http_request_text(v->head, r->target);
        break;
    default:
        v->authority = http_request_value(r, v->head, HTTP_HEADER_HOST);
    }
    return target_authority_parse(v->authority, &v->address) ? 0 : -400;
}

static int view_path(struct session *s, struct session_view *v)
{
    const struct http_request *r = &v->request;
    v->path = v->query = (struct mr_span){NULL, 0};
    if (r->form == HTTP_TARGET_AUTHORITY || r->form == HTTP_TARGET_ASTERISK)
        return 0;
    if (r->form == HTTP_TARGET_ABSOLUTE && r->method == HTTP_OPTIONS && r->path.length == 0 && r->query.length == 0 &&
        v->head[r->target.offset + r->target.length - 1] != '?')
        return 0; /* RFC 9112 3.2.4: this is how "*" reaches a proxy */
    struct mr_span raw = http_request_text(v->head, r->path);
    int n = target_normalise(raw, s->table->path);
    if (n < 0)
        return n;
    v->path = n ? (struct mr_span){(const uint8_t *)s->table->path, (size_t)n} : raw;
    if (r->query.offset != r->target.offset) /* there is a question mark in front of it */
        v->query = (struct mr_span){v->head + r->query.offset - 1, r->query.length + 1u};
    return 0;
}

int session_view_fill(struct session *s, struct session_view *v, const uint8_t *head, uint32_t length)
{
    v->head = head;
    v->length = length;
    int status = http_request_evaluate_passed(&v->request, head);
    if (status == 0)
        status = view_authority(s, v);
    return status ? status : view_path(s, v);
}
