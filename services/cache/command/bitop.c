/* BITOP: a piece at a time, so that values of any length need no more than two pieces beside the result. */
#include "cache/command/bit.h"

#include <limits.h>
#include <string.h>

#define PIECE     CACHE_SMALL_MAX
#define FIRST_KEY 3 /* of the sources */

enum operation { AND, OR, XOR, NOT, NONE };

static enum operation operation_of(const struct cache_argument *a)
{
    static const char *const names[] = {[AND] = "and", [OR] = "or", [XOR] = "xor", [NOT] = "not"};
    for (unsigned i = 0; i < NONE; i++)
        if (cache_argument_is(a, names[i]))
            return (enum operation)i;
    return NONE;
}

/* Checks every source and finds the length of the longest. False: replied. */
static bool sources_check(struct cache_call *call, uint64_t *longest)
{
    *longest = 0;
    for (unsigned i = FIRST_KEY; i < call->argc; i++) {
        struct cache_entry *e;
        if (!cache_call_read(call, &call->argv[i], CACHE_STRING, &e))
            return false;
        uint64_t length = e ? cache_string_length(e) : 0;
        if (length > *longest)
            *longest = length;
    }
    return true;
}

static void source_copy(const struct cache_call *call, unsigned i, uint64_t offset, void *to, size_t n)
{
    struct mr_span key = cache_argument_span(&call->argv[i]);
    cache_string_copy(cache_store_peek(cache_call_store(call, key), call->database, key), offset, to, n);
}

static void combine(enum operation op, uint64_t *to, const uint64_t *with, size_t words)
{
    switch (op) {
    case AND:
        for (size_t i = 0; i < words; i++)
            to[i] &= with[i];
        return;
    case OR:
        for (size_t i = 0; i < words; i++)
            to[i] |= with[i];
        return;
    case XOR:
        for (size_t i = 0; i < words; i++)
            to[i] ^= with[i];
        return;
    default:
        for (size_t i = 0; i < words; i++)
            to[i] = ~to[i];
    }
}

/* `n` bytes of the result from `offset` on; both arrays have room for a PIECE. */
static void piece_compute(const struct cache_call *call, enum operation op, uint64_t offset, size_t n,
                          uint64_t result[PIECE / 8], uint64_t other[PIECE / 8])
{
    size_t words = (n + 7) / 8;
    result[words - 1] = 0;
    source_copy(call, FIRST_KEY, offset, result, n);
    if (op == NOT)
        combine(op, result, NULL, words);
    for (unsigned i = FIRST_KEY + 1; i < call->argc; i++) {
        other[words - 1] = 0;
        source_copy(call, i, offset, other, n);
        combine(op, result, other, words);
    }
}

static void rope_free(struct cache_rope *r)
{
    unsigned budget = UINT_MAX;
    cache_rope_free_step(r, &budget);
}

/* The result, stored. NULL: no memory. */
static struct cache_entry *result_store(struct cache_call *call, enum operation op, struct cache_store *store,
                                        struct mr_span key, uint64_t length)
{
    uint64_t result[PIECE / 8], other[PIECE / 8];
    if (length <= PIECE) {
        piece_compute(call, op, 0, length, result, other);
        return cache_store_set(store, call->database, key, (struct mr_span){(uint8_t *)result, length});
    }
    struct cache_rope *rope = cache_rope_create(&store->memory);
    if (!rope)
        return NULL;
    for (uint64_t at = 0; at < length; at += PIECE) {
        size_t n = length - at < PIECE ? length - at : PIECE;
        piece_compute(call, op, at, n, result, other);
        if (!cache_rope_append(rope, result, n)) {
            rope_free(rope);
            return NULL;
        }
    }
    struct cache_entry *e = cache_store_set_rope(store, call->database, key, rope);
    if (!e)
        rope_free(rope);
    return e;
}

enum cache_outcome cache_command_bitop(struct cache_call *call)
{
    struct mr_span key;
    uint64_t length;
    enum operation op = operation_of(&call->argv[1]);
    if (op == NONE) {
        cache_reply_syntax_error(call->reply);
        return CACHE_DONE;
    }
    if (op == NOT && call->argc != 4) {
        cache_reply_error(call->reply, "ERR BITOP NOT must be called with a single source key.");
        return CACHE_DONE;
    }
    if (!sources_check(call, &length) || !cache_call_key(call, &call->argv[2], &key))
        return CACHE_DONE;

    struct cache_store *store = cache_call_store(call, key);
    if (!length) {
        if (cache_store_delete(store, call->database, key))
            cache_call_changed(call, store, key);
        cache_reply_integer(call->reply, 0);
        return CACHE_DONE;
    }
    enum cache_room room = cache_call_reserve(call, store, cache_store_string_cost(store, key.length, length));
    if (room != CACHE_ROOM_READY)
        return cache_room_outcome(room);
    if (result_store(call, op, store, key, length)) {
        cache_call_changed(call, store, key);
        cache_reply_integer(call->reply, (int64_t)length);
    } else {
        cache_reply_out_of_memory(call->reply);
    }
    return CACHE_DONE;
}
