/* The keyspace of the cache against a plain array of keys: random sets, growth in place, reads, deletes, expiry, renames,
 * FLUSHDB and SWAPDB on a virtual clock, with a small memory limit, under every eviction policy, and with policies and limits
 * that change. Snapshots run beside it and must see each key as it was when they began, exactly once. After each step the
 * store checks itself, and every byte in use is accounted for. */
#include <assert.h>
#include <string.h>

#include "cache/store/store.h"
#include "tests/support/seed.h"

#define KEYS      160
#define DATABASES 3
#define STEPS     15000 /* a policy */
#define LENT_MAX  4
#define LIMIT     (UINT64_C(768) << 10)

struct model_key {
    bool present;
    uint8_t *bytes;
    uint64_t length;
    uint64_t expires_ms; /* 0: never */
};

/* What a snapshot must write. */
struct image {
    bool wanted, written;
    uint64_t sum;
};

static struct cache_store store;
static struct mr_random random_numbers;
static struct model_key model[DATABASES][KEYS];
static uint64_t now_ms;
/* Pieces of values that replies hold: their bytes stay what they were. */
static struct lent {
    struct cache_extent *extent;
    struct mr_span piece;
    uint64_t sum;
} lent[LENT_MAX];
static uint64_t evictions, expiries, snapshots, changes_told, refused;

static uint32_t below(uint32_t bound)
{
    return mr_random_below(&random_numbers, bound);
}

/* Keys of different lengths: every seventh is long. */
static struct mr_span key_of(unsigned n)
{
    static char text[300];
    size_t length = (size_t)snprintf(text, sizeof text, "key:%u", n);
    if (n % 7 == 0) {
        memset(text + length, 'x', 190);
        length += 190;
    }
    return (struct mr_span){(const uint8_t *)text, length};
}

static unsigned number_of(struct mr_span key)
{
    unsigned n = 0;
    for (size_t i = 4; i < key.length && key.data[i] != 'x'; i++)
        n = n * 10 + key.data[i] - '0';
    return n;
}

static uint64_t sum_of(const uint8_t *p, uint64_t n)
{
    uint64_t sum = 14695981039346656037u + n;
    for (uint64_t i = 0; i < n; i++)
        sum = (sum ^ p[i]) * 1099511628211u;
    return sum;
}

static bool dead(const struct model_key *m)
{
    return m->expires_ms && m->expires_ms <= now_ms;
}

static void model_set(struct model_key *m, const void *bytes, uint64_t length)
{
    uint8_t *copy = malloc(length + 1);
    memcpy(copy, bytes, length);
    free(m->bytes);
    *m = (struct model_key){.present = true, .bytes = copy, .length = length};
}

static void model_remove(struct model_key *m)
{
    free(m->bytes);
    *m = (struct model_key){0};
}

/* The bytes of an entry, whatever they lie in. */
static uint8_t *bytes_of(const struct cache_entry *e, uint64_t *length)
{
    char digits[24];
    *length = cache_string_length(e);
    uint8_t *all = malloc(*length + 1);
    for (uint64_t at = 0; at < *length;) {
        struct mr_span piece = cache_string_at(e, at, digits, NULL);
        assert(piece.length);
        memcpy(all + at, piece.data, piece.length);
        at += piece.length;
    }
    return all;
}

static void compare(const struct cache_entry *e, const struct model_key *m)
{
    uint64_t length;
    uint8_t *all = bytes_of(e, &length);
    assert(length == m->length && memcmp(all, m->bytes, length) == 0);
    assert(cache_entry_expires_ms(e) == m->expires_ms);
    free(all);
}

/* Snapshots */

static struct image images[DATABASES][KEYS];
static bool snapshot_runs;
static uint8_t snapshot_color_database[CACHE_DATABASES];
static unsigned snapshot_color;
static uint64_t snapshot_cursor, snapshot_begin_ms;

