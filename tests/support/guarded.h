/* Input whose last byte is followed by a page that faults, for tests without DPDK (support.h has the same for those with). */
#ifndef TESTS_GUARDED_H
#define TESTS_GUARDED_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static inline size_t guarded_room(size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (n + page - 1) / page * page;
}
static inline uint8_t *guarded(const void *data, size_t n)
{
    size_t room = guarded_room(n), page = (size_t)sysconf(_SC_PAGESIZE);
    uint8_t *base = mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED || mprotect(base + room, page, PROT_NONE) != 0)
        abort();
    if (n)
        memcpy(base + room - n, data, n);
    return base + room - n;
}
static inline void guarded_free(uint8_t *data, size_t n)
{
    munmap(data + n - guarded_room(n), guarded_room(n) + (size_t)sysconf(_SC_PAGESIZE));
}

#endif
