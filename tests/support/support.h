/* What every test needs: DPDK without hugepages, devices or root, and input flush against a guard page. */
#ifndef TESTS_SUPPORT_H
#define TESTS_SUPPORT_H

#include <stddef.h>
#include <stdint.h>

struct rte_mempool;

/* Starts EAL once for the process: no huge pages, no shared files, no devices, `megabytes` of memory. Exits on failure. */
void support_start_dpdk(unsigned megabytes);

/* A packet pool with a name of its own; exits on failure. */
struct rte_mempool *support_pool(unsigned packets);

/* A copy of `data` whose last byte is followed by a page that faults; free with support_guarded_free. */
uint8_t *support_guarded(const void *data, size_t n);
void support_guarded_free(uint8_t *data, size_t n);

#endif