static void snapshot_write(struct cache_entry *e)
{
    unsigned n = number_of(cache_entry_key(e)), database = snapshot_color_database[e->database];
    struct image *image = &images[database][n];
    uint64_t length, expires_ms = cache_entry_expires_ms(e);
    if (expires_ms && expires_ms <= snapshot_begin_ms)
        return;
    uint8_t *all = bytes_of(e, &length);
    assert(image->wanted && !image->written && image->sum == sum_of(all, length) + expires_ms);
    image->written = true;
    free(all);
}

static void snapshot_scanned(void *item, void *argument)
{
    struct cache_entry *e = item;
    if (e->snapshot == store.snapshot_epoch)
        return;
    snapshot_write(e);
    e->snapshot = store.snapshot_epoch;
}

static void snapshot_begin(void)
{
    static uint8_t epoch;
    epoch = epoch == UINT8_MAX ? 1 : epoch + 1;
    store.snapshot_epoch = epoch;
    memcpy(snapshot_color_database, store.color_database, sizeof snapshot_color_database);
    for (unsigned d = 0; d < DATABASES; d++)
        for (unsigned n = 0; n < KEYS; n++) {
            const struct model_key *m = &model[d][n];
            images[d][n] = (struct image){.wanted = m->present && !dead(m)};
            if (images[d][n].wanted)
                images[d][n].sum = sum_of(m->bytes, m->length) + m->expires_ms;
        }
    snapshot_runs = true;
    snapshot_color = 0;
    snapshot_cursor = 0;
    snapshot_begin_ms = now_ms;
}

static void snapshot_end(void)
{
    for (unsigned d = 0; d < DATABASES; d++)
        for (unsigned n = 0; n < KEYS; n++)
            assert(images[d][n].wanted == images[d][n].written);
    store.snapshot_epoch = 0;
    snapshot_runs = false;
    snapshots++;
}

static void snapshot_step(void)
{
    if (!snapshot_runs) {
        snapshot_begin();
        return;
    }
    if (snapshot_color < CACHE_DATABASES) {
        snapshot_cursor = cache_table_scan(&store.database[store.color_database[snapshot_color]], snapshot_cursor,
                                           snapshot_scanned, NULL);
        snapshot_color += !snapshot_cursor;
    } else if (!cache_store_flushing(&store)) {
        snapshot_end();
    }
}

/* What the store tells */

static void on_changed(void *owner, unsigned database, struct mr_span key)
{
    assert(database < DATABASES && number_of(key) < KEYS);
    changes_told++;
}

static void on_removed(void *owner, unsigned database, struct mr_span key, bool expired)
{
    struct model_key *m = &model[database][number_of(key)];
    assert(m->present && (!expired || dead(m)));
    expired ? expiries++ : evictions++;
    model_remove(m);
}

static void on_before_change(void *owner, struct cache_entry *e)
{
    assert(snapshot_runs);
    snapshot_write(e);
}

/* Time and room */

static void turn(uint64_t ms)
{
    cache_store_background(&store);
    now_ms += ms;
    cache_store_turn(&store, now_ms);
}

/* As a command does: again and again until it is told. False: never. */
static bool reserve(uint64_t bytes)
{
    for (unsigned turns = 0;; turns++) {
        enum cache_room room = cache_store_reserve(&store, bytes);
        assert(turns < 10000);
        if (room == CACHE_ROOM_READY) {
            assert(store.memory.used + bytes <= store.limit);
            return true;
        }
        refused += room == CACHE_ROOM_NEVER;
        if (room == CACHE_ROOM_NEVER)
            return false;
        turn(0);
    }
}

static struct model_key *random_key(unsigned *database, unsigned *n)
{
    *database = below(DATABASES);
    *n = below(below(2) ? KEYS : KEYS / 8);
    return &model[*database][*n];
}

/* The entry of a key that must be there when the model says so; the model learns what died. */
static struct cache_entry *entry_of(unsigned database, unsigned n)
{
    struct cache_entry *e = cache_store_write(&store, database, key_of(n));
    assert((e != NULL) == model[database][n].present);
    return e;
}

/* Values */

static uint8_t buffer[400000];

static uint64_t random_length(void)
{
    switch (below(12)) {
    case 0:
        return 0;
    case 1:
        return 150 + below(60); /* around what is embedded */
    case 2:
        return below(5000);
    case 3:
        return CACHE_EXTENT_BYTES - 2 + below(4);
    case 4:
        return below(12) ? below(70000) : below(400000);
    default:
        return below(100);
    }
}

