/* The kernel's end of an interface, set up by ioctl: address, mask, MTU, up, and its offloads off. */
#ifndef DRIVERS_DPDK_HOST_H
#define DRIVERS_DPDK_HOST_H

#include <stdbool.h>

/* Configures `interface` in the current network namespace: `prefix` ("198.18.0.1/24", IPv4; NULL leaves the addresses
 * alone), `mtu` (0 leaves it), up or down, no IPv6 (its router solicitations and multicast reports are noise on a link
 * with one peer). MR_OK, MR_ERROR_INVALID (malformed prefix or name), MR_ERROR_UNKNOWN (no such interface) or
 * MR_ERROR_SYSTEM (errno; EPERM: CAP_NET_ADMIN is missing). */
int host_interface_configure(const char *interface, const char *prefix, bool up, unsigned mtu);

/* Turns checksum, segmentation and receive-coalescing offloads of `interface` off. Needed on the kernel's end of a veth
 * whose other end we read: otherwise partial checksums and frames larger than the MTU arrive. An offload that the
 * device does not have is no error. Same errors as above. */
int host_interface_offloads_off(const char *interface);

bool host_interface_exists(const char *interface);

unsigned host_interface_mtu(const char *interface); /* bytes of IP datagram; 0 when it cannot be told */

#endif
