/* Who fetches, and who waits for it (request coalescing). The first request of a URL holds its fetch; others wait in its queue. Whoever is to go on
 * is called from a deferred run, never from inside a call of ours. A request waits once: what it finds then it deals with itself, so that a
 * response that cannot be shared does not let them through one by one. */
#include <assert.h>

#include "proxy/cache/hcache_state.h"

static void queue_add(struct hcache_queue *to, struct hcache_request *q)
{
    if (!to->first)
        to->last = &to->first;
    q->next = NULL;
    q->link = to->last;
    q->queue = to;
    *to->last = q;
    to->last = &q->next;
    to->count++;
}

static void queue_remove(struct hcache_request *q)
{
    struct hcache_queue *from = q->queue;
    *q->link = q->next;
    if (q->next)
        q->next->link = q->link;
    else
        from->last = q->link;
    from->count--;
    q->next = NULL;
    q->link = NULL;
    q->queue = NULL;
}

static struct hcache_request **holders_of(struct hcache *c, uint64_t key)
{
    return &c->holders[key % HCACHE_HOLDER_BUCKETS];
}

static bool same_url(const struct hcache_request *a, const struct hcache_request *b)
{
    const struct mr_span x[] = {a->scheme, a->host, a->target}, y[] = {b->scheme, b->host, b->target};
    for (unsigned i = 0; i < 3; i++)
        if (x[i].length != y[i].length)
            return false;
    return a->key == b->key; /* 64 bits under a secret; the spans of one that waits may be gone */
}

static struct hcache_request *holder_find(const struct hcache_request *q)
{
    for (struct hcache_request *h = *holders_of(q->cache, q->key); h; h = h->holder_next)
        if (same_url(h, q))
            return h;
    return NULL;
}

static void holder_add(struct hcache_request *q)
{
    struct hcache_request **bucket = holders_of(q->cache, q->key);
    q->holder_next = *bucket;
    q->holder_link = bucket;
    if (*bucket)
        (*bucket)->holder_link = &q->holder_next;
    *bucket = q;
    q->fetches = true;
}

static void holder_remove(struct hcache_request *q)
{
    *q->holder_link = q->holder_next;
    if (q->holder_next)
        q->holder_next->holder_link = q->holder_link;
    q->holder_next = NULL;
    q->holder_link = NULL;
    q->fetches = q->granted = false;
}

static void wake(struct hcache_request *q)
{
    struct hcache *c = q->cache;
    queue_remove(q);
    q->waited = true;
    queue_add(&c->woken, q);
    mr_defer(c->worker, &c->wake);
}

/* The first in the queue gets the fetch, and the rest of the queue. */
static void hand_over(struct hcache_request *from)
{
    struct hcache_request *heir = from->waiters.first;
    wake(heir);
    heir->waited = false; /* it did not get what it waited for */
    while (from->waiters.first) {
        struct hcache_request *q = from->waiters.first;
        queue_remove(q);
        queue_add(&heir->waiters, q);
    }
    heir->granted = true;
    holder_add(heir);
}

void hcache_fetch_done(struct hcache_request *q, enum hcache_outcome outcome)
{
    if (!q->fetches)
        return;
    holder_remove(q);
    if (outcome == HCACHE_OUTCOME_DIED && q->waiters.first)
        hand_over(q);
    while (q->waiters.first)
        wake(q->waiters.first);
}

void hcache_fetch_leave(struct hcache_request *q)
{
    if (q->queue)
        queue_remove(q);
}

bool hcache_fetch_take(struct hcache_request *q)
{
    if (!q->fetches && !holder_find(q))
        holder_add(q);
    return q->fetches;
}

static bool is_refused(const struct hcache *c, uint64_t key, int64_t now)
{
    const struct hcache_refused *r = &c->refused[key % HCACHE_REFUSED_SLOTS];
    return r->key == key && now < r->until;
}

void hcache_fetch_refused(struct hcache *c, uint64_t key, int64_t now)
{
    c->refused[key % HCACHE_REFUSED_SLOTS] = (struct hcache_refused){key, now + HCACHE_REFUSED_SECONDS};
}

/* Who fetches goes on, and keeps what it gets; those who wait now do so for `q`. */
static void take_over(struct hcache_request *from, struct hcache_request *q)
{
    holder_remove(from);
    holder_add(q);
    while (from->waiters.first) {
        struct hcache_request *waits = from->waiters.first;
        queue_remove(waits);
        queue_add(&q->waiters, waits);
    }
}

enum hcache_verdict hcache_fetch(struct hcache_request *q, int64_t now)
{
    if (q->fetches)
        return HCACHE_MISS;
    struct hcache_request *holder = holder_find(q);
    if (is_refused(q->cache, q->key, now))
        return HCACHE_MISS;
    if (!holder) {
        holder_add(q);
        return HCACHE_MISS;
    }
    if (now - holder->asked_seconds >= HCACHE_FETCH_SECONDS) {
        take_over(holder, q);
        return HCACHE_MISS;
    }
    if (q->waited)
        return HCACHE_MISS;
    if (holder->waiters.count >= q->cache->waiting_max)
        return HCACHE_BYPASS;
    queue_add(&holder->waiters, q);
    return HCACHE_WAIT;
}

void hcache_fetch_wake(struct mr_worker *w, struct mr_deferred *d)
{
    struct hcache *c = d->context;
    unsigned left = c->woken.count < HCACHE_WAKES_PER_TURN ? c->woken.count : HCACHE_WAKES_PER_TURN;
    for (; left && c->woken.first; left--) { /* one that is called may end others that are to be called */
        struct hcache_request *q = c->woken.first;
        queue_remove(q);
        q->ready(q);
    }
    if (c->woken.first)
        mr_defer(w, d);
}
