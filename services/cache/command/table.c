/* All commands: found by name through a hash that is filled before main and never changes. */
#include <ctype.h>
#include <string.h>

#include "cache/command/table.h"

const struct cache_command *const cache_command_tables[] = {
    cache_commands_string, cache_commands_hash,       cache_commands_list,
    cache_commands_set,    cache_commands_zset,       cache_commands_key,
    cache_commands_bit,    cache_commands_scan,       cache_commands_sort,
    cache_commands_pubsub, cache_commands_connection, cache_commands_transaction,
    cache_commands_server, cache_commands_memcached,  NULL,
};
#define TABLES (sizeof cache_command_tables / sizeof *cache_command_tables - 1)

#define SLOTS 1024 /* a power of two, several times the number of commands */

static const struct cache_command *slots[SLOTS];
static unsigned first_index[TABLES + 1];

static inline uint32_t name_hash(const uint8_t *name, size_t n)
{
    uint64_t h = n;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (name[i] | 0x20u)) * 0x9e3779b97f4a7c15u;
    return (uint32_t)(h >> 40) & (SLOTS - 1);
}

__attribute__((constructor)) static void slots_fill(void)
{
    for (unsigned t = 0; t < TABLES; t++) {
        const struct cache_command *c = cache_command_tables[t];
        for (; c->name; c++) {
            uint32_t slot = name_hash((const uint8_t *)c->name, strlen(c->name));
            while (slots[slot])
                slot = (slot + 1) & (SLOTS - 1);
            slots[slot] = c;
        }
        first_index[t + 1] = first_index[t] + (unsigned)(c - cache_command_tables[t]);
    }
}

/* Names are small letters, digits, '_' and '|': what differs in the bit of small letters alone is a letter. */
static inline bool same_name(const char *name, const uint8_t *text, size_t n)
{
    for (size_t i = 0; i < n; i++) /* what was sent may have zeros in it */
        if (!name[i] ||
            (name[i] != (char)text[i] && !(name[i] >= 'a' && name[i] <= 'z' && name[i] == (char)(text[i] | 0x20))))
            return false;
    return name[n] == 0;
}

const struct cache_command *cache_command_find(const void *name, size_t n)
{
    if (n == 0 || n > CACHE_COMMAND_NAME_MAX)
        return NULL;
    for (uint32_t slot = name_hash(name, n); slots[slot]; slot = (slot + 1) & (SLOTS - 1))
        if (same_name(slots[slot]->name, name, n))
            return slots[slot];
    return NULL;
}

const struct cache_command *cache_subcommand_find(const struct cache_command *container, const void *name, size_t n)
{
    for (const struct cache_command *c = container->subcommands; c && c->name; c++)
        if (n <= CACHE_COMMAND_NAME_MAX && same_name(c->name, name, n))
            return c;
    return NULL;
}

unsigned cache_command_count(void)
{
    return first_index[TABLES];
}

const struct cache_command *cache_command_at(unsigned index)
{
    for (unsigned t = 0; t < TABLES; t++)
        if (index < first_index[t + 1])
            return cache_command_tables[t] + (index - first_index[t]);
    return NULL;
}

int cache_command_index(const struct cache_command *c)
{
    for (unsigned t = 0; t < TABLES; t++)
        if (c >= cache_command_tables[t] && c < cache_command_tables[t] + (first_index[t + 1] - first_index[t]))
            return (int)(first_index[t] + (unsigned)(c - cache_command_tables[t]));
    return -1;
}

int cache_command_keys(const struct cache_command *c, const struct cache_argument *argv, unsigned argc,
                       unsigned *positions, unsigned max)
{
    if (c->flags & CACHE_MOVABLE_KEYS && c->keys)
        return c->keys(argv, argc, positions, max);
    if (!c->first_key)
        return 0;
    int last = c->last_key < 0 ? (int)argc + c->last_key : c->last_key, n = 0;
    for (int i = c->first_key; i <= last && i < (int)argc && n < (int)max; i += c->key_step)
        positions[n++] = (unsigned)i;
    return n;
}
