/* The HTTP cache against a model that keeps everything in a list and knows no memory: random requests that overlap, responses in pieces, validations,
 * time, purges. With room for all both must agree on every answer; with little room the cache may have less, but nothing that the model
 * does not have, and never more memory than it was given. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/hcache_world.h"
#include "tests/support/seed.h"

#define URLS     6
#define VALUES   3 /* of the field that Vary names */
#define TAGS     3
#define ASKS     10
#define ENTRIES  4096
#define STEPS    30000
#define BODY_MAX (5 * HCACHE_BLOCK_BYTES)

/* What the origin says: the model knows these as numbers, the cache reads the text. */
static const struct kind {
    const char *fields;
    int64_t lifetime, stale_while;
    bool kept, always, strict, varies;
    unsigned tags;
    bool validator;
} kinds[] = {
    {"Cache-Control: max-age=20\r\n", 20, 0, true, false, false, false, 0, false},
    {"Cache-Control: max-age=20\r\nETag: \"%u\"\r\n", 20, 0, true, false, false, false, 0, true},
    {"Cache-Control: max-age=20, stale-while-revalidate=20\r\nETag: \"%u\"\r\n", 20, 20, true, false, false, false, 0,
     true},
    {"Cache-Control: max-age=30\r\nVary: X-A\r\nETag: \"%u\"\r\n", 30, 0, true, false, false, true, 0, true},
    {"Cache-Control: max-age=30, must-revalidate\r\nVary: X-A\r\n", 30, 0, true, false, true, true, 0, false},
    {"Cache-Control: max-age=40\r\nCache-Tag: t0, t1\r\n", 40, 0, true, false, false, false, 3, false},
    {"Cache-Control: max-age=40\r\nSurrogate-Key: t1 t2\r\nETag: \"%u\"\r\nVary: X-A\r\n", 40, 0, true, false, false,
     true, 6, true},
    {"Cache-Control: no-cache\r\nETag: \"%u\"\r\n", 0, 0, true, true, false, false, 0, true},
    {"Cache-Control: private, max-age=20\r\n", 20, 0, false, false, false, false, 0, false},
    {"Cache-Control: no-store\r\n", 0, 0, false, false, false, false, 0, false},
    {"Cache-Control: max-age=20\r\nSet-Cookie: a=b\r\n", 20, 0, false, false, false, false, 0, false},
};
#define KINDS (sizeof kinds / sizeof *kinds)

struct stored {
    bool here;
    unsigned url, value, body;
    const struct kind *kind;
    int64_t at;
    uint64_t asked_at, outdated_at; /* counted in purges */
};

enum state { FREE, WAITS, CALLED, FETCHES, FILLS };

struct slot {
    enum state state;
    struct hcache_ask ask;
    unsigned url, value, body, given;
    uint64_t asked_at;
    int64_t asked; /* what comes is as old as this (RFC 9111 4.2.3) */
    const struct kind *kind;
    struct hcache_fill *fill;
    struct hcache_answer answer;
    /* what a purge in between did to it; `maybe`: one that may have hit it, as the cache knows URLs by slots of a table */
    bool overtaken, maybe;
};

static struct hcache_world world;
static struct stored list[ENTRIES]; /* in the order in which they were kept */
static unsigned count, bodies;
static uint64_t purges, soft_all, soft_tag[TAGS]; /* which purge was the last soft one */
static struct slot slots[ASKS];
static struct mr_random numbers;
static bool exact;
static unsigned long hits, stales, waits, stores, validations;

static uint32_t below(uint32_t n)
{
    return mr_random_below(&numbers, n);
}

static const char *target_of(unsigned url)
{
    static char text[URLS][8];
    snprintf(text[url], sizeof text[url], "/%u", url);
    return text[url];
}

/* The bytes of body `id`: its length and what is in it follow from its number. */
static size_t body_length(unsigned id)
{
    return id * 2654435761u % (id % 5 ? 600 : BODY_MAX);
}

