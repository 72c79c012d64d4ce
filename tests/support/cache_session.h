/* Commands of the cache given as text, replies as bytes: instances without connections, streams or a worker. Every shard is at
 * hand, so that a command of several keys runs at once whatever the number of shards.
 *
 * Text as redis-cli takes it: words parted by spaces, "..." with \n \r \t \\ \" \xHH for what else there is in bytes. */
#ifndef TESTS_SUPPORT_CACHE_SESSION_H
#define TESTS_SUPPORT_CACHE_SESSION_H

#include "cache/cache.h"

struct cache_session_options {
    uint64_t memory_max; /* of a shard; 0: 64 MiB */
    const char *policy;  /* NULL: noeviction */
    unsigned shards;     /* 0: one */
    uint64_t now_ms;     /* 0: some day */
};

struct cache_session {
    struct cache *cache; /* of shard 0, which runs the commands */
    unsigned database;
    uint8_t protocol; /* 2 to begin with */
    unsigned again;   /* turns that the last command had to wait for room */
    bool waits;       /* the last command blocked: its reply is empty */
    uint64_t changes; /* of the last command */
    struct cache_shared shared;
    struct cache_argument *argv;
    char *reply; /* grows as needed; a zero follows the bytes */
    size_t reply_bytes, reply_room;
    uint8_t *scratch;
};

/* Aborts when memory is missing. */
struct cache_session *cache_session_start(const struct cache_session_options *options); /* NULL: as the zeros say */
void cache_session_stop(struct cache_session *s);

/* Good until the next command; *n may be NULL. */
const char *cache_session_run(struct cache_session *s, const char *text, size_t *n);
/* With one `%s` word replaced by bytes, of any length: "SET key %s". */
const char *cache_session_run_bytes(struct cache_session *s, const char *text, const void *data, size_t length,
                                    size_t *n);
/* Time goes by; commands look at it, nothing expires by itself. */
void cache_session_pass(struct cache_session *s, uint64_t ms);
/* What turns do after commands, until there is nothing left to do. */
void cache_session_settle(struct cache_session *s);
/* cache_store_check of every shard. */
void cache_session_check(struct cache_session *s);

#endif
