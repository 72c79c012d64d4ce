/* A slot keeps the name of who had it last until another takes it, so what was removed and comes back finds its counters.
 *
 *   taken by plans --last of them freed--> named, by none --nothing connected any more, and wanted--> another's, next generation */
#include "proxy/plan_slots.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/plan_hash.h"
#include "proxy/proxy.h"

#define NO_SLOT UINT32_MAX

struct slot {
    char *identity; /* NULL: never used */
    uint64_t hash, generation;
    uint32_t plans; /* that have it */
    uint32_t next;  /* of the same bucket */
};

struct slot_table {
    uint32_t count, used, hint; /* slots; ever used; where to look for a free one first */
    uint32_t mask;
    uint32_t *buckets;
    struct slot *slots;
};

struct plan_slots {
    struct slot_table tables[SLOT_KINDS];
};

static bool table_init(struct slot_table *t, uint32_t count)
{
    uint32_t buckets = 16;
    while (buckets < count)
        buckets *= 2;
    t->count = count;
    t->mask = buckets - 1;
    t->buckets = malloc(buckets * sizeof *t->buckets);
    t->slots = calloc(count, sizeof *t->slots);
    for (uint32_t i = 0; t->buckets && i < buckets; i++)
        t->buckets[i] = NO_SLOT;
    return t->buckets && t->slots;
}

struct plan_slots *plan_slots_create(const struct proxy_limits_config *limits)
{
    struct plan_slots *s = calloc(1, sizeof *s);
    if (s && table_init(&s->tables[SLOT_LISTENER], PLAN_LISTENER_SLOTS) &&
        table_init(&s->tables[SLOT_UPSTREAM], (uint32_t)limits->upstreams) &&
        table_init(&s->tables[SLOT_BACKEND], (uint32_t)limits->backends))
        return s;
    plan_slots_free(s);
    return NULL;
}

void plan_slots_free(struct plan_slots *s)
{
    for (int k = 0; s && k < SLOT_KINDS; k++) {
        struct slot_table *t = &s->tables[k];
        for (uint32_t i = 0; t->slots && i < t->used; i++)
            free(t->slots[i].identity);
        free(t->slots);
        free(t->buckets);
    }
    free(s);
}

static uint64_t identity_hash(const char *identity)
{
    static const uint64_t no_key[2];
    return plan_hash(no_key, identity, strlen(identity));
}

static uint32_t slot_find(const struct slot_table *t, uint64_t hash, const char *identity)
{
    uint32_t i = t->buckets[hash & t->mask];
    while (i != NO_SLOT && (t->slots[i].hash != hash || strcmp(t->slots[i].identity, identity) != 0))
        i = t->slots[i].next;
    return i;
}

static void slot_unlink(struct slot_table *t, uint32_t slot)
{
    uint32_t *link = &t->buckets[t->slots[slot].hash & t->mask];
    while (*link != slot)
        link = &t->slots[*link].next;
    *link = t->slots[slot].next;
}

/* Nothing on any worker has to do with it. The numbers only fall once no plan has the slot, and are written so that they may be read
 * from here. */
static bool slot_is_quiet(const struct proxy_shared *shared, enum plan_slot_kind kind, uint32_t slot)
{
    for (unsigned w = 0; w < shared->workers; w++) {
        const struct proxy *p = shared->instances[w];
        if (!p)
            continue;
        const struct upstream_backend *b = &p->backends[slot];
        bool busy = kind == SLOT_LISTENER ? __atomic_load_n(&p->listeners[slot].connections, __ATOMIC_ACQUIRE)
                    : kind == SLOT_UPSTREAM
                        ? __atomic_load_n(&p->upstreams[slot].queued, __ATOMIC_ACQUIRE)
                        : __atomic_load_n(&b->open, __ATOMIC_ACQUIRE) || __atomic_load_n(&b->active, __ATOMIC_ACQUIRE);
        if (busy)
            return false;
    }
    return true;
}

static uint32_t slot_free_find(const struct proxy_shared *shared, struct slot_table *t, enum plan_slot_kind kind)
{
    if (t->used < t->count)
        return t->used++;
    for (uint32_t tried = 0; tried < t->count; tried++) {
        uint32_t i = t->hint;
        t->hint = (t->hint + 1) % t->count;
        if (t->slots[i].plans == 0 && slot_is_quiet(shared, kind, i))
            return i;
    }
    return NO_SLOT;
}

static uint32_t slot_rename(const struct proxy_shared *shared, struct slot_table *t, enum plan_slot_kind kind,
                            uint64_t hash, const char *identity)
{
    char *name = strdup(identity);
    uint32_t i = name ? slot_free_find(shared, t, kind) : NO_SLOT;
    if (i == NO_SLOT) {
        free(name);
        return NO_SLOT;
    }
    struct slot *s = &t->slots[i];
    if (s->identity)
        slot_unlink(t, i);
    free(s->identity);
    *s = (struct slot){name, hash, s->generation + 1, 0, t->buckets[hash & t->mask]};
    t->buckets[hash & t->mask] = i;
    return i;
}

bool plan_slot_take(struct proxy_shared *shared, enum plan_slot_kind kind, const char *identity, uint32_t *slot,
                    uint64_t *generation)
{
    struct slot_table *t = &shared->slots->tables[kind];
    uint64_t hash = identity_hash(identity);
    uint32_t i = slot_find(t, hash, identity);
    if (i == NO_SLOT)
        i = slot_rename(shared, t, kind, hash, identity);
    if (i == NO_SLOT)
        return false;
    t->slots[i].plans++;
    *slot = i;
    *generation = t->slots[i].generation;
    return true;
}

void plan_slot_give(struct plan_slots *slots, enum plan_slot_kind kind, uint32_t slot)
{
    slots->tables[kind].slots[slot].plans--;
}