static struct mr_span random_value(void)
{
    uint64_t length = random_length();
    for (uint64_t i = 0; i < length; i += 8) {
        uint64_t word = mr_random_next(&random_numbers);
        memcpy(buffer + i, &word, length - i < 8 ? length - i : 8);
    }
    return (struct mr_span){buffer, length};
}

/* Steps */

static void step_set(void)
{
    unsigned database, n;
    struct model_key *m = random_key(&database, &n);
    struct mr_span value = random_value(), key = key_of(n);
    if (below(4) == 0)
        value.length =
            (size_t)snprintf((char *)buffer, sizeof buffer, below(8) ? "%d" : "0%d", (int)below(2000) - 1000);
    if (!reserve(cache_store_string_cost(&store, key.length, value.length)))
        return;
    struct cache_entry *e = cache_store_set(&store, database, key, value);
    assert(e);
    model_set(m, value.data, value.length);
    compare(e, m);
}

static void step_set_rope(void)
{
    unsigned database, n;
    struct model_key *m = random_key(&database, &n);
    struct mr_span value = random_value(), key = key_of(n);
    unsigned all = UINT32_MAX;
    if (!reserve(2 * cache_store_string_cost(&store, key.length, value.length) + 200000))
        return;
    struct cache_rope *rope = cache_rope_create(&store.memory);
    assert(rope);
    for (uint64_t at = 0; at < value.length; at += 10000) {
        bool appended = cache_rope_append(rope, value.data + at, value.length - at < 10000 ? value.length - at : 10000);
        assert(appended);
    }
    struct cache_entry *e = cache_store_set_rope(&store, database, key, rope);
    assert(e || !cache_rope_free_step(rope, &all));
    model_set(m, value.data, value.length);
    compare(e, m);
}

static void step_set_integer(void)
{
    unsigned database, n;
    struct model_key *m = random_key(&database, &n);
    int64_t value = (int64_t)(mr_random_next(&random_numbers) >> below(64)) * (below(2) ? 1 : -1), read;
    char text[24];
    if (!reserve(cache_store_string_cost(&store, 200, 20)))
        return;
    struct cache_entry *e = entry_of(database, n);
    uint64_t expires_ms = m->expires_ms;
    bool keep = e && below(2);
    e = keep ? cache_store_replace_integer(&store, e, value)
             : cache_store_set_integer(&store, database, key_of(n), value);
    assert(e && cache_string_integer(e, &read) && read == value);
    model_set(m, text, (uint64_t)snprintf(text, sizeof text, "%lld", (long long)value));
    m->expires_ms = keep ? expires_ms : 0;
    compare(e, m);
}

/* SETRANGE and APPEND. */
static void step_grow(void)
{
    unsigned database, n;
    struct model_key *m = random_key(&database, &n);
    struct cache_entry *e = entry_of(database, n);
    if (!e)
        return;
    uint64_t length = cache_string_length(e);
    struct mr_span value = random_value();
    value.length = value.length > 20000 ? 20000 : value.length;
    uint64_t offset = below(2) ? length : below((uint32_t)length + 200), end = offset + value.length;
    if (end > sizeof buffer || !reserve(cache_store_grow_cost(e, end) + value.length))
        return;
    if (!(e = entry_of(database, n))) /* evicted for it */
        return;
    e = cache_store_grow(&store, e, end);
    assert(e);
    bool written = cache_store_write_at(&store, e, offset, value.data, value.length);
    assert(written);
    cache_store_changed(&store, database, key_of(n));
    uint64_t grown = end > length ? end : length;
    m->bytes = realloc(m->bytes, grown + 1);
    memset(m->bytes + length, 0, grown - length);
    memcpy(m->bytes + offset, value.data, value.length);
    m->length = grown;
    compare(e, m);
}

