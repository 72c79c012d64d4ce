/* The hash table of the cache against a plain array: random inserts, removes, replacements and finds while it grows and
 * shrinks, with and without memory. Beside them a scan runs all the time: an item present from its begin to its end must
 * be returned. After every step of note the table checks itself, and in the end no byte is left. */
#include <assert.h>
#include <string.h>

#include "cache/store/table.h"
#include "tests/support/seed.h"

#define ITEMS 24000 /* more than one segment of buckets */
#define STEPS 1500000

struct item {
    uint32_t number; /* the key */
    bool present;
    bool due; /* in the table since the scan began, and not returned yet */
};

static struct item items[ITEMS], twins[ITEMS]; /* a twin takes its item's place when it moves */
static bool moved[ITEMS];
static uint32_t present_count;
static struct memory memory;
static struct cache_table table;
static struct mr_random random_numbers;
static const uint64_t secret[2] = {0x0123456789abcdef, 0xfedcba9876543210};

static struct mr_span item_key(const void *item)
{
    const struct item *i = item;
    return (struct mr_span){(const uint8_t *)&i->number, sizeof i->number};
}

static const struct cache_table_type type = {item_key};

static struct item *current(uint32_t n)
{
    return moved[n] ? &twins[n] : &items[n];
}

static uint64_t hash_of(uint32_t n)
{
    return cache_table_hash(&table, &n, sizeof n);
}

static void find(uint32_t n)
{
    void *found = cache_table_find(&table, hash_of(n), &n, sizeof n);
    assert(found == (items[n].present ? current(n) : NULL));
}

static void insert(uint32_t n)
{
    if (items[n].present)
        return;
    uint64_t cost = cache_table_insert_cost(&table, 1), used = memory.used, room = memory_room(&memory);
    bool inserted = cache_table_insert(&table, hash_of(n), current(n));
    assert(inserted || room < cost);
    assert(memory.used <= used + cost);
    items[n].present = inserted;
    present_count += inserted;
}

static void removed(uint32_t n)
{
    items[n].present = items[n].due = false;
    present_count--;
}

static void erase(uint32_t n)
{
    void *item = cache_table_remove(&table, hash_of(n), &n, sizeof n);
    assert(item == (items[n].present ? current(n) : NULL));
    if (item)
        removed(n);
}

static void move(uint32_t n)
{
    if (!items[n].present)
        return;
    struct item *old = current(n);
    moved[n] = !moved[n];
    cache_table_replace(&table, hash_of(n), old, current(n));
}

/* The scan */

static uint64_t cursor;
static unsigned scans_done;
static uint32_t buckets_most;
static bool scan_removes;

static void scanned(void *item, void *argument)
{
    uint32_t n = ((struct item *)item)->number;
    assert(items[n].present && item == current(n));
    items[n].due = false;
    if (scan_removes && mr_random_below(&random_numbers, 4) == 0)
        erase(n);
}

static void scan(void)
{
    if (!cursor)
        for (uint32_t n = 0; n < ITEMS; n++)
            items[n].due = items[n].present;
    scan_removes = mr_random_below(&random_numbers, 8) == 0;
    cursor = cache_table_scan(&table, cursor, scanned, NULL);
    if (cursor)
        return;
    for (uint32_t n = 0; n < ITEMS; n++)
        assert(!items[n].due);
    scans_done++;
}

static void pick_random(void)
{
    struct item *item = cache_table_random(&table, &random_numbers);
    assert((item == NULL) == (present_count == 0));
    assert(!item || (items[item->number].present && item == current(item->number)));
}

static void step(uint32_t range, unsigned insert_percent)
{
    uint32_t n = mr_random_below(&random_numbers, range);
    unsigned what = mr_random_below(&random_numbers, 100);
    if (what < 60)
        mr_random_below(&random_numbers, 100) < insert_percent ? insert(n) : erase(n);
    else if (what < 75)
        find(n);
    else if (what < 80)
        move(n);
    else if (what < 82)
        pick_random();
    else
        scan();
}

static void count_item(void *item, void *argument)
{
    ++*(uint32_t *)argument;
}

static void check(void)
{
    uint32_t counted = 0;
    cache_table_check(&table);
    buckets_most = table.buckets > buckets_most ? table.buckets : buckets_most;
    cache_table_each(&table, count_item, &counted);
    assert(table.count == present_count && counted == present_count);
    assert(cache_table_bytes(&table) == memory.used);
}

static void free_item(void *item, void *argument)
{
    uint32_t n = ((struct item *)item)->number;
    assert(items[n].present);
    removed(n);
}

/* To the end, in steps of a random budget that is never passed. */
static void take_apart(void)
{
    bool done;
    do {
        unsigned given = 1 + mr_random_below(&random_numbers, 100), budget = given;
        uint32_t before = present_count;
        done = cache_table_free_step(&table, &budget, free_item, NULL);
        assert(budget <= given && before - present_count <= given - budget);
    } while (!done);
    assert(present_count == 0 && memory.used == 0);
    cache_table_init(&table, &memory, &type, secret);
    cursor = 0;
}

int main(void)
{
    mr_random_seed(&random_numbers, support_seed("model-cache_table"));
    bool ok = memory_init(&memory, UINT64_C(64) << 20, UINT64_MAX);
    assert(ok);
    cache_table_init(&table, &memory, &type, secret);
    for (uint32_t n = 0; n < ITEMS; n++)
        items[n].number = twins[n].number = n;
    uint32_t range = ITEMS;
    unsigned percent = 90;
    for (unsigned i = 0; i < STEPS; i++) {
        if (i % 20000 == 0) { /* another phase: other keys, growing or shrinking, memory scarce or not */
            static const uint32_t ranges[] = {10, 100, 3000, ITEMS, ITEMS, ITEMS};
            static const unsigned percents[] = {5, 20, 50, 80, 95, 100};
            range = ranges[mr_random_below(&random_numbers, 6)];
            percent = percents[mr_random_below(&random_numbers, 6)];
            memory.limit = mr_random_below(&random_numbers, 4) ? UINT64_MAX
                                                               : memory.used + mr_random_below(&random_numbers, 100000);
        }
        step(range, percent);
        if (i % 4096 == 0 || (table.count < 50 && i % 64 == 0))
            check();
        if (i % 250000 == 249999)
            take_apart();
    }
    check();
    memory.limit = UINT64_MAX;
    for (uint32_t n = 0; n < ITEMS; n++)
        erase(n);
    assert(table.count == 0 && memory.used == 0);
    printf("%u scans ended, %u buckets at most\n", scans_done, buckets_most);
    assert(scans_done > 20 && buckets_most > 1100);
    memory_release(&memory);
    return 0;
}
