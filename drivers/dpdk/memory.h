/* How much hugepage memory is there to take. */
#ifndef DRIVERS_DPDK_MEMORY_H
#define DRIVERS_DPDK_MEMORY_H

/* MiB in free hugepages of any size; 0 without hugepages. */
unsigned memory_hugepages_free_mib(void);

#endif