static void step_replace(void)
{
    unsigned database, n;
    struct model_key *m = random_key(&database, &n);
    struct mr_span value = random_value();
    if (!reserve(cache_store_string_cost(&store, 200, value.length)))
        return;
    struct cache_entry *e = entry_of(database, n);
    if (!e)
        return;
    uint64_t expires_ms = m->expires_ms;
    e = cache_store_replace(&store, e, value);
    assert(e);
    model_set(m, value.data, value.length);
    m->expires_ms = expires_ms;
    compare(e, m);
}

static void step_read(void)
{
    unsigned database, n;
    struct model_key *m = random_key(&database, &n);
    const struct cache_entry *e = cache_store_read(&store, database, key_of(n));
    assert((e != NULL) == m->present);
    if (e)
        compare(e, m);
}

static void step_delete(void)
{
    unsigned database, n;
    struct model_key *m = random_key(&database, &n);
    bool there = m->present && !dead(m), deleted = cache_store_delete(&store, database, key_of(n));
    assert(deleted == there);
    model_remove(m);
}

static void step_expire(void)
{
    unsigned database, n;
    struct model_key *m = random_key(&database, &n);
    if (!reserve(CACHE_EXPIRY_COST))
        return;
    struct cache_entry *e = entry_of(database, n);
    if (!e)
        return;
    uint64_t at_ms = below(4) ? now_ms + 1 + below(3000) : 0;
    e = at_ms ? cache_store_expire_at(&store, e, at_ms) : cache_store_persist(&store, e);
    assert(e);
    m->expires_ms = at_ms;
    compare(e, m);
}

static void step_memcached(void)
{
    unsigned database, n;
    struct model_key *m = random_key(&database, &n);
    if (!reserve(CACHE_EXPIRY_COST))
        return;
    struct cache_entry *e = entry_of(database, n);
    if (!e)
        return;
    e = cache_store_memcached(&store, e);
    assert(e);
    uint64_t cas = cache_entry_memcached(e)->cas;
    cache_store_changed(&store, database, key_of(n));
    assert(cache_entry_memcached(e)->cas > cas);
    compare(e, m);
}

static void step_rename(void)
{
    unsigned from_database, from, to_database, to;
    struct model_key *m = random_key(&from_database, &from), *target = random_key(&to_database, &to);
    struct cache_taken taken;
    if (m == target || !reserve(cache_store_string_cost(&store, 200, CACHE_EMBEDDED_MAX + 1)))
        return;
    bool there = m->present && !dead(m), took = cache_store_take(&store, from_database, key_of(from), &taken);
    assert(took == there && !m->present == !took);
    if (!took)
        return;
    if (below(8) == 0) {
        cache_store_discard(&store, &taken);
        model_remove(m);
        return;
    }
    struct model_key moved = *m;
    *m = (struct model_key){0};
    bool put = cache_store_put(&store, to_database, key_of(to), &taken);
    assert(put);
    model_remove(target);
    *target = moved;
    compare(cache_store_peek(&store, to_database, key_of(to)), target);
}

static void step_databases(void)
{
    unsigned a = below(DATABASES), b = below(DATABASES);
    if (below(3) == 0) {
        cache_store_flush(&store, a);
        for (unsigned n = 0; n < KEYS; n++)
            model_remove(&model[a][n]);
        return;
    }
    cache_store_swap(&store, a, b);
    for (unsigned n = 0; a != b && n < KEYS; n++) {
        struct model_key exchanged = model[a][n];
        model[a][n] = model[b][n];
        model[b][n] = exchanged;
    }
}

static void lent_drop(struct lent *l)
{
    if (!l->extent)
        return;
    assert(sum_of(l->piece.data, l->piece.length) == l->sum);
    cache_extent_drop(l->extent);
    l->extent = NULL;
}

/* A reply on its way holds a piece of a value that may be changed or go. */
static void step_lend(void)
{
    unsigned database, n;
    struct lent *l = &lent[below(LENT_MAX)];
    const struct model_key *m = random_key(&database, &n);
    char digits[24];
    lent_drop(l);
    const struct cache_entry *e = cache_store_peek(&store, database, key_of(n));
    assert((e != NULL) == (m->present && !dead(m)));
    if (e && cache_string_length(e))
        l->piece = cache_string_at(e, below((uint32_t)cache_string_length(e)), digits, &l->extent);
    if (!l->extent)
        return;
    cache_extent_hold(l->extent);
    l->sum = sum_of(l->piece.data, l->piece.length);
}

