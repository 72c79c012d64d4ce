/* JSON bodies into structs, by a table of members. */
#include <stdio.h>
#include <string.h>

#include "http/queue_api.h"

static bool number_of(const uint8_t *text, const struct json_token *t, bool quoted, uint64_t *out)
{
    struct json_token digits = *t;
    if (quoted && t->type == JSON_STRING && t->length > 0)
        digits.type = JSON_NUMBER;
    return json_number_u64(text, &digits, out);
}

/* False: it is of another type, or too large. */
static bool member_set(const struct queue_api_member *m, struct http_call *call, const struct json_token *t, void *into)
{
    void *at = (char *)into + m->offset;
    uint8_t *bytes = call->bytes + t->offset;
    uint64_t number = 0;
    bool is_text = t->type == JSON_STRING, is_bool = t->type == JSON_TRUE || t->type == JSON_FALSE;
    switch (m->kind) {
    case MEMBER_SPAN:
        if (is_text)
            *(struct mr_span *)at = (struct mr_span){bytes, json_string_decode(call->bytes, t, bytes)};
        return is_text;
    case MEMBER_TEXT: {
        size_t n = is_text ? json_string_decode(call->bytes, t, bytes) : 0;
        if (!is_text || memchr(bytes, 0, n))
            return false;
        bytes[n] = 0; /* where its quote was, or before */
        *(const char **)at = (const char *)bytes;
        return true;
    }
    case MEMBER_U64:
    case MEMBER_U8:
    case MEMBER_NUMBER:
        if (!number_of(call->bytes, t, m->kind == MEMBER_NUMBER, &number) || number > m->most)
            return false;
        if (m->kind == MEMBER_U8)
            *(uint8_t *)at = (uint8_t)number;
        else
            *(uint64_t *)at = number;
        return true;
    case MEMBER_BOOL:
        *(bool *)at = t->type == JSON_TRUE;
        return is_bool;
    }
    return false;
}

static const struct queue_api_member *member_find(const struct queue_api_member *members, const struct http_call *call,
                                                  const struct json_token *name)
{
    while (members->name && !json_string_equal(call->bytes, name, members->name))
        members++;
    return members->name ? members : NULL;
}

static bool members_refused(struct http_connection *c, struct http_call *call, const char *text)
{
    http_call_error(c, call, 400, text);
    return false;
}

bool queue_api_members(struct http_connection *c, struct http_call *call, const struct queue_api_member *members,
                       void *into)
{
    char text[256];
    if (call->used == 0)
        return true;
    int n = json_parse(call->bytes, call->used, call->tokens, HTTP_CALL_TOKENS);
    if (n <= 0 || call->tokens[0].type != JSON_OBJECT)
        return members_refused(c, call, "the body is not an object of JSON (RFC 8259)");
    for (unsigned i = 1; i < (unsigned)n; i = call->tokens[i + 1].next) {
        const struct json_token *name = &call->tokens[i];
        const struct queue_api_member *m = member_find(members, call, name);
        if (m && member_set(m, call, name + 1, into))
            continue;
        int length = name->length < 64 ? (int)name->length : 64;
        snprintf(text, sizeof text, "%s: %.*s", m ? "another type, or too large" : "no such member", length,
                 (const char *)call->bytes + name->offset);
        return members_refused(c, call, text);
    }
    return true;
}
