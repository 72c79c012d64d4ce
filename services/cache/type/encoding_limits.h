/* When a collection leaves its compact encoding. CONFIG changes these; a collection converts when it next grows past them,
 * and never goes back. */
#ifndef SERVICES_CACHE_ENCODING_LIMITS_H
#define SERVICES_CACHE_ENCODING_LIMITS_H

#include "cache/store/store.h"

struct cache_type_limits {
    uint64_t hash_max_listpack_entries; /* pairs */
    uint64_t hash_max_listpack_value;   /* bytes of a field or of a value */
    uint64_t set_max_intset_entries;
    uint64_t zset_max_listpack_entries; /* members */
    uint64_t zset_max_listpack_value;   /* bytes of a member */
    int64_t list_max_listpack_size;     /* of a node: elements when positive; -1 .. -5: 4, 8, 16, 32, 64 KiB */
    uint64_t list_compress_depth;       /* taken and shown, without effect */
};

/* The values of Redis 7.0. */
#define CACHE_TYPE_LIMITS_DEFAULT                                 \
    ((struct cache_type_limits){.hash_max_listpack_entries = 512, \
                                .hash_max_listpack_value = 64,    \
                                .set_max_intset_entries = 512,    \
                                .zset_max_listpack_entries = 128, \
                                .zset_max_listpack_value = 64,    \
                                .list_max_listpack_size = -2,     \
                                .list_compress_depth = 0})

extern const struct cache_type_limits cache_type_limits_default; /* types.c */

static inline const struct cache_type_limits *cache_type_limits_of(const struct cache_store *s)
{
    return s->type_limits ? s->type_limits : &cache_type_limits_default;
}

#endif
