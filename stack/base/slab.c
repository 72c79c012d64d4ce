#include "stack/base/slab.h"

#include <sanitizer/asan_interface.h>
#include <string.h>
#include <sys/mman.h>

#include "stack/base/assert.h"

/* A free object holds index + 1 of the next free one in its first bytes; the rest of it is poisoned for AddressSanitizer,
 * so that a use after slab_put is reported. */
#define FREE_LINK_BYTES 8

static size_t slab_bytes(const struct slab *s)
{
    size_t bytes = (size_t)s->stride * s->limit;
    return bytes ? bytes : 1;
}

bool slab_init(struct slab *s, const char *name, size_t bytes, size_t align, uint32_t limit)
{
    ASSERT_COMPARE(align & (align - 1), ==, 0);
    ASSERT_COMPARE(align, <=, 64);
    align = align < FREE_LINK_BYTES ? FREE_LINK_BYTES : align;
    size_t stride = (bytes + align - 1) & ~(align - 1);
    ASSERT_COMPARE(stride - 1, <, UINT32_MAX);
    *s = (struct slab){.name = name, .stride = (uint32_t)stride, .limit = limit, .fail_after = UINT32_MAX};
    void *base = mmap(NULL, slab_bytes(s), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED)
        return false;
    s->base = base;
    return true;
}

void slab_free_all(struct slab *s)
{
    if (!s->base)
        return;
    ASAN_UNPOISON_MEMORY_REGION(s->base, slab_bytes(s));
    munmap(s->base, slab_bytes(s));
    *s = (struct slab){.name = s->name};
}

static bool slab_must_fail(struct slab *s)
{
    if (__builtin_expect(s->fail_after == UINT32_MAX, 1))
        return false;
    if (s->fail_after == 0)
        return true;
    s->fail_after--;
    return false;
}

void *slab_get(struct slab *s)
{
    if (slab_must_fail(s))
        return NULL;
    void *object;
    if (s->free) {
        object = slab_at(s, s->free - 1);
        memcpy(&s->free, object, sizeof s->free);
        ASAN_UNPOISON_MEMORY_REGION(object, s->stride);
        memset(object, 0, s->stride);
    } else if (s->touched < s->limit) {
        object = slab_at(s, s->touched++); /* as the kernel gives it: zero */
    } else {
        return NULL;
    }
    s->used++;
    return object;
}

void slab_put(struct slab *s, void *object)
{
    uint32_t index = slab_index(s, object);
    ASSERT_COMPARE(index, <, s->touched);
    ASSERT_COMPARE((uintptr_t)slab_at(s, index), ==, (uintptr_t)object);
    ASSERT_COMPARE(s->used, >, 0);
    memcpy(object, &s->free, sizeof s->free);
    ASAN_POISON_MEMORY_REGION((uint8_t *)object + FREE_LINK_BYTES, s->stride - FREE_LINK_BYTES);
    s->free = index + 1;
    s->used--;
}