static uint8_t body_byte(unsigned id, size_t at)
{
    return (uint8_t)(id * 31 + at * 7 + at / 509);
}

/* -- the model -------------------------------------------------------------------------------------------------------- */

static struct stored *model_find(unsigned url, unsigned value)
{
    for (unsigned i = count; i--;)
        if (list[i].here && list[i].url == url && (!list[i].kind->varies || list[i].value == value))
            return &list[i];
    return NULL;
}

static void model_keep(const struct slot *s)
{
    for (unsigned i = 0; i < count; i++)
        if (list[i].here && list[i].url == s->url &&
            (!s->kind->varies || !list[i].kind->varies || list[i].value == s->value))
            list[i].here = false;
    assert(count < ENTRIES);
    list[count++] = (struct stored){true, s->url, s->value, s->body, s->kind, s->asked, s->asked_at, 0};
}

static bool is_outdated(const struct stored *e)
{
    bool outdated = e->asked_at < e->outdated_at || e->asked_at < soft_all;
    for (unsigned t = 0; t < TAGS; t++)
        outdated |= (e->kind->tags >> t & 1) && e->asked_at < soft_tag[t];
    return outdated;
}

enum wish { ANYTHING, NO_CACHE, MAX_STALE, ONLY_IF_CACHED, WISHES };
static const char *const wishes[] = {"", "Cache-Control: no-cache\r\n", "Cache-Control: max-stale=5\r\n",
                                     "Cache-Control: only-if-cached\r\n"};

enum expected { SERVED, SERVED_STALE, ASKED, ASKED_OR_WAITS, NOTHING };

static enum expected model_answer(const struct stored *e, enum wish w)
{
    if (!e)
        return w == ONLY_IF_CACHED ? NOTHING : ASKED_OR_WAITS;
    int64_t age = world.now - e->at;
    bool outdated = is_outdated(e), fresh = age < e->kind->lifetime && !outdated;
    if (e->kind->always)
        return w == ONLY_IF_CACHED ? NOTHING : ASKED;
    if (w == NO_CACHE)
        return fresh ? ASKED : ASKED_OR_WAITS;
    if (fresh)
        return SERVED;
    if (!e->kind->strict) {
        if (w == MAX_STALE && !outdated && age - e->kind->lifetime <= 5)
            return SERVED;
        if ((outdated && age < e->kind->lifetime) ||
            (age >= e->kind->lifetime && age - e->kind->lifetime < e->kind->stale_while))
            return SERVED_STALE;
    }
    return w == ONLY_IF_CACHED ? NOTHING : ASKED_OR_WAITS;
}

/* -- the cache beside it ------------------------------------------------------------------------------------------------ */

/* Which body an entry has, by the mark that its head carries. */
static unsigned body_of(const struct hcache_entry *e)
{
    struct mr_span head = hcache_entry_head(e);
    const char *mark = memmem(head.data, head.length, "X-Body: ", 8);
    assert(mark);
    return (unsigned)strtoul(mark + 8, NULL, 10);
}

static void compare_body(const struct hcache_entry *e, unsigned id)
{
    uint64_t at = 0;
    assert(hcache_entry_length(e) == body_length(id));
    while (at < hcache_entry_length(e)) {
        struct mr_span piece = hcache_entry_body(e, at);
        assert(piece.length);
        for (size_t i = 0; i < piece.length; i++)
            assert(piece.data[i] == body_byte(id, at + i));
        at += piece.length;
    }
}

/* What the cache found must be what the model has. */
static void compare_entry(const struct slot *s, const struct stored *e)
{
    assert(e && body_of(s->ask.q.entry) == e->body);
    compare_body(s->ask.q.entry, e->body);
}

static bool another_fetches(const struct slot *s)
{
    for (unsigned i = 0; i < ASKS; i++)
        if (&slots[i] != s && slots[i].ask.q.fetches && slots[i].state != FREE && slots[i].url == s->url)
            return true;
    return false;
}

