#include "tests/support/link.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/support.h"

static bool queue_put(struct test_link_queue *q, struct rte_mbuf *m)
{
    if (q->tail - q->head == TEST_LINK_FRAMES)
        return false;
    q->frame[q->tail++ % TEST_LINK_FRAMES] = m;
    return true;
}

static struct rte_mbuf *queue_get(struct test_link_queue *q)
{
    return q->head == q->tail ? NULL : q->frame[q->head++ % TEST_LINK_FRAMES];
}

static uint16_t link_receive(void *self, struct rte_mbuf **burst, uint16_t max)
{
    struct test_link *l = self;
    uint16_t n = 0;
    while (n < max && (burst[n] = queue_get(&l->arriving)))
        n++;
    return n;
}

static uint16_t link_transmit(void *self, struct rte_mbuf **burst, uint16_t n)
{
    struct test_link *l = self;
    uint16_t taken = 0;
    while (taken < n && l->room > 0 && queue_put(&l->sent, burst[taken])) {
        taken++;
        if (l->room != UINT32_MAX)
            l->room--;
    }
    return taken;
}

static void link_statistics(void *self, struct mr_link_statistics *out)
{
    const struct test_link *l = self;
    *out = (struct mr_link_statistics){.rx_packets = l->arriving.head, .tx_packets = l->sent.tail};
}

static void link_close(void *self)
{
    test_link_empty(self);
}

void test_link_init(struct test_link *l, const char *name, struct rte_mempool *pool)
{
    memset(l, 0, sizeof *l);
    l->pool = pool;
    l->room = UINT32_MAX;
    l->link = (struct mr_link){
        .self = l,
        .name = name,
        .mac = {2, 0, 0, 0, 0, 2},
        .mtu = 1500,
        .receive = link_receive,
        .transmit = link_transmit,
        .statistics = link_statistics,
        .close = link_close,
    };
}

void test_link_empty(struct test_link *l)
{
    struct rte_mbuf *m;
    while ((m = queue_get(&l->arriving)) || (m = queue_get(&l->sent)))
        rte_pktmbuf_free(m);
}

bool test_link_inject_mbuf(struct test_link *l, struct rte_mbuf *m)
{
    if (queue_put(&l->arriving, m))
        return true;
    rte_pktmbuf_free(m);
    return false;
}

bool test_link_inject(struct test_link *l, const void *frame, size_t n)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(l->pool);
    if (!m)
        return false;
    char *room = rte_pktmbuf_append(m, (uint16_t)n);
    if (!room) {
        fprintf(stderr, "test link: a frame of %zu bytes fits no packet\n", n);
        abort();
    }
    memcpy(room, frame, n);
    return test_link_inject_mbuf(l, m);
}

/* A guarded buffer knows its own length, so that freeing needs nothing else. */
struct guarded {
    struct rte_mbuf_ext_shared_info shared;
    uint8_t *data;
    size_t bytes;
};

static void guarded_free(void *address, void *opaque)
{
    (void)address;
    struct guarded *g = opaque;
    support_guarded_free(g->data, g->bytes);
    free(g);
}

bool test_link_inject_guarded(struct test_link *l, const void *frame, size_t n)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(l->pool);
    struct guarded *g = malloc(sizeof *g);
    if (!m || !g || n > UINT16_MAX)
        abort();
    g->data = support_guarded(frame, n);
    g->bytes = n;
    g->shared.free_cb = guarded_free;
    g->shared.fcb_opaque = g;
    rte_mbuf_ext_refcnt_set(&g->shared, 1);
    rte_pktmbuf_attach_extbuf(m, g->data, (rte_iova_t)(uintptr_t)g->data, (uint16_t)n, &g->shared);
    m->data_off = 0;
    m->data_len = (uint16_t)n;
    m->pkt_len = (uint32_t)n;
    return test_link_inject_mbuf(l, m);
}

struct rte_mbuf *test_link_take_mbuf(struct test_link *l)
{
    return queue_get(&l->sent);
}

size_t test_link_take(struct test_link *l, void *frame, size_t max)
{
    struct rte_mbuf *m = queue_get(&l->sent);
    if (!m)
        return 0;
    size_t n = m->pkt_len;
    if (n > max) {
        fprintf(stderr, "test link: a frame of %zu bytes was sent, room for %zu\n", n, max);
        abort();
    }
    const void *at = rte_pktmbuf_read(m, 0, (uint32_t)n, frame);
    if (at != frame)
        memcpy(frame, at, n);
    rte_pktmbuf_free(m);
    return n;
}

static mr_time clock_now(void *self)
{
    return ((struct test_clock *)self)->now;
}

static void clock_rest(void *self, mr_time deadline)
{
    struct test_clock *c = self;
    c->rests++;
    if (deadline != MR_NEVER && deadline > c->now)
        c->now = deadline;
}

static void clock_busy(void *self)
{
    (void)self;
}

static void clock_wake(void *self)
{
    ((struct test_clock *)self)->wakes++;
}

void test_clock_init(struct test_clock *c, mr_time now)
{
    *c = (struct test_clock){
        .clock = {.self = c, .now = clock_now, .rest = clock_rest, .busy = clock_busy, .wake = clock_wake},
        .now = now,
    };
}
