#include "tools/millrace/config_port.h"

#include <string.h>

bool config_mac_parse(const char *text, uint8_t mac[6])
{
    unsigned b[6];
    char rest;
    if (sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%c", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5], &rest) != 6)
        return false;
    if (b[0] & 1 || !(b[0] | b[1] | b[2] | b[3] | b[4] | b[5]))
        return false;
    for (unsigned i = 0; i < 6; i++)
        mac[i] = (uint8_t)b[i];
    return true;
}

void config_port(const struct config *c, const struct config_interface *n, struct dpdk_port_config *port)
{
    *port = (struct dpdk_port_config){
        .name = n->name,
        .kind = config_driver_names[n->driver],
        .queues = (unsigned)c->workers.count,
        .rx_descriptors = (unsigned)n->descriptors,
        .tx_descriptors = (unsigned)n->descriptors,
        .mtu = (unsigned)n->mtu,
    };
    bool named = false;
    for (unsigned i = 0; i < n->parameter_count; i++) {
        port->parameters[port->parameter_count++] =
            (struct dpdk_parameter){n->parameter[i].name, n->parameter[i].value};
        named |= !strcmp(n->parameter[i].name, "interface");
    }
    if (n->driver == CONFIG_TAP && !named) /* the kernel's side is called as ours */
        port->parameters[port->parameter_count++] = (struct dpdk_parameter){"interface", n->name};
    if (n->mac)
        config_mac_parse(n->mac, port->mac);
}