static void end(struct slot *s)
{
    hcache_end(&s->ask.q);
    hcache_end(&s->ask.q);
    s->state = FREE;
}

static void compare_verdict(const struct slot *s, enum hcache_verdict v, const struct stored *e, enum expected x)
{
    bool asked = v == HCACHE_MISS || v == HCACHE_VALIDATE;
    if (s->ask.q.entry)
        compare_entry(s, e);
    if (asked && s->ask.q.fetches)
        assert(!another_fetches(s));
    if (v == HCACHE_WAIT || v == HCACHE_BYPASS)
        assert(another_fetches(s));
    if (!exact && !s->ask.q.entry) { /* it may be gone: then only what needs no entry can come */
        assert(asked || v == HCACHE_WAIT || v == HCACHE_BYPASS || v == HCACHE_UNAVAILABLE);
        return;
    }
    switch (x) {
    case SERVED:
        assert(v == HCACHE_HIT);
        break;
    case SERVED_STALE:
        assert(v == HCACHE_STALE);
        break;
    case ASKED:
        assert(v == (e ? HCACHE_VALIDATE : HCACHE_MISS));
        break;
    case ASKED_OR_WAITS:
        assert(v == (e ? HCACHE_VALIDATE : HCACHE_MISS) || v == HCACHE_WAIT || v == HCACHE_BYPASS);
        break;
    case NOTHING:
        assert(v == HCACHE_UNAVAILABLE);
    }
}

static void look(struct slot *s, enum wish w)
{
    const struct stored *e = model_find(s->url, s->value);
    enum expected x = model_answer(e, w);
    enum hcache_verdict v = hcache_ask_lookup(&s->ask);
    compare_verdict(s, v, e, x);
    s->overtaken = s->maybe = false;
    s->asked = world.now;
    s->asked_at = purges;
    hits += v == HCACHE_HIT;
    stales += v == HCACHE_STALE;
    waits += v == HCACHE_WAIT;
    if (v == HCACHE_WAIT)
        s->state = WAITS;
    else if (v == HCACHE_MISS || v == HCACHE_VALIDATE || (v == HCACHE_STALE && s->ask.q.fetches))
        s->state = FETCHES;
    else
        end(s);
}

static void begin(struct slot *s)
{
    static const char *const values[VALUES] = {"X-A: 1\r\n", "X-A: 2\r\n", ""};
    char fields[128];
    enum wish w = below(4) ? ANYTHING : below(WISHES);
    s->url = below(URLS);
    s->value = below(VALUES);
    snprintf(fields, sizeof fields, "%s%s", values[s->value], wishes[w]);
    hcache_ask_make(&world, &s->ask, "GET", target_of(s->url), fields);
    s->ask.calls = 0;
    look(s, w);
}

static enum wish wish_of(const struct slot *s)
{
    for (enum wish w = NO_CACHE; w < WISHES; w++)
        if (strstr(s->ask.head, wishes[w]))
            return w;
    return ANYTHING;
}

static void respond_whole(struct slot *s)
{
    char fields[256], marked[300];
    s->kind = &kinds[below(below(3) ? 8 : KINDS)];
    s->body = ++bodies;
    s->given = 0;
    snprintf(fields, sizeof fields, s->kind->fields, s->body);
    snprintf(marked, sizeof marked, "%sX-Body: %u\r\n", fields, s->body);
    if (below(2))
        snprintf(marked + strlen(marked), 60, "Content-Length: %zu\r\n", body_length(s->body));
    hcache_answer_make(&s->answer, 200, marked, HTTP_GET);
    s->fill = hcache_fill_begin(&s->ask.q, &s->answer.response, (const uint8_t *)s->answer.head, world.now);
    if (s->fill) {
        assert(s->kind->kept);
        s->state = FILLS;
        return;
    }
    assert(!exact || !s->kind->kept || s->overtaken || s->maybe);
    /* What was validated is not what the origin has now. */
    struct stored *old = model_find(s->url, s->value);
    if (old && s->ask.q.entry && old->body == body_of(s->ask.q.entry))
        old->here = false;
    end(s);
}

