/* memcached's three dialects over the keyspace of RESP database 0.
 *
 *     bytes -> text_wire.rl or binary_wire.c -> request -> dispatch to the owner of its key -> execute (memcached_store.c) -> reply
 *                                                                                              (reply_text, reply_meta, reply_binary)
 *
 * A request is plain data of fixed size: it travels as an argument of a command of ours (memcached_commands.c), so that
 * routing, room, the order of replies and the log are those of every other command. A get of several keys is a request a
 * key. Texts and codes are memcached 1.6.18's. */
#ifndef SERVICES_CACHE_MEMCACHED_H
#define SERVICES_CACHE_MEMCACHED_H

#include "cache/command/command.h"

#define CACHE_MEMCACHED_VERSION    "1.6.18" /* whose behaviour this is */
#define CACHE_MEMCACHED_KEY_MAX    250      /* bytes, as written: in base64 too */
#define CACHE_MEMCACHED_LINE_MAX   2048     /* bytes of a line without its end; a get of many keys may have more */
#define CACHE_MEMCACHED_GET_MAX    60000    /* ... so many */
#define CACHE_MEMCACHED_FLAGS_MAX  22       /* of a meta command */
#define CACHE_MEMCACHED_OPAQUE_MAX 32       /* with its letter */
#define CACHE_MEMCACHED_OVERHEAD   50 /* of an item, as item_size_max counts it: header, CAS, end of the data block */

enum cache_memcached_op {
    /* Of one key. */
    CACHE_MEMCACHED_GET,
    CACHE_MEMCACHED_STORE,
    CACHE_MEMCACHED_DELETE,
    CACHE_MEMCACHED_ARITHMETIC,
    CACHE_MEMCACHED_TOUCH,
    CACHE_MEMCACHED_DEBUG,
    /* Of none. */
    CACHE_MEMCACHED_REPLY, /* `answer`, which may be an error */
    CACHE_MEMCACHED_VERSION_ASKED,
    CACHE_MEMCACHED_STATS,
    CACHE_MEMCACHED_FLUSH,
    CACHE_MEMCACHED_NOTHING, /* quiet */
    CACHE_MEMCACHED_OPS
};

enum cache_memcached_dialect { CACHE_MEMCACHED_TEXT, CACHE_MEMCACHED_META, CACHE_MEMCACHED_BINARY };

enum cache_memcached_mode {
    CACHE_MEMCACHED_SET,
    CACHE_MEMCACHED_ADD,
    CACHE_MEMCACHED_REPLACE,
    CACHE_MEMCACHED_APPEND,
    CACHE_MEMCACHED_PREPEND,
};

/* Answers that say nothing but themselves: in text, and as a status of the binary protocol. */
enum cache_memcached_answer {
#define ANSWER(symbol, status, text) CACHE_MEMCACHED_##symbol,
#include "cache/memcached/answer.def"
#undef ANSWER
    CACHE_MEMCACHED_ANSWERS
};
extern const struct cache_memcached_answer_text {
    const char *text;
    uint16_t status;
} cache_memcached_answers[CACHE_MEMCACHED_ANSWERS];

