/* What SORT sorts: items in pieces, because one allocation is too small for many, and a heap sort over them, because it
 * takes no memory and is never slow. */
#include "cache/command/sort.h"

#define PIECE_ITEMS 1024

_Static_assert(PIECE_ITEMS * sizeof(struct cache_sort_item) <= MEMORY_LARGEST, "a piece is one allocation");
_Static_assert(CACHE_SORT_ITEMS_MAX / PIECE_ITEMS * sizeof(void *) <= MEMORY_LARGEST, "so is the list of pieces");

static uint64_t pieces_of(uint64_t items)
{
    return (items + PIECE_ITEMS - 1) / PIECE_ITEMS;
}

/* Only the last piece is smaller. */
static size_t piece_bytes(const struct cache_sort_vector *v, uint64_t piece)
{
    uint64_t rest = v->capacity - piece * PIECE_ITEMS;
    return (rest < PIECE_ITEMS ? rest : PIECE_ITEMS) * sizeof(struct cache_sort_item);
}

uint64_t cache_sort_vector_cost(uint64_t items)
{
    uint64_t bytes = items * sizeof(struct cache_sort_item) + pieces_of(items) * sizeof(void *);
    return bytes + bytes / 4 + CACHE_ALLOC_MAX;
}

bool cache_sort_vector_init(struct cache_sort_vector *v, struct memory *m, uint64_t capacity)
{
    *v = (struct cache_sort_vector){.memory = m, .capacity = capacity};
    uint64_t pieces = pieces_of(capacity);
    if (!pieces)
        return true;
    v->piece = memory_alloc(m, pieces * sizeof(*v->piece));
    if (!v->piece)
        return false;
    for (uint64_t i = 0; i < pieces; i++)
        v->piece[i] = NULL;
    for (uint64_t i = 0; i < pieces; i++)
        if (!(v->piece[i] = memory_alloc(m, piece_bytes(v, i)))) {
            cache_sort_vector_free(v);
            return false;
        }
    return true;
}

void cache_sort_vector_free(struct cache_sort_vector *v)
{
    uint64_t pieces = pieces_of(v->capacity);
    for (uint64_t i = 0; i < pieces && v->piece[i]; i++)
        memory_free(v->memory, v->piece[i], piece_bytes(v, i));
    if (v->piece)
        memory_free(v->memory, v->piece, pieces * sizeof(*v->piece));
    v->piece = NULL;
}

struct cache_sort_item *cache_sort_vector_at(const struct cache_sort_vector *v, uint64_t i)
{
    return &v->piece[i / PIECE_ITEMS][i % PIECE_ITEMS];
}

static int compare(const struct cache_sort_item *a, const struct cache_sort_item *b, bool alpha)
{
    if (alpha)
        return cache_sort_text_compare(&a->weight.text, &b->weight.text);
    if (a->weight.score != b->weight.score)
        return a->weight.score < b->weight.score ? -1 : 1;
    return cache_sort_text_compare(&a->element, &b->element);
}

static bool before(const struct cache_sort_item *a, const struct cache_sort_item *b, bool alpha, bool descending)
{
    int order = compare(a, b, alpha);
    if (!order)
        return a->index < b->index;
    return descending ? order > 0 : order < 0;
}

/* Below `at` both children's trees are heaps: the last in order on top. */
static void sift(struct cache_sort_vector *v, uint64_t at, uint64_t count, bool alpha, bool descending)
{
    struct cache_sort_item moving = *cache_sort_vector_at(v, at);
    for (uint64_t child; (child = 2 * at + 1) < count; at = child) {
        struct cache_sort_item *x = cache_sort_vector_at(v, child);
        if (child + 1 < count && before(x, cache_sort_vector_at(v, child + 1), alpha, descending))
            x = cache_sort_vector_at(v, ++child);
        if (!before(&moving, x, alpha, descending))
            break;
        *cache_sort_vector_at(v, at) = *x;
    }
    *cache_sort_vector_at(v, at) = moving;
}

void cache_sort_vector_sort(struct cache_sort_vector *v, bool alpha, bool descending)
{
    for (uint64_t i = v->count / 2; i-- > 0;)
        sift(v, i, v->count, alpha, descending);
    for (uint64_t i = v->count; i-- > 1;) {
        struct cache_sort_item *first = cache_sort_vector_at(v, 0), *last = cache_sort_vector_at(v, i);
        struct cache_sort_item swapped = *first;
        *first = *last;
        *last = swapped;
        sift(v, 0, i, alpha, descending);
    }
}
