/* Pages and slots. A page knows its class and how far it has been cut: slots are cut when first wanted, and those that come
 * back wait in the page's own list, so that opening a page costs the same whatever its class:
 *
 *     | header | live | freed | live | ... | not yet cut ... |
 *                        `-> freed -> NULL   ^ carved
 *
 * A page with a free slot is in the list of its class, the one freed into last first: it is the fullest, and the others may
 * run empty. A page without a live slot goes back at once; to open it again is as cheap as to have kept it. */
#include "memory/memory.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE_BYTES   ((uint64_t)MEMORY_PAGE_BYTES)
#define HEADER_BYTES (MEMORY_PAGE_BYTES - MEMORY_LARGEST)
#define REGION_MAX   ((UINT64_C(1) << 36) - PAGE_BYTES) /* links are 32 bits of 16-byte units */

/* CLASS(bytes of the class before, bytes). Steps of 16 where most entries are, then of 32, then 4 a doubling; from 576 on
 * the bytes are those with which a number of slots fills a page: (64 KiB - 64) / n, rounded down to 16. */
#define CLASSES(CLASS)                   \
    CLASS(0, 16)                         \
    CLASS(16, 32)                        \
    CLASS(32, 48)                        \
    CLASS(48, 64)                        \
    CLASS(64, 80)                        \
    CLASS(80, 96)                        \
    CLASS(96, 112)                       \
    CLASS(112, 128)                      \
    CLASS(128, 144)                      \
    CLASS(144, 160)                      \
    CLASS(160, 176)                      \
    CLASS(176, 192)                      \
    CLASS(192, 208)                      \
    CLASS(208, 224)                      \
    CLASS(224, 240)                      \
    CLASS(240, 256)                      \
    CLASS(256, 288)                      \
    CLASS(288, 320)                      \
    CLASS(320, 352)                      \
    CLASS(352, 384)                      \
    CLASS(384, 416)                      \
    CLASS(416, 448)                      \
    CLASS(448, 480)                      \
    CLASS(480, 512)                      \
    CLASS(512, 576)     /* 113 a page */ \
    CLASS(576, 672)     /* 97 */         \
    CLASS(672, 816)     /* 80 */         \
    CLASS(816, 1008)    /* 64 */         \
    CLASS(1008, 1168)   /* 56 */         \
    CLASS(1168, 1360)   /* 48 */         \
    CLASS(1360, 1632)   /* 40 */         \
    CLASS(1632, 2032)   /* 32 */         \
    CLASS(2032, 2336)   /* 28 */         \
    CLASS(2336, 2720)   /* 24 */         \
    CLASS(2720, 3264)   /* 20 */         \
    CLASS(3264, 4080)   /* 16 */         \
    CLASS(4080, 4672)   /* 14 */         \
    CLASS(4672, 5456)   /* 12 */         \
    CLASS(5456, 6544)   /* 10 */         \
    CLASS(6544, 8176)   /* 8 */          \
    CLASS(8176, 9344)   /* 7 */          \
    CLASS(9344, 10912)  /* 6 */          \
    CLASS(10912, 13088) /* 5 */          \
    CLASS(13088, 16368) /* 4 */          \
    CLASS(16368, 21824) /* 3 */          \
    CLASS(21824, 32736) /* 2 */          \
    CLASS(32736, 65472)

enum {
#define CLASS(before, bytes) CLASS_OF_##bytes,
    CLASSES(CLASS)
#undef CLASS
        CLASS_COUNT,
    CLASS_NONE = CLASS_COUNT, /* an empty page */
};
_Static_assert(CLASS_COUNT <= MEMORY_CLASSES, "the header has a list for each class");

static const uint16_t class_bytes[CLASS_COUNT] = {
#define CLASS(before, bytes) [CLASS_OF_##bytes] = (bytes),
    CLASSES(CLASS)
#undef CLASS
};

/* By 16-byte units, rounded up. */
static const uint8_t class_of_units[MEMORY_LARGEST / 16 + 1] = {
#define CLASS(before, bytes) [(before) / 16 + 1 ...(bytes) / 16] = CLASS_OF_##bytes,
    CLASSES(CLASS)
#undef CLASS
};

static unsigned class_of(size_t bytes)
{
    assert(bytes > 0 && bytes <= MEMORY_LARGEST);
    return class_of_units[(bytes + 15) / 16];
}

size_t memory_cost(size_t bytes)
{
    return class_bytes[class_of(bytes)];
}

