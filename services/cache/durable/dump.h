/* An entry as the commands that make it again, a piece at a time:
 *
 *     string   SET key value [PXAT ms]
 *     others   RPUSH | SADD | ZADD | HSET key element ..., some elements a command; then PEXPIREAT key ms
 *     any      CACHE_LOG_MEMCACHED key flags cas meta, when it has memcached's part */
#ifndef SERVICES_CACHE_DUMP_H
#define SERVICES_CACHE_DUMP_H

#include "cache/durable/log_state.h"

#define DUMP_PIECE_ELEMENTS 64

/* Writes some DUMP_PIECE_ELEMENTS elements, or what lies in one allocation; adds to *elements. True: that was the
 * last piece. */
bool cache_dump_piece(struct cache_log_out *o, struct cache_store *s, struct cache_entry *e, struct cache_dump_at *at,
                      uint64_t *elements);
uint64_t cache_dump_elements(const struct cache_entry *e); /* 1: a string */

#endif
