/* DPDK's own log lines, led into ours. */
#ifndef DRIVERS_DPDK_CHATTER_H
#define DRIVERS_DPDK_CHATTER_H

#include <stdbool.h>
#include <stdint.h>

#include <millrace/log.h>

/* Before EAL starts. */
void chatter_route(void);

/* The level to give EAL, so that it does not format what nobody reads. */
uint32_t chatter_level(enum mr_log_level level);

/* What drivers call an error is often one way of several that failed: between hold and release such lines are kept back,
 * and shown as warnings only when the whole failed. Control thread only. */
void chatter_hold(void);
void chatter_release(bool failed);

/* After EAL loaded its drivers: libbpf's and libxdp's lines too, at debug level. */
void chatter_quiet_libraries(void);

#endif