/* What a slot of another region holds while it waits to go home. The lists of the regions hang from each other at their
 * heads; there are as few as workers. */
struct memory_freed {
    struct memory_freed *next;      /* of the same region */
    struct memory_freed *next_home; /* of a head: the head of the next region's list */
};

#ifdef MEMORY_MALLOC

/* Each allocation is the C library's, with the overrun that would show; this lies before it. */
struct memory_page {
    struct memory_page *next, *previous; /* in `partial[0]` of the owner, so that a release finds all */
    struct memory *owner;
    size_t bytes;
    struct memory_freed freed;
};
_Static_assert(sizeof(struct memory_page) % 16 == 0, "allocations are aligned");

static struct memory_page *page_of(const void *p)
{
    return (struct memory_page *)(uintptr_t)p - 1;
}

static void *slot_of_freed(struct memory_freed *f)
{
    return (uint8_t *)f - offsetof(struct memory_page, freed) + sizeof(struct memory_page);
}

static struct memory_freed *freed_of_slot(void *p)
{
    return &page_of(p)->freed;
}

static size_t slot_cost(const void *p)
{
    return memory_cost(page_of(p)->bytes);
}

static bool region_reserve(struct memory *m)
{
    return true;
}

static void region_release(struct memory *m)
{
    for (struct memory_page *page = m->partial[0], *next; page; page = next) {
        next = page->next;
        free(page);
    }
}

static void *slot_take(struct memory *m, unsigned class, size_t bytes)
{
    struct memory_page *page = NULL;
    if (m->used + class_bytes[class] <= m->region_bytes)
        page = malloc(sizeof *page + bytes);
    if (!page)
        return NULL;
    *page = (struct memory_page){.next = m->partial[0], .owner = m, .bytes = bytes};
    if (page->next)
        page->next->previous = page;
    m->partial[0] = page;
    return page + 1;
}

static void slot_give(struct memory *m, void *p)
{
    struct memory_page *page = page_of(p);
    if (page->next)
        page->next->previous = page->previous;
    *(page->previous ? &page->previous->next : &m->partial[0]) = page->next;
    free(page);
}

/* The size that is stated must be the one that was asked for, to the byte. */
static void slot_size_check(const void *p, size_t bytes)
{
    assert(page_of(p)->bytes == bytes);
}

static bool slot_fits(const void *p, size_t bytes)
{
    return page_of(p)->bytes == bytes;
}

static void region_sum(const struct memory *m, uint64_t *bytes, uint64_t *slots)
{
    const struct memory_page *previous = NULL;
    for (const struct memory_page *page = m->partial[0]; page; previous = page, page = page->next) {
        assert(page->owner == m && page->previous == previous);
        *bytes += memory_cost(page->bytes);
        ++*slots;
    }
}

#else

struct memory_page {
    struct memory_page *next, *previous; /* of its class with a free slot, or empty (next alone) */
    struct memory *owner;
    void *freed; /* slots that came back: each begins with the next */
    uint16_t class;
    uint16_t bytes; /* of a slot */
    uint16_t capacity;
    uint16_t carved; /* slots cut so far */
    uint16_t used;   /* live slots, whoever counts them */
};
_Static_assert(sizeof(struct memory_page) <= HEADER_BYTES, "one cache line");
_Static_assert(sizeof(struct memory_freed) <= 16, "the smallest slot holds it");

static struct memory_page *page_of(const void *p)
{
    return (struct memory_page *)((uintptr_t)p & ~(uintptr_t)(PAGE_BYTES - 1));
}

static void *slot_of_freed(struct memory_freed *f)
{
    return f;
}

static struct memory_freed *freed_of_slot(void *p)
{
    return p;
}

static size_t slot_cost(const void *p)
{
    return page_of(p)->bytes;
}

/* The system aligns to its own pages: what lies before and behind ours goes back. The page at the base is never used, so
 * that a link to it can mean NULL. */
static bool region_reserve(struct memory *m)
{
    size_t bytes = m->region_bytes + PAGE_BYTES, more = bytes + PAGE_BYTES;
    uint8_t *p = mmap(NULL, more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED)
        return false;
    size_t before = -(uintptr_t)p & (PAGE_BYTES - 1);
    m->base = p + before;
    if (before)
        munmap(p, before);
    munmap(m->base + bytes, PAGE_BYTES - before);
    return true;
}

static void region_release(struct memory *m)
{
    if (m->base)
        munmap(m->base, m->region_bytes + PAGE_BYTES);
}

