/* LCS: the longest common subsequence by dynamic programming, two rows of lengths and one bit a cell for the way back: whether
 * the cell above is longer than the one to the left. Ways of equal length are resolved as Redis does. */
#include "cache/command/string.h"

#include <string.h>

#define CELLS_MAX   (CACHE_VALUE_MAX / 4) /* Redis takes four bytes a cell and stops at this */
#define CHUNK_BYTES 32768u
#define CHUNK_CELLS (CHUNK_BYTES * UINT64_C(8))
#define CHUNKS_MAX  (CELLS_MAX / CHUNK_CELLS + 1)

struct options {
    bool length_only, matches, match_lengths;
    int64_t match_min;
};

/* Bytes of a value by number, fast where they lie together. */
struct text {
    const struct cache_entry *e;
    uint64_t length;
    struct mr_span part; /* that begins at part_at */
    uint64_t part_at;
    char digits[24];
};

struct lcs {
    struct memory *memory;
    struct text a, b;
    uint32_t *row; /* of the shorter */
    uint32_t row_bytes;
    uint8_t *chunk[CHUNKS_MAX]; /* bits of cells, row after row of a */
    unsigned chunks;
};

static void text_init(struct text *t, const struct cache_entry *e)
{
    *t = (struct text){.e = e, .length = e ? cache_string_length(e) : 0};
}

static inline uint8_t text_at(struct text *t, uint64_t i)
{
    if (__builtin_expect(i - t->part_at >= t->part.length, 0)) { /* before it, too: the difference is huge then */
        struct cache_extent *extent;
        uint64_t begin = i / CACHE_SMALL_MAX * CACHE_SMALL_MAX;
        t->part = cache_string_at(t->e, begin, t->digits, &extent);
        t->part_at = begin;
        while (i - t->part_at >= t->part.length) {
            t->part_at += t->part.length;
            t->part = cache_string_at(t->e, t->part_at, t->digits, &extent);
        }
    }
    return t->part.data[i - t->part_at];
}

static void lcs_free(struct lcs *l)
{
    for (unsigned i = 0; i < l->chunks; i++)
        memory_free(l->memory, l->chunk[i], CHUNK_BYTES);
    if (l->row)
        memory_free(l->memory, l->row, l->row_bytes);
}

static inline uint64_t cell(const struct lcs *l, uint64_t i, uint64_t j)
{
    return i * l->b.length + j;
}

static inline void up_set(struct lcs *l, uint64_t i, uint64_t j)
{
    uint64_t n = cell(l, i, j);
    l->chunk[n / CHUNK_CELLS][n % CHUNK_CELLS >> 3] |= (uint8_t)(1 << (n & 7));
}

static inline bool up(const struct lcs *l, uint64_t i, uint64_t j)
{
    uint64_t n = cell(l, i, j);
    return l->chunk[n / CHUNK_CELLS][n % CHUNK_CELLS >> 3] >> (n & 7) & 1;
}

static bool lcs_allocate(struct lcs *l, bool way_back)
{
    uint64_t shorter = l->a.length < l->b.length ? l->a.length : l->b.length;
    l->row_bytes = (uint32_t)((shorter + 1) * sizeof *l->row);
    l->row = memory_alloc(l->memory, l->row_bytes);
    if (!l->row)
        return false;
    memset(l->row, 0, l->row_bytes);
    uint64_t cells = way_back ? l->a.length * l->b.length : 0;
    for (uint64_t done = 0; done < cells; done += CHUNK_CELLS) {
        uint8_t *chunk = memory_alloc(l->memory, CHUNK_BYTES);
        if (!chunk)
            return false;
        memset(chunk, 0, CHUNK_BYTES);
        l->chunk[l->chunks++] = chunk;
    }
    return true;
}

/* One step along the longer text: the row becomes the lengths behind its byte. `along_a`: the longer is a, and the row's old
 * values are the cells above. */
static void row_advance(struct lcs *l, uint64_t outer, bool along_a, bool way_back)
{
    struct text *shorter = along_a ? &l->b : &l->a;
    uint8_t byte = text_at(along_a ? &l->a : &l->b, outer);
    uint32_t diagonal = 0, before = 0; /* the old value one to the left, the new one */
    for (uint64_t k = 0; k < shorter->length; k++) {
        uint32_t old = l->row[k + 1], above = along_a ? old : before, left = along_a ? before : old;
        uint32_t length = text_at(shorter, k) == byte ? diagonal + 1 : above > left ? above : left;
        if (way_back && above > left)
            up_set(l, along_a ? outer : k, along_a ? k : outer);
        diagonal = old;
        l->row[k + 1] = before = length;
    }
}

static uint32_t lcs_length(struct lcs *l, bool way_back)
{
    bool along_a = l->a.length >= l->b.length;
    uint64_t outer = along_a ? l->a.length : l->b.length, inner = along_a ? l->b.length : l->a.length;
    for (uint64_t i = 0; inner && i < outer; i++)
        row_advance(l, i, along_a, way_back);
    return l->row[inner];
}

