#include "cache/evict/evict_list.h"

#include <assert.h>

static memory_link link_of(const struct cache_evict *e, const struct cache_evict_node *n)
{
    return memory_link_pack(e->owner.base, n);
}

void evict_list_add(const struct cache_evict *e, struct evict_list *l, struct cache_evict_node *n)
{
    memory_link link = link_of(e, n);
    n->older = l->newest;
    n->newer = 0;
    if (l->newest)
        evict_node_at(e, l->newest)->newer = link;
    else
        l->oldest = link;
    l->newest = link;
    l->count++;
    l->bytes += evict_weight_bytes(n);
}

void evict_list_remove(const struct cache_evict *e, struct evict_list *l, struct cache_evict_node *n)
{
    if (n->older)
        evict_node_at(e, n->older)->newer = n->newer;
    else
        l->oldest = n->newer;
    if (n->newer)
        evict_node_at(e, n->newer)->older = n->older;
    else
        l->newest = n->older;
    l->count--;
    l->bytes -= evict_weight_bytes(n);
    n->older = n->newer = 0;
}

void evict_list_renew(const struct cache_evict *e, struct evict_list *l, struct cache_evict_node *n)
{
    if (!n->newer)
        return;
    evict_list_remove(e, l, n);
    evict_list_add(e, l, n);
}

void evict_list_append(const struct cache_evict *e, struct evict_list *l, struct evict_list *younger)
{
    if (!younger->count)
        return;
    if (l->count) {
        evict_node_at(e, l->newest)->newer = younger->oldest;
        evict_node_at(e, younger->oldest)->older = l->newest;
    } else {
        l->oldest = younger->oldest;
    }
    l->newest = younger->newest;
    l->count += younger->count;
    l->bytes += younger->bytes;
    *younger = (struct evict_list){0};
}

void evict_list_moved(const struct cache_evict *e, struct evict_list *l, const struct cache_evict_node *from,
                      struct cache_evict_node *to)
{
    memory_link link = link_of(e, to);
    if (to->older)
        evict_node_at(e, to->older)->newer = link;
    else
        l->oldest = link;
    if (to->newer)
        evict_node_at(e, to->newer)->older = link;
    else
        l->newest = link;
}

void evict_list_check(const struct cache_evict *e, const struct evict_list *l,
                      void (*each)(const struct cache_evict *e, const struct cache_evict_node *n, uint32_t argument),
                      uint32_t argument)
{
    uint64_t count = 0, bytes = 0;
    memory_link before = 0;
    for (memory_link at = l->oldest; at; count++) {
        const struct cache_evict_node *n = evict_node_at(e, at);
        assert(n->older == before);
        assert(cache_evict_holds(e, n));
        if (each)
            each(e, n, argument);
        bytes += evict_weight_bytes(n);
        before = at;
        at = n->newer;
    }
    assert(before == l->newest);
    assert(count == l->count);
    assert(bytes == l->bytes);
}
