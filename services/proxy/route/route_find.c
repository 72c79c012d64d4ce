/* The first route that matches: a scan in order when there are few, else of four lists merged.
 *
 * Each route is in one list, by its exact host (or any: none given, or a suffix) and the first segment of its path as far as that is certain:
 *
 *     host: example.com  path: /shop/cart   ->  example.com + "/shop/"      path: /shop (exact)  ->  example.com + "/shop"
 *     host: *.example.org                   ->  any + any                   path: /shop*         ->  any: /shopping too
 *
 * A request looks at (its host or any) x (its first segment or any). Two lists whose hashes fall together are one: it only costs time,
 * as route_match decides. */
#include <stdlib.h>
#include <string.h>

#include "proxy/plan.h"
#include "proxy/route/route.h"

struct route_list {
    uint64_t hash;
    uint32_t first, count; /* in `routes` */
};

struct route_index {
    uint32_t mask;
    struct route_list *lists; /* open addressing; count 0: empty */
    uint32_t *routes;         /* places in the plan; of each list in order */
};

#define HASH_ANY 0x9e3779b97f4a7c15u

static uint64_t hash_mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0xff51afd7ed558ccdu;
    return hash ^ hash >> 32;
}

static uint64_t hash_span(struct mr_span s)
{
    uint64_t hash = s.length, word;
    for (; s.length >= 8; s.data += 8, s.length -= 8) {
        memcpy(&word, s.data, 8);
        hash = hash_mix(hash, word);
    }
    for (word = 0; s.length > 0; s.data++, s.length--)
        word = word << 8 | *s.data;
    return hash_mix(hash, word);
}

/* "/shop/" of "/shop/cart", "/shop" of "/shop". */
static struct mr_span first_segment(struct mr_span path)
{
    const uint8_t *end = path.length > 1 ? memchr(path.data + 1, '/', path.length - 1) : NULL;
    return (struct mr_span){path.data, end ? (size_t)(end + 1 - path.data) : path.length};
}

static uint64_t host_hash(const struct plan_route *r)
{
    return r->host.length && !r->host_suffix ? hash_span(r->host) : HASH_ANY;
}

static uint64_t path_hash(const struct plan_route *r)
{
    struct mr_span segment = first_segment(r->path);
    bool certain = r->kind == ROUTE_EXACT ||
                   (r->kind == ROUTE_PREFIX && segment.length > 1 && segment.data[segment.length - 1] == '/');
    return certain ? hash_span(segment) : HASH_ANY;
}

static struct route_list *list_find(const struct route_index *index, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & index->mask;
    while (index->lists[at].count && index->lists[at].hash != hash)
        at = (at + 1) & index->mask;
    return &index->lists[at];
}

/* Counted first, so that each list then lies in one piece. */
static void index_fill(struct route_index *index, const struct plan_route *routes, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t hash = hash_mix(host_hash(&routes[i]), path_hash(&routes[i]));
        struct route_list *list = list_find(index, hash);
        list->hash = hash;
        list->count++;
    }
    uint32_t first = 0;
    for (uint32_t at = 0; at <= index->mask; at++) {
        index->lists[at].first = first;
        first += index->lists[at].count;
    }
    for (uint32_t i = 0; i < count; i++)
        index->routes[list_find(index, hash_mix(host_hash(&routes[i]), path_hash(&routes[i])))->first++] = i;
    for (uint32_t at = 0; at <= index->mask; at++)
        index->lists[at].first -= index->lists[at].count;
}

bool route_index_build(struct proxy_plan *plan)
{
    plan->index = NULL;
    if (plan->route_count < ROUTE_INDEX_MINIMUM)
        return true;
    uint32_t size = 2 * ROUTE_INDEX_MINIMUM;
    while (size < 2 * plan->route_count)
        size *= 2;
    struct route_index *index = calloc(1, sizeof *index);
    if (!index)
        return false;
    *index = (struct route_index){size - 1, calloc(size, sizeof *index->lists),
                                  calloc(plan->route_count, sizeof *index->routes)};
    if (!index->lists || !index->routes) {
        route_index_free(index);
        return false;
    }
    index_fill(index, plan->routes, plan->route_count);
    plan->index = index;
    return true;
}

void route_index_free(struct route_index *index)
{
    if (!index)
        return;
    free(index->lists);
    free(index->routes);
    free(index);
}

static const struct plan_route *find_indexed(const struct proxy_plan *plan, const struct route_query *q)
{
    const struct route_index *index = plan->index;
    uint64_t hosts[2] = {hash_span(q->host), HASH_ANY}, paths[2] = {hash_span(first_segment(q->path)), HASH_ANY};
    const uint32_t *next[4], *end[4];
    unsigned lists = 0;
    for (unsigned i = 0; i < 4; i++) {
        const struct route_list *list = list_find(index, hash_mix(hosts[i / 2], paths[i % 2]));
        next[lists] = index->routes + list->first;
        end[lists] = next[lists] + list->count;
        lists += list->count > 0;
    }
    while (lists > 0) {
        unsigned least = 0;
        for (unsigned i = 1; i < lists; i++)
            if (*next[i] < *next[least])
                least = i;
        const struct plan_route *r = &plan->routes[*next[least]];
        if (route_match(r, q) == ROUTE_TAKEN)
            return r;
        if (++next[least] == end[least]) {
            lists--;
            next[least] = next[lists];
            end[least] = end[lists];
        }
    }
    return NULL;
}

const struct plan_route *route_find(const struct proxy_plan *plan, const struct route_query *q,
                                    void (*note)(void *argument, const struct plan_route *r, enum route_reason why),
                                    void *argument)
{
    if (plan->index && !note)
        return find_indexed(plan, q);
    for (uint32_t i = 0; i < plan->route_count; i++) {
        enum route_reason why = route_match(&plan->routes[i], q);
        if (note)
            note(argument, &plan->routes[i], why);
        if (why == ROUTE_TAKEN)
            return &plan->routes[i];
    }
    return NULL;
}
