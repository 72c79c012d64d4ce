/* The types a key can have, as TYPE and OBJECT ENCODING name them; a row a type, from the file of the type. */
#include "cache/store/store.h"
#include "cache/type/encoding_limits.h"
#include "cache/type/hash.h"
#include "cache/type/list.h"
#include "cache/type/set.h"
#include "cache/type/zset.h"

#define EMBSTR_BYTES 44 /* Redis calls strings up to this "embstr"; clients' test suites look */

const struct cache_type_limits cache_type_limits_default = CACHE_TYPE_LIMITS_DEFAULT;

static const char *string_encoding_name(const struct cache_entry *e)
{
    if (e->encoding == CACHE_STRING_INTEGER)
        return "int";
    return e->encoding == CACHE_STRING_EMBEDDED && e->value_length <= EMBSTR_BYTES ? "embstr" : "raw";
}

/* A string is no collection: the store itself counts and frees it. */
static const struct cache_collection_type string_type = {.name = "string", .encoding_name = string_encoding_name};

const struct cache_collection_type *const cache_collection_types[CACHE_TYPES] = {
    [CACHE_STRING] = &string_type,
    [CACHE_LIST] = &cache_list_type,
    [CACHE_SET] = &cache_set_type,
    [CACHE_ZSET] = &cache_zset_type,
    [CACHE_HASH] = &cache_hash_type,
};
