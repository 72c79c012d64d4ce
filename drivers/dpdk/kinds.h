/* The kinds of port and how their parameters become the device arguments of a DPDK driver. */
#ifndef DRIVERS_DPDK_KINDS_H
#define DRIVERS_DPDK_KINDS_H

#include "drivers/dpdk/dpdk.h"

#define KIND_DESCRIPTORS_DEFAULT 256

enum kind_flag {
    KIND_INTERRUPT = 1 << 0, /* the driver hands out a descriptor for each receive queue */
    KIND_OWN_MAC = 1 << 1,   /* the device's address is the kernel's or nobody's: we pick ours */
    KIND_CHECKSUM = 1 << 2,  /* its checksum offloads are done by hardware and may be used */
    KIND_PCI = 1 << 3,       /* found on a bus by its address; no device is created */
    KIND_RINGS = 1 << 5,     /* its rings hold packets of the pool: as many as they have descriptors */
    KIND_INTERFACE = 1 << 4, /* sits on a kernel interface, named by the parameter `interface` */
};

enum kind_parameter_type { PARAMETER_TEXT, PARAMETER_NUMBER, PARAMETER_CHOICE };

struct kind_parameter {
    const char *name;
    const char *devarg; /* NULL: not passed to the driver */
    enum kind_parameter_type type;
    bool required;
    uint32_t min, max;   /* of a number */
    const char *choices; /* "yes=1|no=0": word = what the driver wants; the first is the most usual */
    const char *preset;  /* as if configured, where it is not */
    const char *sentence;
};

struct kind {
    const char *name;
    const char *driver;        /* DPDK's */
    unsigned flags;            /* enum kind_flag */
    int socket_domain;         /* of the sockets that the driver reads from, 0: none */
    const char *queues_devarg; /* that takes the number of queues; NULL: the driver needs none */
    unsigned packets;          /* that its driver holds for a queue, whatever the descriptors; 0: see KIND_RINGS */
    const char *needs;
    const char *example;
    struct kind_parameter parameters[DPDK_PARAMETERS_MAX + 1]; /* ends with a NULL name */
};

const struct kind *kind_find(const char *name); /* NULL: no such kind */

/* A parameter as configured; NULL: it is not. */
const char *kind_value(const struct dpdk_port_config *config, const char *name);

/* Writes "iface=mr0,..." for a configuration that dpdk_port_check accepts. False when `size` is too small. */
bool kind_devargs(const struct kind *kind, const struct dpdk_port_config *config, char *out, size_t size);

#endif
