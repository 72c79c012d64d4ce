/* What a command answers: bytes in blocks, and values lent where they lie.
 *
 *     scratch (the worker's, 64 KiB) -> block -> lent extent -> block ...
 *
 * The connection gives a scratch of its worker first, so that most replies never take a block. RESP2 and RESP3 by
 * `protocol`: each function below writes what that version wants. memcached writes with cache_reply_raw. A reply never
 * fails in the middle: when memory or the limit ends, `failed` is set, nothing more is added, and the connection is cut. */
#ifndef SERVICES_CACHE_REPLY_H
#define SERVICES_CACHE_REPLY_H

#include "cache/command/argument.h"
#include "cache/store/entry.h"

struct cache_reply_block {
    struct cache_reply_block *next;
    struct cache_extent *extent; /* lent: held once by the block; NULL: the bytes lie in the block */
    const uint8_t *data;
    uint32_t length;   /* bytes to send; of the last block: once settled */
    uint32_t capacity; /* 0: lent */
    void *sender;      /* who has lent it to a stream: output.c */
    void *message[3];  /* a struct cache_item: on its way home to the worker that owns the extent */
    uint8_t bytes[];
};

struct cache_reply {
    struct memory *memory; /* of blocks: the clients' memory */
    uint8_t *at, *end;     /* room in the scratch or the last block */
    uint8_t *scratch;      /* begin of the scratch; NULL: none */
    uint32_t scratch_used; /* valid once there are blocks, or settled */
    struct cache_reply_block *first, *last;
    uint64_t bytes;   /* of memory that blocks take, their headers included */
    uint64_t lent;    /* bytes of lent extents */
    uint64_t limit;   /* of `bytes` */
    uint8_t protocol; /* 2, 3; 0: not RESP */
    bool failed;
    uint8_t errors;      /* error replies that nobody has counted yet */
    char error_code[15]; /* of the last one: "ERR" */
};

void cache_reply_init(struct cache_reply *r, struct memory *m, void *scratch, size_t scratch_bytes, uint8_t protocol,
                      uint64_t limit);
void cache_reply_free(struct cache_reply *r); /* blocks, and what they hold */
bool cache_reply_empty(const struct cache_reply *r);
/* Makes scratch_used and the length of the last block true: before the reply is sent. More may be added afterwards, which
 * wants it again. A block may be taken out of the list by who sends it; cache_reply_block_free ends it. */
void cache_reply_settle(struct cache_reply *r);
void cache_reply_block_free(struct memory *m, struct cache_reply_block *b);

void cache_reply_raw(struct cache_reply *r, const void *data, size_t n);
/* Lends `n` bytes at `data` of `x`, whose one reference it takes over; false: no memory, the reply has failed. */
bool cache_reply_lend(struct cache_reply *r, struct cache_extent *x, const uint8_t *data, size_t n);
/* The bytes of another reply, which is settled, copied. */
void cache_reply_copy(struct cache_reply *r, const struct cache_reply *from);
void cache_reply_text(struct cache_reply *r, const char *text); /* raw */
/* The bytes of a string value without any frame: copied when short, lent when long. */
void cache_reply_value_raw(struct cache_reply *r, const struct cache_entry *e, uint64_t offset, uint64_t n);
void cache_reply_rope_raw(struct cache_reply *r, const struct cache_rope *rope, uint64_t offset, uint64_t n);

/* RESP. */
void cache_reply_simple(struct cache_reply *r, const char *text); /* +OK */
void cache_reply_ok(struct cache_reply *r);
void cache_reply_error(struct cache_reply *r, const char *format, ...)
    __attribute__((format(printf, 2, 3))); /* with its code: "ERR ..."; line ends become spaces */
void cache_reply_integer(struct cache_reply *r, int64_t value);
void cache_reply_bulk(struct cache_reply *r, const void *data, size_t n);
void cache_reply_bulk_text(struct cache_reply *r, const char *text);
void cache_reply_bulk_integer(struct cache_reply *r, int64_t value); /* decimal digits as a bulk string */
void cache_reply_argument(struct cache_reply *r,
                          const struct cache_argument *a);                   /* as a bulk string; a rope is copied */
void cache_reply_string(struct cache_reply *r, const struct cache_entry *e); /* a string entry as a bulk string */
void cache_reply_string_range(struct cache_reply *r, const struct cache_entry *e, uint64_t offset, uint64_t n);
void cache_reply_rope(struct cache_reply *r, const struct cache_rope *rope);
void cache_reply_null(struct cache_reply *r);       /* $-1 or _ */
void cache_reply_null_array(struct cache_reply *r); /* *-1 or _ */
void cache_reply_array(struct cache_reply *r, uint64_t n);
void cache_reply_map(struct cache_reply *r, uint64_t pairs);  /* RESP2: an array of twice as many */
void cache_reply_set(struct cache_reply *r, uint64_t n);      /* RESP2: an array */
void cache_reply_push(struct cache_reply *r, uint64_t n);     /* RESP2: an array */
void cache_reply_double(struct cache_reply *r, double value); /* RESP2: a bulk string, as Redis prints it */
void cache_reply_bool(struct cache_reply *r, bool value);     /* RESP2: 1 or 0 */
void cache_reply_verbatim(struct cache_reply *r, const char *format3, const void *data,
                          size_t n);                                    /* RESP2: a bulk string */
void cache_reply_big_number(struct cache_reply *r, const char *digits); /* RESP2: a bulk string */
/* A length that is known only later. `kind` is '*', '%' (pairs), '~' or '>'. Between begin and end only additions. */
struct cache_reply_block *cache_reply_defer(struct cache_reply *r);
void cache_reply_defer_end(struct cache_reply *r, struct cache_reply_block *header, char kind, uint64_t n);

/* A double as Redis prints it: 17 significant digits that read back the same, integers without a point. Returns length. */
unsigned cache_double_text(double value, char text[40]);

#endif
