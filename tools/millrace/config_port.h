/* An interface of the configuration as drivers/dpdk takes it. */
#ifndef TOOLS_MILLRACE_CONFIG_PORT_H
#define TOOLS_MILLRACE_CONFIG_PORT_H

#include "drivers/dpdk/dpdk.h"
#include "tools/millrace/config.h"

/* Fills `port` with pointers into `c`, which must outlive it. */
void config_port(const struct config *c, const struct config_interface *n, struct dpdk_port_config *port);

/* "02:00:00:00:00:02", the address of one station; false for anything else. */
bool config_mac_parse(const char *text, uint8_t mac[6]);

#endif
