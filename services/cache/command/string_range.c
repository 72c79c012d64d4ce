/* Parts of strings: APPEND, SETRANGE, GETRANGE, and the helpers with which bits and ranges of any length are read and written
 * without gathering a large value in one place. */
#include "cache/command/string.h"

#include <string.h>

bool cache_range_clamp(int64_t *start, int64_t *end, uint64_t length)
{
    int64_t n = (int64_t)length, from = *start, to = *end;
    from = from < 0 ? (from < -n ? 0 : from + n) : from;
    to = to < 0 ? (to < -n ? 0 : to + n) : to;
    to = to >= n ? n - 1 : to;
    *start = from;
    *end = to;
    return from <= to && n > 0;
}

void cache_string_copy(const struct cache_entry *e, uint64_t offset, void *to, size_t n)
{
    uint8_t *p = to;
    char digits[24];
    uint64_t length = e ? cache_string_length(e) : 0;
    while (n && offset < length) {
        struct cache_extent *extent;
        struct mr_span span = cache_string_at(e, offset, digits, &extent);
        size_t part = span.length < n ? span.length : n;
        memcpy(p, span.data, part);
        p += part;
        n -= part;
        offset += part;
    }
    if (n)
        memset(p, 0, n);
}

/* Copies of extents that others hold: of those that lie in `n` bytes from `offset` on. */
static uint64_t unshare_cost(const struct cache_entry *e, uint64_t offset, uint64_t n)
{
    uint64_t length = cache_string_length(e), end = offset + n < length ? offset + n : length, bytes = 0;
    if (e->encoding != CACHE_STRING_ROPE)
        return 0;
    for (uint64_t at = offset; at < end;) {
        struct cache_extent *extent;
        at += cache_rope_at(cache_entry_value(e)->rope, at, &extent).length;
        if (extent->references > 1)
            bytes += cache_extent_cost(extent->length);
    }
    return bytes;
}

/* A short string that is grown gets room to grow further. */
static uint64_t grown(uint64_t length)
{
    return length <= CACHE_EXTENT_BYTES ? 2 * length : length;
}

enum cache_room cache_string_make(struct cache_call *call, struct mr_span key, uint64_t offset, uint64_t n,
                                  struct cache_entry **e)
{
    struct cache_store *s = call->store;
    uint64_t end = offset + n;
    uint64_t bytes =
        *e ? cache_store_grow_cost(*e, end) + unshare_cost(*e, offset, n)
           : cache_store_string_cost(s, key.length, 0) + cache_store_string_cost(s, key.length, grown(end));
    enum cache_room room = cache_call_reserve(call, s, bytes);
    if (room != CACHE_ROOM_READY)
        return room;
    bool was = *e;
    *e = was ? cache_store_write(s, call->database, key)
             : cache_store_set(s, call->database, key, (struct mr_span){(const uint8_t *)"", 0});
    if (was && !*e)
        return CACHE_ROOM_READY;
    if (*e)
        *e = cache_store_grow(s, *e, end);
    if (*e)
        return CACHE_ROOM_READY;
    cache_reply_out_of_memory(call->reply);
    return CACHE_ROOM_NEVER;
}

static void argument_write(struct cache_store *s, struct cache_entry *e, uint64_t offset,
                           const struct cache_argument *a)
{
    if (!a->rope) {
        cache_store_write_at(s, e, offset, a->data, a->length);
        return;
    }
    for (uint64_t done = 0; done < a->length;) {
        struct cache_extent *extent;
        struct mr_span span = cache_rope_at(a->rope, done, &extent);
        cache_store_write_at(s, e, offset + done, span.data, span.length);
        done += span.length;
    }
}

static bool length_check(struct cache_call *call, uint64_t length)
{
    if (length > CACHE_VALUE_MAX)
        cache_reply_error(call->reply, "ERR string exceeds maximum allowed size (proto-max-bulk-len)");
    return length <= CACHE_VALUE_MAX;
}

/* A key that is not there takes the argument as it is. */
static enum cache_outcome append_new(struct cache_call *call, struct mr_span key)
{
    struct cache_argument *value = &call->argv[2];
    int64_t length = value->length;
    enum cache_room room = cache_call_reserve(call, call->store, cache_string_put_cost(call->store, key, value));
    if (room != CACHE_ROOM_READY)
        return cache_room_outcome(room);
    if (cache_string_put(call, call->store, key, value))
        cache_reply_integer(call->reply, length);
    return CACHE_DONE;
}

enum cache_outcome cache_command_append(struct cache_call *call)
{
    struct cache_entry *e;
    const struct cache_argument *value = &call->argv[2];
    if (!cache_call_write(call, &call->argv[1], CACHE_STRING, &e))
        return CACHE_DONE;
    struct mr_span key = cache_argument_span(&call->argv[1]);
    if (!e)
        return append_new(call, key);
    uint64_t before = cache_string_length(e), after = before + value->length;
    if (!length_check(call, after))
        return CACHE_DONE;

    enum cache_room room = cache_string_make(call, key, before, value->length, &e);
    if (room != CACHE_ROOM_READY)
        return cache_room_outcome(room);
    if (!e)
        return append_new(call, key);
    argument_write(call->store, e, before, value);
    cache_call_changed(call, call->store, key);
    cache_reply_integer(call->reply, (int64_t)after);
    return CACHE_DONE;
}

enum cache_outcome cache_command_setrange(struct cache_call *call)
{
    struct cache_entry *e;
    const struct cache_argument *value = &call->argv[3];
    int64_t offset;
    if (!cache_argument_integer(&call->argv[2], &offset)) {
        cache_reply_not_integer(call->reply);
        return CACHE_DONE;
    }
    if (offset < 0) {
        cache_reply_error(call->reply, "ERR offset is out of range");
        return CACHE_DONE;
    }
    if (!cache_call_write(call, &call->argv[1], CACHE_STRING, &e))
        return CACHE_DONE;
    uint64_t length = e ? cache_string_length(e) : 0, end = (uint64_t)offset + value->length;
    if (!value->length) {
        cache_reply_integer(call->reply, (int64_t)length);
        return CACHE_DONE;
    }
    if (!length_check(call, end))
        return CACHE_DONE;

    struct mr_span key = cache_argument_span(&call->argv[1]);
    if (end > length)
        length = end;
    enum cache_room room = cache_string_make(call, key, (uint64_t)offset, value->length, &e);
    if (room != CACHE_ROOM_READY)
        return cache_room_outcome(room);
    if (!e)
        return cache_command_setrange(call);
    argument_write(call->store, e, (uint64_t)offset, value);
    cache_call_changed(call, call->store, key);
    cache_reply_integer(call->reply, (int64_t)length);
    return CACHE_DONE;
}

enum cache_outcome cache_command_getrange(struct cache_call *call)
{
    int64_t start, end;
    struct cache_entry *e;
    if (!cache_argument_integer(&call->argv[2], &start) || !cache_argument_integer(&call->argv[3], &end)) {
        cache_reply_not_integer(call->reply);
        return CACHE_DONE;
    }
    if (!cache_call_read(call, &call->argv[1], CACHE_STRING, &e))
        return CACHE_DONE;
    bool backwards = start < 0 && end < 0 && start > end; /* even when both are cut to 0 */
    if (e && !backwards && cache_range_clamp(&start, &end, cache_string_length(e)))
        cache_reply_string_range(call->reply, e, (uint64_t)start, (uint64_t)(end - start + 1));
    else
        cache_reply_bulk(call->reply, "", 0);
    return CACHE_DONE;
}
