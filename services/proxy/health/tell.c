/* Verdicts to the other workers. The message is one word, so nothing needs to live until it arrives; it says the whole verdict, so it may be
 * told twice. Told when it changes, and again with each check: a worker whose mailbox was full has it a moment later, and one that
 * did not know the backend yet, because its plan was behind, with the next check. */
#include <assert.h>

#include "proxy/health/prober.h"
#include "proxy/proxy.h"

#define SLOT_BITS    24 /* limits.backends is at most 2^20 */
#define VERDICT_BITS 2
#define AGAIN_AFTER  MR_MILLISECOND

_Static_assert(sizeof(void *) == 8, "a message is a word of 64 bits: generation, verdict, slot");

static uint64_t generation_part(uint64_t generation)
{
    return generation & (UINT64_MAX >> (SLOT_BITS + VERDICT_BITS));
}

static void *message_pack(const struct health_watch *w)
{
    uint64_t word = generation_part(w->backend->generation) << VERDICT_BITS | w->health.verdict;
    assert(w->backend->slot < 1u << SLOT_BITS);
    return (void *)(uintptr_t)(word << SLOT_BITS | w->backend->slot);
}

/* On the other worker. */
static void message_arrived(struct mr_worker *worker, void *argument)
{
    struct proxy *p = mr_service_find(worker, "proxy");
    uint64_t word = (uintptr_t)argument;
    uint32_t slot = (uint32_t)(word & ((1u << SLOT_BITS) - 1));
    word >>= SLOT_BITS;
    enum health_verdict verdict = (enum health_verdict)(word & ((1u << VERDICT_BITS) - 1));
    if (!p || !p->health || p->stopping || slot >= p->health->slots || !p->health->watched[slot])
        return;
    if (generation_part(p->health->watched[slot]) == word >> VERDICT_BITS)
        upstream_health_changed(p, slot, verdict);
}

static bool tell_all(struct health_watch *w)
{
    struct mr_worker *worker = w->table->proxy->worker;
    void *message = message_pack(w);
    bool told = true;
    for (unsigned i = 0; i < mr_worker_count(worker); i++)
        if (i != mr_worker_index(worker))
            told &= mr_post(worker, i, message_arrived, message) == MR_OK;
    return told;
}

void health_tell(struct health_watch *w)
{
    struct health_table *t = w->table;
    if (tell_all(w) || w->untold)
        return;
    w->untold = true;
    w->next_untold = t->untold;
    t->untold = w;
    mr_timer_set(t->proxy->worker, &t->again, mr_now(t->proxy->worker) + AGAIN_AFTER);
}

void health_tell_again(struct health_table *t)
{
    struct health_watch *w = t->untold;
    t->untold = NULL;
    while (w) {
        struct health_watch *next = w->next_untold;
        w->untold = false;
        if (w->upstream && w->health.verdict != HEALTH_UNKNOWN)
            health_tell(w);
        w = next;
    }
}