static void respond_not_modified(struct slot *s)
{
    unsigned id = body_of(s->ask.q.entry);
    bool stale = s->ask.q.verdict == HCACHE_STALE;
    hcache_ask_validated(&s->ask, "X-Seen: yes\r\n");
    validations++;
    for (unsigned i = 0; i < count; i++) {
        if (!list[i].here || list[i].body != id)
            continue;
        if (s->overtaken || (s->maybe && s->ask.q.verdict == HCACHE_MISS) ||
            (stale && s->maybe && !s->ask.q.validated)) {
            list[i].here = false; /* the cache lets it go */
            continue;
        }
        list[i].at = s->asked;
        if (s->asked_at > list[i].asked_at)
            list[i].asked_at = s->asked_at;
    }
    if (!s->overtaken && !s->maybe)
        assert(s->ask.q.verdict == (stale ? HCACHE_STALE : HCACHE_HIT));
    if (s->ask.q.entry)
        compare_body(s->ask.q.entry, id);
    end(s);
}

static void respond(struct slot *s)
{
    const struct hcache_entry *e = s->ask.q.entry;
    if (below(10) == 0)
        end(s); /* the backend failed, or the client is gone */
    else if (e && hcache_entry_head(e).length && below(2) && memmem(e->head, e->head_length, "ETag", 4))
        respond_not_modified(s);
    else
        respond_whole(s);
}

static void fill_end(struct slot *s)
{
    hcache_fill_end(s->fill);
    bool kept = s->ask.q.stored;
    if (s->overtaken)
        assert(!kept);
    else if (!s->maybe)
        assert(kept);
    stores += kept;
    if (kept)
        model_keep(s);
    end(s);
}

static void fill(struct slot *s)
{
    uint8_t piece[BODY_MAX];
    size_t left = body_length(s->body) - s->given, n = below(4) ? left : below((uint32_t)left + 1);
    if (below(30) == 0) {
        hcache_fill_abort(s->fill);
        end(s);
        return;
    }
    for (size_t i = 0; i < n; i++)
        piece[i] = body_byte(s->body, s->given + i);
    if (n && !hcache_fill_append(s->fill, piece, n)) {
        assert(!exact);
        end(s);
        return;
    }
    s->given += (unsigned)n;
    if (s->given == body_length(s->body))
        fill_end(s);
}

/* What is on its way when a purge comes is not kept when it is of what is purged. */
static void overtake(int url, int tag)
{
    for (unsigned i = 0; i < ASKS; i++) {
        struct slot *s = &slots[i];
        if (s->state != FETCHES && s->state != FILLS)
            continue;
        bool same = url >= 0 ? s->url == (unsigned)url : tag < 0;
        s->overtaken |= same;
        if (tag >= 0 && s->state == FILLS && s->kind->tags >> tag & 1)
            s->overtaken = true;
        s->maybe = true;
    }
}

static uint64_t model_purge(int url, int tag, bool soft)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < count; i++) {
        struct stored *e = &list[i];
        if (!e->here || (url >= 0 && e->url != (unsigned)url) || (tag >= 0 && !(e->kind->tags >> tag & 1)))
            continue;
        n++;
        e->here = soft;
        if (url >= 0)
            e->outdated_at = purges;
    }
    return n;
}

