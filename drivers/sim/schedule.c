#include "drivers/sim/schedule.h"

#include <stdlib.h>

bool schedule_init(struct schedule *s, uint32_t limit, bool grows)
{
    *s = (struct schedule){.limit = limit ? limit : 1, .grows = grows};
    s->entry = malloc(s->limit * sizeof *s->entry);
    return s->entry != NULL;
}

void schedule_free(struct schedule *s)
{
    free(s->entry);
    *s = (struct schedule){0};
}

/* Serials make the order total, so a replay never depends on the shape of the heap. */
static bool earlier(const struct schedule_entry *a, const struct schedule_entry *b)
{
    return a->at != b->at ? a->at < b->at : a->serial < b->serial;
}

static bool grow(struct schedule *s)
{
    if (!s->grows)
        return false;
    struct schedule_entry *larger = realloc(s->entry, 2ull * s->limit * sizeof *larger);
    if (!larger)
        return false;
    s->entry = larger;
    s->limit *= 2;
    return true;
}

bool schedule_put(struct schedule *s, mr_time at, void *item)
{
    if (s->count == s->limit && !grow(s))
        return false;
    struct schedule_entry e = {.at = at, .serial = s->serial++, .item = item};
    uint32_t i = s->count++;
    while (i > 0 && earlier(&e, &s->entry[(i - 1) / 2])) {
        s->entry[i] = s->entry[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    s->entry[i] = e;
    return true;
}

static void take_first(struct schedule *s)
{
    struct schedule_entry last = s->entry[--s->count];
    uint32_t i = 0, child;
    while ((child = 2 * i + 1) < s->count) {
        if (child + 1 < s->count && earlier(&s->entry[child + 1], &s->entry[child]))
            child++;
        if (!earlier(&s->entry[child], &last))
            break;
        s->entry[i] = s->entry[child];
        i = child;
    }
    s->entry[i] = last;
}

void *schedule_take(struct schedule *s, mr_time now)
{
    if (schedule_next(s) > now || s->count == 0)
        return NULL;
    void *item = s->entry[0].item;
    take_first(s);
    return item;
}

void *schedule_peek(const struct schedule *s)
{
    return s->count ? s->entry[0].item : NULL;
}
