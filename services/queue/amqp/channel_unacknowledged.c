/* Deliveries that are not acknowledged: ordered by tag, in chunks of a page's sixteenth.
 *
 *     oldest -> [1 2 . 4 . 6] <-> [7 . . . 11 12] <-> [13 14            ] <- youngest        . settled: a hole
 *
 * Acknowledging in order touches the ends alone. A client that leaves old ones lying keeps chunks alive: neighbours that fit into
 * one become one, so that the memory is at most four times what the entries need. */
#include "queue/amqp/channel.h"

#include <assert.h>
#include <string.h>

bool channel_unacknowledged_reserve(struct channel *ch)
{
    struct channel_chunk *last = ch->youngest;
    if (last && last->used < CHANNEL_CHUNK_ENTRIES)
        return true;
    struct channel_chunk *chunk = channel_alloc(ch, sizeof *chunk);
    if (!chunk)
        return false;
    chunk->next = NULL;
    chunk->previous = last;
    chunk->used = chunk->live = 0;
    *(last ? &last->next : &ch->oldest) = chunk;
    ch->youngest = chunk;
    return true;
}

void channel_unacknowledged_add(struct channel *ch, const struct queue_delivery *d, uint64_t tag, bool consumed)
{
    struct channel_chunk *chunk = ch->youngest;
    chunk->entries[chunk->used++] =
        (struct channel_entry){.tag = tag, .queue_id = d->queue_id, .entry = d->entry, .consumed = consumed};
    chunk->live++;
    ch->unacknowledged++;
    ch->unacknowledged_consumed += consumed;
    ch->base.connection->unacknowledged++;
}

/* Who walks along all of them settles where the walk is, else acknowledging n at once would be work for n * n. */
static struct channel_chunk *chunk_of(const struct channel *ch, uint64_t tag)
{
    struct channel_chunk *chunk = ch->walked ? ch->walked : ch->oldest;
    while (chunk && chunk->used && chunk->entries[chunk->used - 1].tag < tag)
        chunk = chunk->next;
    return chunk && chunk->used ? chunk : NULL;
}

struct channel_entry *channel_unacknowledged_find(struct channel *ch, uint64_t tag)
{
    struct channel_chunk *chunk = chunk_of(ch, tag);
    if (!chunk)
        return NULL;
    uint32_t low = 0, high = chunk->used;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (chunk->entries[middle].tag < tag)
            low = middle + 1;
        else
            high = middle;
    }
    struct channel_entry *e = &chunk->entries[low];
    return low < chunk->used && e->tag == tag && !e->settled && !e->in_tx ? e : NULL;
}

void channel_unacknowledged_each(struct channel *ch, uint64_t tag,
                                 bool (*visit)(struct channel *ch, struct channel_entry *e))
{
    bool more = true;
    for (struct channel_chunk *chunk = ch->oldest; chunk && more; chunk = chunk->next) {
        ch->walked = chunk;
        for (uint32_t i = 0; i < chunk->used && more; i++) {
            struct channel_entry *e = &chunk->entries[i];
            more = e->tag <= tag && (e->settled || visit(ch, e));
        }
    }
    ch->walked = NULL;
}

/* The chunk of an entry that is known to be in one. */
void channel_unacknowledged_settle(struct channel *ch, struct channel_entry *e)
{
    struct channel_chunk *chunk = chunk_of(ch, e->tag);
    assert(chunk && !e->settled);
    e->settled = true;
    chunk->live--;
    ch->unacknowledged--;
    ch->unacknowledged_consumed -= e->consumed;
    ch->base.connection->unacknowledged--;
    ch->untrimmed |= chunk->live <= CHANNEL_CHUNK_ENTRIES / 4;
}

static void chunk_remove(struct channel *ch, struct channel_chunk *chunk)
{
    *(chunk->previous ? &chunk->previous->next : &ch->oldest) = chunk->next;
    *(chunk->next ? &chunk->next->previous : &ch->youngest) = chunk->previous;
    channel_free(ch, chunk, sizeof *chunk);
}

static void chunk_squeeze(struct channel_chunk *chunk)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < chunk->used; i++)
        if (!chunk->entries[i].settled)
            chunk->entries[n++] = chunk->entries[i];
    chunk->used = n;
}

/* `chunk` takes what the next one still has. */
static void chunk_join(struct channel *ch, struct channel_chunk *chunk)
{
    struct channel_chunk *next = chunk->next;
    chunk_squeeze(chunk);
    chunk_squeeze(next);
    memcpy(chunk->entries + chunk->used, next->entries, next->used * sizeof *next->entries);
    chunk->used += next->used;
    chunk->live += next->live;
    chunk_remove(ch, next);
}

void channel_unacknowledged_trim(struct channel *ch)
{
    struct channel_chunk *chunk = ch->oldest, *next;
    if (!ch->untrimmed)
        return;
    ch->untrimmed = false;
    for (; chunk; chunk = next) {
        next = chunk->next;
        if (!chunk->live && next) {
            chunk_remove(ch, chunk);
        } else if (!chunk->live) {
            chunk->used = 0; /* one is kept, empty: who takes one and acknowledges one allocates nothing */
        } else if (next && chunk->live + next->live <= CHANNEL_CHUNK_ENTRIES / 2) {
            chunk_join(ch, chunk);
            next = chunk;
        }
    }
}

void channel_unacknowledged_check(const struct channel *ch)
{
    uint64_t live = 0, consumed = 0, tag = 0;
    for (const struct channel_chunk *chunk = ch->oldest; chunk; chunk = chunk->next) {
        uint32_t here = 0;
        assert(chunk->next ? chunk->next->previous == chunk : ch->youngest == chunk);
        for (uint32_t i = 0; i < chunk->used; i++) {
            const struct channel_entry *e = &chunk->entries[i];
            assert(e->tag > tag && e->tag <= ch->tag);
            tag = e->tag;
            here += !e->settled;
            consumed += !e->settled && e->consumed;
        }
        assert(here == chunk->live);
        live += here;
    }
    assert(live == ch->unacknowledged && consumed == ch->unacknowledged_consumed);
}