static void list_push(struct memory *m, struct memory_page *page)
{
    page->previous = NULL;
    page->next = m->partial[page->class];
    if (page->next)
        page->next->previous = page;
    m->partial[page->class] = page;
}

static void list_remove(struct memory *m, struct memory_page *page)
{
    if (page->next)
        page->next->previous = page->previous;
    *(page->previous ? &page->previous->next : &m->partial[page->class]) = page->next;
}

/* An empty page, or one never touched, begins to serve a class. NULL: the region is full. */
static struct memory_page *page_open(struct memory *m, unsigned class)
{
    struct memory_page *page = m->empty;
    if (page) {
        m->empty = page->next;
    } else {
        if (m->resident == m->region_bytes)
            return NULL;
        page = (struct memory_page *)(m->base + ++m->pages_touched * PAGE_BYTES);
        m->resident += PAGE_BYTES;
    }
    *page = (struct memory_page){
        .owner = m,
        .class = (uint16_t) class,
        .bytes = class_bytes[class],
        .capacity = (uint16_t)(MEMORY_LARGEST / class_bytes[class]),
    };
    list_push(m, page);
    return page;
}

static void page_close(struct memory *m, struct memory_page *page)
{
    page->class = CLASS_NONE;
    page->next = m->empty;
    m->empty = page;
}

static void *slot_take(struct memory *m, unsigned class, size_t bytes)
{
    struct memory_page *page = m->partial[class];
    if (!page && !(page = page_open(m, class)))
        return NULL;
    void *p = page->freed;
    if (p)
        memcpy(&page->freed, p, sizeof page->freed);
    else
        p = (uint8_t *)page + HEADER_BYTES + (size_t)page->carved++ * page->bytes;
    if (++page->used == page->capacity)
        list_remove(m, page);
    return p;
}

static void slot_give(struct memory *m, void *p)
{
    struct memory_page *page = page_of(p);
    bool full = page->used == page->capacity;
    memcpy(p, &page->freed, sizeof page->freed);
    page->freed = p;
    if (--page->used == 0) {
        if (!full)
            list_remove(m, page);
        page_close(m, page);
    } else if (full) {
        list_push(m, page);
    }
}

static void slot_size_check(const void *p, size_t bytes)
{
    assert(page_of(p)->class == class_of(bytes));
}

static bool slot_fits(const void *p, size_t bytes)
{
    return page_of(p)->class == class_of(bytes);
}

static void page_check(const struct memory *m, const struct memory_page *page)
{
    assert(page->owner == m && page->class < CLASS_COUNT && page->bytes == class_bytes[page->class]);
    assert(page->used > 0 && page->used <= page->carved && page->carved <= page->capacity);
    unsigned freed = 0;
    for (void *p = page->freed; p; memcpy(&p, p, sizeof p)) {
        size_t at = (size_t)((uint8_t *)p - (uint8_t *)page) - HEADER_BYTES;
        assert(page_of(p) == page && at % page->bytes == 0 && at / page->bytes < page->carved);
        freed++;
        assert(freed <= page->carved); /* else the list is a ring: a slot was freed twice */
    }
    assert(page->used + freed == page->carved);
}

static void region_sum(const struct memory *m, uint64_t *bytes, uint64_t *slots)
{
    uint64_t empty = 0, with_room = 0;
    for (uint32_t i = 1; i <= m->pages_touched; i++) {
        const struct memory_page *page = (const struct memory_page *)(m->base + i * PAGE_BYTES);
        if (page->class == CLASS_NONE) {
            empty++;
            continue;
        }
        page_check(m, page);
        *bytes += (uint64_t)page->used * page->bytes;
        *slots += page->used;
        with_room += page->used < page->capacity;
    }
    for (const struct memory_page *page = m->empty; page; page = page->next, empty--)
        assert(page->class == CLASS_NONE && empty > 0);
    for (unsigned i = 0; i < CLASS_COUNT; i++)
        for (const struct memory_page *page = m->partial[i]; page; page = page->next, with_room--)
            assert(page->class == i && page->used < page->capacity && with_room > 0);
    assert(empty == 0 && with_room == 0);
    assert(m->resident == m->pages_touched * PAGE_BYTES && m->resident <= m->region_bytes);
}

#endif

