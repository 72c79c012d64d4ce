#include "tests/support/support.h"

#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "stack/core/packet.h"

void support_start_dpdk(unsigned megabytes)
{
    static int started;
    if (started++)
        return;
    char memory[16];
    snprintf(memory, sizeof memory, "%u", megabytes);
    char *arguments[] = {"test", "--no-huge", "--no-shconf", "--no-pci", "--no-telemetry", "--log-level", "4",
                         "-m", memory, "-l", "0"};
    if (rte_eal_init((int)(sizeof arguments / sizeof *arguments), arguments) < 0) {
        fprintf(stderr, "support: EAL does not start: %s\n", rte_strerror(rte_errno));
        exit(99);
    }
}

struct rte_mempool *support_pool(unsigned packets)
{
    static unsigned serial;
    char name[32];
    snprintf(name, sizeof name, "test%u", serial++);
    struct rte_mempool *pool = packet_pool_create(name, packets, SOCKET_ID_ANY, true);
    if (!pool) {
        fprintf(stderr, "support: no pool of %u packets: %s\n", packets, rte_strerror(rte_errno));
        exit(99);
    }
    return pool;
}

static size_t guarded_bytes(size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (n + page - 1) / page * page + page;
}

uint8_t *support_guarded(const void *data, size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = guarded_bytes(n);
    uint8_t *area = mmap(NULL, whole, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED || mprotect(area + whole - page, page, PROT_NONE) != 0)
        abort();
    uint8_t *start = area + whole - page - n;
    memcpy(start, data, n);
    return start;
}

void support_guarded_free(uint8_t *data, size_t n)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), whole = guarded_bytes(n);
    munmap(data + n + page - whole, whole);
}
