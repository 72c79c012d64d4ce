/* Most of it is told by flags and groups; the rest is written out. */
#include "cache/command/category.h"

#include <string.h>

#include "cache/command/table.h"

#define CATEGORIES(X)             \
    X(KEYSPACE, "keyspace")       \
    X(READ, "read")               \
    X(WRITE, "write")             \
    X(SET, "set")                 \
    X(SORTEDSET, "sortedset")     \
    X(LIST, "list")               \
    X(HASH, "hash")               \
    X(STRING, "string")           \
    X(BITMAP, "bitmap")           \
    X(HYPERLOGLOG, "hyperloglog") \
    X(GEO, "geo")                 \
    X(STREAM, "stream")           \
    X(PUBSUB, "pubsub")           \
    X(ADMIN, "admin")             \
    X(FAST, "fast")               \
    X(SLOW, "slow")               \
    X(BLOCKING, "blocking")       \
    X(DANGEROUS, "dangerous")     \
    X(CONNECTION, "connection")   \
    X(TRANSACTION, "transaction") \
    X(SCRIPTING, "scripting")

#define POSITION(symbol, name) symbol##_POSITION,
enum { CATEGORIES(POSITION) };
#define BIT(symbol, name) symbol = 1 << symbol##_POSITION,
enum { CATEGORIES(BIT) };
#define NAME(symbol, name) name,
const char *const cache_category_names[] = {CATEGORIES(NAME) NULL};

static const struct {
    const char *group;
    uint32_t category;
} groups[] = {{"generic", KEYSPACE},
              {"string", STRING},
              {"bitmap", BITMAP},
              {"hash", HASH},
              {"list", LIST},
              {"set", SET},
              {"sorted set", SORTEDSET},
              {"connection", CONNECTION},
              {"transactions", TRANSACTION}};

static const struct {
    uint32_t flag, category;
} flags[] = {{CACHE_READONLY, READ},           {CACHE_WRITE, WRITE},       {CACHE_PUBSUB, PUBSUB},
             {CACHE_ADMIN, ADMIN | DANGEROUS}, {CACHE_BLOCKING, BLOCKING}, {CACHE_FAST, FAST}};

/* What neither flags nor groups say. */
static const struct {
    const char *name;
    uint32_t more, less;
} exceptions[] = {{"keys", DANGEROUS, 0},
                  {"object", 0, KEYSPACE},
                  {"sort", SET | SORTEDSET | LIST | DANGEROUS, KEYSPACE},
                  {"sort_ro", SET | SORTEDSET | LIST | DANGEROUS, KEYSPACE},
                  {"client", 0, CONNECTION},
                  {"dbsize", KEYSPACE, 0},
                  {"flushall", KEYSPACE | DANGEROUS, 0},
                  {"flushdb", KEYSPACE | DANGEROUS, 0},
                  {"swapdb", KEYSPACE | DANGEROUS, 0},
                  {"info", DANGEROUS, 0},
                  {"lastsave", ADMIN | DANGEROUS, 0},
                  {"role", ADMIN | DANGEROUS, 0},
                  {"wait", CONNECTION, KEYSPACE},
                  {"readonly", CONNECTION, 0},
                  {"readwrite", CONNECTION, 0},
                  {"asking", CONNECTION, 0}};

uint32_t cache_command_categories(const struct cache_command *c)
{
    uint32_t categories = c->flags & CACHE_FAST ? 0 : SLOW;
    for (unsigned i = 0; i < sizeof flags / sizeof *flags; i++)
        if (c->flags & flags[i].flag)
            categories |= flags[i].category;
    for (unsigned i = 0; c->group && i < sizeof groups / sizeof *groups; i++)
        if (!strcmp(c->group, groups[i].group))
            categories |= groups[i].category;
    if (cache_command_index(c) < 0)
        return categories; /* a subcommand, whatever its name */
    for (unsigned i = 0; i < sizeof exceptions / sizeof *exceptions; i++)
        if (!strcmp(c->name, exceptions[i].name))
            categories = (categories | exceptions[i].more) & ~exceptions[i].less;
    return categories;
}