/* Goes back one cell; true: both bytes are of the subsequence. i and j count the bytes that lie before. */
static inline bool step_back(struct lcs *l, uint64_t *i, uint64_t *j)
{
    if (text_at(&l->a, *i - 1) == text_at(&l->b, *j - 1)) {
        --*i;
        --*j;
        return true;
    }
    if (up(l, *i - 1, *j - 1))
        --*i;
    else
        --*j;
    return false;
}

static void reply_text(struct cache_call *call, struct lcs *l, uint32_t length)
{
    uint8_t *text = (uint8_t *)l->row; /* its lengths are not needed any more: at least one byte a cell */
    uint64_t i = l->a.length, j = l->b.length;
    for (uint32_t left = length; left;)
        if (step_back(l, &i, &j))
            text[--left] = text_at(&l->a, i);
    cache_reply_bulk(call->reply, text, length);
}

static void reply_range(struct cache_reply *r, uint64_t first, uint64_t last)
{
    cache_reply_array(r, 2);
    cache_reply_integer(r, (int64_t)first);
    cache_reply_integer(r, (int64_t)last);
}

/* The run of `n` bytes that ends before i and j. */
static bool reply_match(struct cache_reply *r, const struct options *o, uint64_t i, uint64_t j, uint64_t n)
{
    if (o->match_min > 0 && n < (uint64_t)o->match_min)
        return false;
    cache_reply_array(r, o->match_lengths ? 3 : 2);
    reply_range(r, i - n, i - 1);
    reply_range(r, j - n, j - 1);
    if (o->match_lengths)
        cache_reply_integer(r, (int64_t)n);
    return true;
}

/* From the end, as the way back finds them. */
static void reply_matches(struct cache_call *call, struct lcs *l, const struct options *o, uint32_t length)
{
    struct cache_reply *r = call->reply;
    cache_reply_map(r, 2);
    cache_reply_bulk_text(r, "matches");
    struct cache_reply_block *header = cache_reply_defer(r);
    uint64_t i = l->a.length, j = l->b.length, n = 0;
    while (i && j) {
        uint64_t end_i = i, end_j = j, run = 0;
        while (i && j && step_back(l, &i, &j))
            run++;
        if (run)
            n += reply_match(r, o, end_i, end_j, run);
    }
    cache_reply_defer_end(r, header, '*', n);
    cache_reply_bulk_text(r, "len");
    cache_reply_integer(r, length);
}

static bool read_options(struct cache_call *call, struct options *o)
{
    for (unsigned i = 3; i < call->argc; i++) {
        const struct cache_argument *a = &call->argv[i];
        if (cache_argument_is(a, "idx")) {
            o->matches = true;
        } else if (cache_argument_is(a, "len")) {
            o->length_only = true;
        } else if (cache_argument_is(a, "withmatchlen")) {
            o->match_lengths = true;
        } else if (cache_argument_is(a, "minmatchlen") && i + 1 < call->argc) {
            if (!cache_argument_integer(a + 1, &o->match_min)) {
                cache_reply_not_integer(call->reply);
                return false;
            }
            i++;
        } else {
            cache_reply_syntax_error(call->reply);
            return false;
        }
    }
    if (o->matches && o->length_only)
        cache_reply_error(call->reply, "ERR If you want both the length and indexes, please just use IDX.");
    return !(o->matches && o->length_only);
}

/* A string or nothing. False: replied. */
static bool read_text(struct cache_call *call, const struct cache_argument *a, struct text *t)
{
    struct mr_span key;
    if (!cache_call_key(call, a, &key))
        return false;
    struct cache_entry *e = cache_store_read(cache_call_store(call, key), call->database, key);
    if (e && e->type != CACHE_STRING) {
        cache_reply_error(call->reply, "ERR The specified keys must contain string values");
        return false;
    }
    text_init(t, e);
    return true;
}

enum cache_outcome cache_command_lcs(struct cache_call *call)
{
    struct options o = {0};
    struct lcs l = {.memory = &call->store->memory};
    if (!read_text(call, &call->argv[1], &l.a) || !read_text(call, &call->argv[2], &l.b) || !read_options(call, &o))
        return CACHE_DONE;
    if ((l.a.length + 1) * (l.b.length + 1) > CELLS_MAX) {
        cache_reply_error(call->reply, "ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len");
        return CACHE_DONE;
    }
    if (!lcs_allocate(&l, !o.length_only)) {
        lcs_free(&l);
        cache_reply_error(call->reply, "ERR Insufficient memory, failed allocating transient memory for LCS");
        return CACHE_DONE;
    }

    uint32_t length = lcs_length(&l, !o.length_only);
    if (o.matches)
        reply_matches(call, &l, &o, length);
    else if (o.length_only)
        cache_reply_integer(call->reply, length);
    else
        reply_text(call, &l, length);
    lcs_free(&l);
    return CACHE_DONE;
}