struct cache_memcached_request {
    uint8_t op, dialect, mode, answer, opcode; /* opcode: of the binary protocol */
    bool quiet;                                /* noreply; in meta q; in binary a quiet opcode */
    bool close;                                /* after the reply */
    bool with_key;                             /* binary: the reply repeats it */
    bool with_cas;                             /* text: gets, gats */
    bool touches;                              /* get: `expires_ms` becomes the item's */
    bool has_cas;                              /* `cas` must be the item's */
    bool key_base64;                           /* meta: the key was so written, and is so answered */
    bool vivifies;                             /* a miss makes an item that lives until vivify_ms */
    bool recaches;                             /* a hit that lives less than recache_s wins the token */
    bool invalidates;                          /* delete: leaves it stale; store: an older CAS makes it stale */
    bool no_update;                            /* the access leaves no trace */
    bool wants_value;                          /* meta v */
    bool decrements;
    bool expiry_before;        /* meta t in front of T: the expiry that was */
    bool expiry_before_vivify; /* ... in front of N */
    bool recaches_before;      /* meta R in front of T */
    uint8_t wants_count;
    uint8_t opaque_length;                 /* of the text; binary: 4 */
    char wants[CACHE_MEMCACHED_FLAGS_MAX]; /* letters of meta flags to answer, in order */
    char opaque[CACHE_MEMCACHED_OPAQUE_MAX];
    uint32_t flags; /* the client's */
    uint32_t recache_s;
    uint64_t cas, delta, initial;
    uint64_t expires_ms, vivify_ms; /* Unix; 0: never; 1: at once */
    uint64_t value_bytes;           /* of the data block that follows the line, without its end */
};

/* Where the parts of a request lie that have no fixed size: in what was parsed. */
struct cache_memcached_parts {
    struct mr_span key;                         /* of a get: the first */
    struct mr_span keys;                        /* further keys of a get, in text; or the name of statistics */
    uint8_t key_bytes[CACHE_MEMCACHED_KEY_MAX]; /* the key is here when it came in base64 */
    uint64_t swallow;                           /* bytes behind the head that belong to it and are not wanted */
    bool has_value;                             /* value_bytes follow */
};

/* memcached's reading of an expiry: 0 never, up to 30 days from now, else Unix seconds; the past and negative ones at once. */
uint64_t cache_memcached_expires(int64_t exptime, uint64_t now_ms);

/* The functions of the commands in memcached_commands.c: argv is {name, request, key, value}. */
enum cache_outcome cache_memcached_execute(struct cache_call *call); /* memcached_store.c */
enum cache_outcome cache_memcached_answer(struct cache_call *call);  /* of no key */
enum cache_outcome cache_memcached_flush(struct cache_call *call);
enum cache_outcome cache_memcached_stats(struct cache_call *call); /* stats.c; argv[2] is the name, or absent */
void cache_memcached_flush_due(struct cache *cache);               /* each second: what flush_all delayed */
/* The request of a call; false: there is none, and what there is to say is said. */
/* A call that cannot run for want of memory: answered in its dialect. False: it is no request of memcached. */
bool cache_memcached_refused(struct cache_call *call);
bool cache_memcached_request_of(const struct cache_call *call, struct cache_memcached_request *r);
/* The command that a request runs as. */
const struct cache_command *cache_memcached_command(const struct cache_memcached_request *r);

/* What a request found or made. */
struct cache_memcached_hit {
    struct cache_entry *entry; /* NULL: only a number */
    uint64_t cas, number;
    uint32_t flags;
    uint32_t access_s; /* since the access before */
    bool fetched;      /* had been, before */
    bool stale, sent, won, base64;
    uint64_t expires_ms, expires_before_ms, now_ms;
};

/* How a dialect replies. `text` parts are the key as it came. */
struct cache_memcached_writer {
    void (*answer)(struct cache_reply *reply, const struct cache_memcached_request *r, struct mr_span key,
                   enum cache_memcached_answer a, const struct cache_memcached_hit *hit);
    void (*value)(struct cache_reply *reply, const struct cache_memcached_request *r, struct mr_span key,
                  const struct cache_memcached_hit *hit);
    void (*number)(struct cache_reply *reply, const struct cache_memcached_request *r, struct mr_span key,
                   const struct cache_memcached_hit *hit);
    void (*statistic)(struct cache_reply *reply, const struct cache_memcached_request *r, const char *name,
                      const char *value); /* name NULL: the end of them */
};
extern const struct cache_memcached_writer cache_memcached_text, cache_memcached_meta, cache_memcached_binary;
const struct cache_memcached_writer *cache_memcached_writer(const struct cache_memcached_request *r);

#endif
