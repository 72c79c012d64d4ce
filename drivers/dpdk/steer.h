/* Which queue of a tap device a flow comes to, private to drivers/dpdk. */
#ifndef DRIVERS_DPDK_STEER_H
#define DRIVERS_DPDK_STEER_H

#include <stdbool.h>

struct dpdk_port;

/* Gives a started tap device with several queues our program, and describes in links[].rss what it does; false: it keeps the kernel's own
 * rule. */
bool steer_tap(struct dpdk_port *port);

/* A descriptor of the program, of a type of linux/bpf.h whose packets begin with the frame: it returns the low 7 bits of the Toeplitz hash, 0
 * for what is not IPv4. Negative: errno says why. */
int steer_program_load(unsigned type);

#endif
