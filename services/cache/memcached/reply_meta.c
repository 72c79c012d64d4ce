/* Replies of memcached's meta protocol: a code of two letters, what the flags asked for, the value. */
#include <stdio.h>
#include <string.h>

#include "cache/memcached/base64.h"
#include "cache/memcached/memcached.h"
#include "cache/resp/decimal.h"

#define KEY_TEXT_MAX ((CACHE_MEMCACHED_KEY_MAX + 2) / 3 * 4)

static void flag_number(struct cache_reply *reply, char letter, uint64_t value)
{
    uint8_t text[2 + CACHE_DECIMAL_MAX] = {' ', (uint8_t)letter}, *end = cache_decimal_write(text + 2, value);
    cache_reply_raw(reply, text, (size_t)(end - text));
}

static void flag_key(struct cache_reply *reply, struct mr_span key, bool base64)
{
    uint8_t text[KEY_TEXT_MAX];
    cache_reply_raw(reply, " k", 2);
    if (base64 && key.length <= CACHE_MEMCACHED_KEY_MAX)
        cache_reply_raw(reply, text, cache_base64_encode(key.data, key.length, text));
    else
        cache_reply_raw(reply, key.data, key.length);
    if (base64)
        cache_reply_raw(reply, " b", 2);
}

static void flag_expiry(struct cache_reply *reply, uint64_t expires_ms, uint64_t now_ms)
{
    if (!expires_ms)
        cache_reply_raw(reply, " t-1", 4);
    else
        flag_number(reply, 't', expires_ms > now_ms ? (expires_ms - now_ms + 999) / 1000 : 0);
}

/* `hit` NULL: nothing is known but what the request brought. */
static void flag_add(struct cache_reply *reply, const struct cache_memcached_request *r, struct mr_span key,
                     const struct cache_memcached_hit *h, char letter)
{
    bool has = h && h->entry, get = r->op == CACHE_MEMCACHED_GET;
    if (letter == 'O') {
        cache_reply_raw(reply, " O", 2);
        cache_reply_raw(reply, r->opaque, r->opaque_length);
    } else if (letter == 'k') {
        flag_key(reply, key, get && has ? h->base64 : r->key_base64);
    } else if (letter == 'c' && (has || r->op == CACHE_MEMCACHED_STORE)) {
        flag_number(reply, 'c', has ? h->cas : 0);
    } else if (letter == 't' && has && r->op != CACHE_MEMCACHED_STORE) {
        flag_expiry(reply, r->expiry_before ? h->expires_before_ms : h->expires_ms, h->now_ms);
    } else if (!has || !get) {
        return;
    } else if (letter == 's') {
        flag_number(reply, 's', cache_string_length(h->entry));
    } else if (letter == 'f') {
        flag_number(reply, 'f', h->flags);
    } else if (letter == 'h') {
        flag_number(reply, 'h', h->fetched);
    } else if (letter == 'l') {
        flag_number(reply, 'l', h->access_s);
    }
}

static void flags_add(struct cache_reply *reply, const struct cache_memcached_request *r, struct mr_span key,
                      const struct cache_memcached_hit *h)
{
    for (unsigned i = 0; i < r->wants_count; i++)
        flag_add(reply, r, key, h, r->wants[i]);
}

static const char *code_of(const struct cache_memcached_request *r, enum cache_memcached_answer a)
{
    switch (a) {
    case CACHE_MEMCACHED_STORED:
    case CACHE_MEMCACHED_DELETED:
        return "HD";
    case CACHE_MEMCACHED_NOT_STORED:
        return "NS";
    case CACHE_MEMCACHED_EXISTS:
        return "EX";
    case CACHE_MEMCACHED_NOT_FOUND:
        return r->op == CACHE_MEMCACHED_GET ? "EN" : "NF";
    default:
        return NULL;
    }
}

static void answer(struct cache_reply *reply, const struct cache_memcached_request *r, struct mr_span key,
                   enum cache_memcached_answer a, const struct cache_memcached_hit *hit)
{
    const char *code = code_of(r, a);
    bool done = a == CACHE_MEMCACHED_STORED || a == CACHE_MEMCACHED_DELETED;
    bool miss = a == CACHE_MEMCACHED_NOT_FOUND && r->op == CACHE_MEMCACHED_GET;
    if (code && r->quiet && (done || miss))
        return;
    cache_reply_text(reply, code ? code : cache_memcached_answers[a].text);
    if (code)
        flags_add(reply, r, key, a == CACHE_MEMCACHED_STORED ? hit : NULL);
    cache_reply_raw(reply, "\r\n", 2);
}

static void value(struct cache_reply *reply, const struct cache_memcached_request *r, struct mr_span key,
                  const struct cache_memcached_hit *h)
{
    uint64_t length = cache_string_length(h->entry);
    uint8_t head[3 + CACHE_DECIMAL_MAX] = "VA ", *end = cache_decimal_write(head + 3, length);
    if (r->wants_value)
        cache_reply_raw(reply, head, (size_t)(end - head));
    else
        cache_reply_raw(reply, "HD", 2);
    flags_add(reply, r, key, h);
    if (h->sent)
        cache_reply_raw(reply, " Z", 2);
    if (h->stale)
        cache_reply_raw(reply, " X", 2);
    if (h->won)
        cache_reply_raw(reply, " W", 2);
    cache_reply_raw(reply, "\r\n", 2);
    if (r->wants_value) {
        cache_reply_value_raw(reply, h->entry, 0, length);
        cache_reply_raw(reply, "\r\n", 2);
    }
}

static void number(struct cache_reply *reply, const struct cache_memcached_request *r, struct mr_span key,
                   const struct cache_memcached_hit *h)
{
    uint8_t digits[CACHE_DECIMAL_MAX], *end = cache_decimal_write(digits, h->number);
    uint8_t head[3 + CACHE_DECIMAL_MAX] = "VA ", *head_end = cache_decimal_write(head + 3, (uint64_t)(end - digits));
    if (r->quiet)
        return;
    if (r->wants_value)
        cache_reply_raw(reply, head, (size_t)(head_end - head));
    else
        cache_reply_raw(reply, "HD", 2);
    flags_add(reply, r, key, h);
    cache_reply_raw(reply, "\r\n", 2);
    if (r->wants_value) {
        cache_reply_raw(reply, digits, (size_t)(end - digits));
        cache_reply_raw(reply, "\r\n", 2);
    }
}

const struct cache_memcached_writer cache_memcached_meta = {answer, value, number, NULL};