static void purge(void)
{
    static const char *const tags[TAGS] = {"t0", "t1", "t2"};
    int url = -1, tag = -1;
    bool soft = below(2);
    uint64_t n, expected;
    purges++;
    switch (below(8)) {
    case 0:
        n = hcache_purge_all(world.cache, soft);
        break;
    case 1:
    case 2:
    case 3:
        tag = (int)below(TAGS);
        n = hcache_purge_tag(world.cache, hcache_span(tags[tag]), soft);
        break;
    default:
        url = (int)below(URLS);
        n = hcache_purge_url(world.cache, hcache_span("http"), hcache_span("a.example"),
                             hcache_span(target_of((unsigned)url)), soft);
    }
    if (soft && url < 0)
        *(tag < 0 ? &soft_all : &soft_tag[tag]) = purges;
    expected = model_purge(url, tag, soft);
    /* of a tag, and of all, the cache counts what other purges have killed and nobody has come upon since */
    if (exact && url >= 0)
        assert(n == expected);
    assert(!exact || n >= expected);
    if (!soft || url >= 0)
        overtake(url, tag);
    else
        for (unsigned i = 0; i < ASKS; i++)
            slots[i].maybe |= slots[i].state == FETCHES || slots[i].state == FILLS;
}

/* Whoever waits is waited for: somebody fetches, or it is about to be called. */
static void turn(void)
{
    fake_turn(world.worker);
    for (unsigned i = 0; i < ASKS; i++) {
        struct slot *s = &slots[i];
        if (s->state == WAITS && s->ask.calls)
            s->state = CALLED;
        assert(s->state != WAITS || another_fetches(s));
    }
}

static void step(void)
{
    struct slot *s = &slots[below(ASKS)];
    if (below(12) == 0)
        world.now += below(8);
    if (below(60) == 0)
        purge();
    switch (s->state) {
    case FREE:
        begin(s);
        break;
    case WAITS:
        if (below(20) == 0)
            end(s);
        break;
    case CALLED:
        s->ask.calls = 0;
        look(s, wish_of(s));
        break;
    case FETCHES:
        respond(s);
        break;
    case FILLS:
        fill(s);
    }
    turn();
    hcache_check(world.cache);
    assert(world.cache->pool.used <= world.cache->pool.count);
}

/* The list stays short: what is gone makes room. */
static void model_compact(void)
{
    unsigned n = 0;
    for (unsigned i = 0; i < count; i++)
        if (list[i].here)
            list[n++] = list[i];
    count = n;
}

static void run(uint64_t blocks, const char *policy, unsigned steps)
{
    const struct proxy_cache_config config = {.bytes = blocks * HCACHE_BLOCK_BYTES,
                                              .object_bytes_max = BODY_MAX,
                                              .policy = (char *)(uintptr_t)policy,
                                              .heuristic_max = 3600 * MR_SECOND,
                                              .waiting_max = 3};
    hcache_world_open(&world, &config);
    count = 0;
    purges = soft_all = 0;
    memset(soft_tag, 0, sizeof soft_tag);
    hits = stales = waits = stores = validations = 0;
    memset(slots, 0, sizeof slots);
    for (unsigned i = 0; i < steps; i++) {
        step();
        if (count > ENTRIES / 2)
            model_compact();
    }
    for (unsigned i = 0; i < ASKS; i++)
        if (slots[i].state == FILLS)
            hcache_fill_abort(slots[i].fill);
    for (unsigned i = 0; i < ASKS; i++)
        if (slots[i].state != FREE)
            end(&slots[i]);
    fake_turn(world.worker);
    printf("%4lu blocks, %s: %lu hits, %lu stale, %lu waits, %lu stores, %lu validations\n", (unsigned long)blocks,
           policy, hits, stales, waits, stores, validations);
    assert(hits > steps / 100 && waits > 0 && stores > steps / 100 && validations > 0);
    hcache_world_close(&world);
}

int main(int argc, char **argv)
{
    mr_random_seed(&numbers, support_seed(argv[0]));
    exact = true;
    run(2000, "lru", STEPS);
    exact = false;
    for (unsigned blocks = 4; blocks <= 32; blocks *= 2)
        run(blocks, blocks % 8 ? "sieve" : "s3fifo", STEPS / 4);
    return 0;
}