static void step_settings(void)
{
    if (below(2)) {
        cache_store_set_limit(&store, LIMIT / 2 + below((uint32_t)LIMIT));
        return;
    }
    unsigned policies = 0;
    while (cache_evict_policies[policies])
        policies++;
    bool set = cache_store_set_policy(&store, cache_evict_policies[below(policies)]);
    assert(set);
}

static void (*const steps[])(void) = {
    step_set,  step_set,     step_set,    step_set,       step_set_rope, step_set_integer, step_grow,
    step_grow, step_read,    step_read,   step_read,      step_delete,   step_expire,      step_expire,
    step_lend, step_replace, step_rename, step_memcached, snapshot_step, snapshot_step,    snapshot_step,
};

static void sum_entry(void *item, void *argument)
{
    *(uint64_t *)argument += cache_entry_bytes(&store, item);
}

/* With nothing lent and no trash, what is in use is what the entries and the tables take. */
static void account(void)
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < LENT_MAX; i++)
        lent_drop(&lent[i]);
    while (cache_store_background(&store))
        cache_store_turn(&store, now_ms);
    for (unsigned d = 0; d < CACHE_DATABASES; d++) {
        cache_table_each(&store.database[d], sum_entry, &bytes);
        bytes += cache_table_bytes(&store.database[d]);
    }
    assert(bytes == store.memory.used);
}

static void compare_all(void)
{
    for (unsigned d = 0; d < DATABASES; d++) {
        uint64_t present = 0;
        for (unsigned n = 0; n < KEYS; n++) {
            const struct cache_entry *e = cache_store_peek(&store, d, key_of(n));
            assert((e != NULL) == (model[d][n].present && !dead(&model[d][n])));
            present += model[d][n].present;
            if (e)
                compare(e, &model[d][n]);
        }
        assert(present == store.database[d].count);
    }
}

static void run(const char *policy)
{
    static const uint64_t secret[2] = {3, 4};
    bool fixed = true, ok = cache_store_init(&store, LIMIT, policy, secret, mr_random_next(&random_numbers));
    assert(ok);
    store.listener = (struct cache_store_listener){on_changed, on_removed, on_before_change, NULL};
    cache_store_turn(&store, now_ms);
    for (unsigned i = 0; i < STEPS; i++) {
        if (i == STEPS / 2)
            fixed = false;
        steps[below(sizeof steps / sizeof steps[0])]();
        if (below(200) == 0)
            step_databases();
        if (!fixed && below(50) == 0)
            step_settings();
        if (below(4) == 0)
            turn(below(40));
        cache_store_check(&store);
        assert(store.memory.used <= store.memory.limit && (!fixed || store.memory.used <= LIMIT));
        if (i % 500 == 0) {
            account();
            compare_all();
        }
    }
    account();
    for (unsigned d = 0; d < DATABASES; d++)
        for (unsigned n = 0; n < KEYS; n++)
            model_remove(&model[d][n]);
    for (unsigned d = 0; d < DATABASES; d++)
        cache_store_flush(&store, d);
    account();
    assert(store.memory.used == 0);
    store.snapshot_epoch = 0;
    snapshot_runs = false;
    cache_store_release(&store);
}

int main(void)
{
    mr_random_seed(&random_numbers, support_seed("model-cache_store"));
    now_ms = UINT64_C(1700000000000) + below(1000000);
    for (const struct cache_evict_policy *const *p = cache_evict_policies; *p; p++) {
        printf("%s\n", (*p)->name);
        fflush(stdout);
        run((*p)->name);
    }
    printf("%" PRIu64 " evicted, %" PRIu64 " expired, %" PRIu64 " refused, %" PRIu64 " snapshots, %" PRIu64
           " changes\n",
           evictions, expiries, refused, snapshots, changes_told);
    fflush(stdout);
    assert(evictions > 1000 && expiries > 200 && snapshots > 100);
    return 0;
}