bool memory_init(struct memory *m, uint64_t region_bytes, uint64_t limit)
{
    *m = (struct memory){.limit = limit};
    if (region_bytes > REGION_MAX)
        return false;
    m->region_bytes = (region_bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
    return region_reserve(m);
}

void memory_release(struct memory *m)
{
    region_release(m);
    *m = (struct memory){0};
}

static void count_add(struct memory *m, size_t cost)
{
    m->allocations++;
    m->used += cost;
    if (m->used > m->used_peak)
        m->used_peak = m->used;
}

static void count_subtract(struct memory *m, size_t cost)
{
    assert(m->allocations > 0 && m->used >= cost);
    m->allocations--;
    m->used -= cost;
}

void *memory_alloc(struct memory *m, size_t bytes)
{
    unsigned class = class_of(bytes);
    if (class_bytes[class] > memory_room(m))
        return NULL;
    void *p = slot_take(m, class, bytes);
    if (p)
        count_add(m, class_bytes[class]);
    return p;
}

/* Behind the head of its region's list. */
static void foreign_push(struct memory *m, void *p)
{
    struct memory *home = page_of(p)->owner;
    struct memory_freed *freed = freed_of_slot(p), *head = m->foreign;
    while (head && page_of(slot_of_freed(head))->owner != home)
        head = head->next_home;
    if (head) {
        freed->next = head->next;
        head->next = freed;
    } else {
        *freed = (struct memory_freed){.next_home = m->foreign};
        m->foreign = freed;
    }
    m->foreign_count++;
}

void memory_free(struct memory *m, void *p, size_t bytes)
{
    size_t cost = memory_cost(bytes);
    slot_size_check(p, bytes);
    count_subtract(m, cost);
    if (__builtin_expect(page_of(p)->owner == m, 1)) {
        slot_give(m, p);
    } else {
        m->elsewhere += (int64_t)cost;
        m->elsewhere_count++;
        foreign_push(m, p);
    }
}

void *memory_resize(struct memory *m, void *p, size_t old_bytes, size_t new_bytes)
{
    slot_size_check(p, old_bytes);
    if (slot_fits(p, new_bytes))
        return p;
    size_t old_cost = memory_cost(old_bytes), new_cost = memory_cost(new_bytes);
    if (new_cost > old_cost && new_cost - old_cost > memory_room(m))
        return NULL;
    void *to = slot_take(m, class_of(new_bytes), new_bytes);
    if (!to)
        return NULL;
    memcpy(to, p, old_bytes < new_bytes ? old_bytes : new_bytes);
    memory_free(m, p, old_bytes);
    count_add(m, new_cost);
    return to;
}

void memory_disown(struct memory *giver, size_t bytes)
{
    size_t cost = memory_cost(bytes);
    count_subtract(giver, cost);
    giver->elsewhere += (int64_t)cost;
    giver->elsewhere_count++;
}

bool memory_adopt(struct memory *taker, size_t bytes)
{
    size_t cost = memory_cost(bytes);
    if (cost > memory_room(taker))
        return false;
    count_add(taker, cost);
    taker->elsewhere -= (int64_t)cost;
    taker->elsewhere_count--;
    return true;
}

void *memory_foreign_take(struct memory *m, const struct memory *home)
{
    struct memory_freed **at = &m->foreign;
    while (*at && page_of(slot_of_freed(*at))->owner != home)
        at = &(*at)->next_home;
    struct memory_freed *list = *at;
    if (list)
        *at = list->next_home;
    for (const struct memory_freed *f = list; f; f = f->next)
        m->foreign_count--;
    return list;
}

void memory_free_home(struct memory *home, void *list)
{
    for (struct memory_freed *f = list, *next; f; f = next) {
        next = f->next;
        void *p = slot_of_freed(f);
        assert(page_of(p)->owner == home);
        home->elsewhere -= (int64_t)slot_cost(p);
        home->elsewhere_count--;
        slot_give(home, p);
    }
}

void memory_check(const struct memory *m)
{
    uint64_t bytes = 0, slots = 0, foreign = 0;
    region_sum(m, &bytes, &slots);
    assert(bytes == m->used + (uint64_t)m->elsewhere);
    assert(slots == m->allocations + (uint64_t)m->elsewhere_count);
    assert(m->used <= m->used_peak);
    for (struct memory_freed *head = m->foreign; head; head = head->next_home) {
        const struct memory *home = page_of(slot_of_freed(head))->owner;
        for (struct memory_freed *f = head; f; f = f->next, foreign++)
            assert(home != m && page_of(slot_of_freed(f))->owner == home);
    }
    assert(foreign == m->foreign_count);
}
