/* What no single value shows: each function here checks one relation between values. */
#include <stdlib.h>
#include <string.h>

#include "stack/tcp/tcp.h"
#include "tools/millrace/config.h"
#include "tools/millrace/config_port.h"

#define LISTENER_MAX 1024

static uint32_t mask_of(unsigned bits)
{
    return bits ? UINT32_MAX << (32 - bits) : 0;
}

static uint32_t ip_of(const struct mr_config_prefix *p)
{
    return mr_address_to_ip4(&p->address);
}

static bool in_prefix(uint32_t ip, const struct mr_config_prefix *p)
{
    return ((ip ^ ip_of(p)) & mask_of(p->bits)) == 0;
}

/* The interface whose subnet holds `ip`, or NULL. */
static const struct config_interface *interface_towards(const struct config *c, uint32_t ip)
{
    for (unsigned i = 0; i < c->interface_count; i++)
        for (unsigned j = 0; j < c->interface[i].address_count; j++)
            if (in_prefix(ip, &c->interface[i].address[j]))
                return &c->interface[i];
    return NULL;
}

static bool is_ours(const struct config *c, const struct mr_address *a)
{
    for (unsigned i = 0; i < c->interface_count; i++)
        for (unsigned j = 0; j < c->interface[i].address_count; j++)
            if (mr_address_equal(&c->interface[i].address[j].address, a))
                return true;
    return false;
}

/* RFC 1122 3.2.1.3: what no host may have as its own address. */
static const char *why_no_host_address(const struct mr_config_prefix *p)
{
    uint32_t ip = ip_of(p), host = ~mask_of(p->bits);
    if (p->bits == 0)
        return "has no prefix length of a subnet, expected one from /1 to /32";
    if (ip >> 24 == 0 || ip >> 24 == 127 || ip >> 28 >= 14)
        return "is not an address for a host (0/8, 127/8 and 224/3 are not)";
    if (p->bits < 31 && (ip & host) == 0)
        return "is the address of the network itself, expected one of a host in it";
    if (p->bits < 31 && (ip & host) == host)
        return "is the broadcast address of its subnet, expected one of a host in it";
    return NULL;
}

static void check_host_address(const struct config *c, const struct mr_config_prefix *p, struct config_report *r)
{
    char text[MR_ADDRESS_TEXT_MAX];
    struct config_mark mark = config_mark_of(c, p);
    mr_address_text(&p->address, text);
    if (!mr_address_is_ip4(&p->address)) {
        config_report_add(r, mark, "%s is not IPv4, expected such as 198.18.0.2/24: this version speaks IPv4 only",
                          text);
        return;
    }
    const char *why = why_no_host_address(p);
    if (why)
        config_report_add(r, mark, "%s/%u %s", text, p->bits, why);
}

/* Is the same address given before this one, to any interface or its host? */
static void check_duplicate_address(const struct config *c, const struct mr_config_prefix *p, struct config_report *r)
{
    char text[MR_ADDRESS_TEXT_MAX];
    for (unsigned i = 0; i < c->interface_count; i++) {
        const struct config_interface *n = &c->interface[i];
        for (unsigned j = 0; j <= n->address_count; j++) {
            const struct mr_config_prefix *other = j < n->address_count ? &n->address[j] : &n->host_address;
            if (other == p)
                return;
            if (mr_address_equal(&other->address, &p->address) && !mr_address_is_any(&p->address)) {
                config_report_add(r, config_mark_of(c, p), "address %s is given twice, first on line %u",
                                  mr_address_text(&p->address, text), config_mark_of(c, other).line);
                return;
            }
        }
    }
}

static void check_host_side(const struct config *c, const struct config_interface *n, struct config_report *r)
{
    char host[MR_ADDRESS_TEXT_MAX];
    if (mr_address_is_any(&n->host_address.address))
        return;
    check_host_address(c, &n->host_address, r);
    check_duplicate_address(c, &n->host_address, r);
    for (unsigned i = 0; i < n->address_count; i++)
        if (in_prefix(ip_of(&n->host_address), &n->address[i]) && n->host_address.bits == n->address[i].bits)
            return;
    if (n->address_count)
        config_report_add(
            r, config_mark_of(c, &n->host_address),
            "host_address %s/%u is on no subnet of interface %s, expected one of the same prefix as its address",
            mr_address_text(&n->host_address.address, host), n->host_address.bits, n->name);
}

/* What drivers/dpdk says about the driver and its parameters. */
static void check_driver(const struct config *c, const struct config_interface *n, struct config_report *r)
{
    struct dpdk_port_config port;
    struct dpdk_complaint complaint;
    config_port(c, n, &port);
    if (dpdk_port_check(&port, &complaint) == MR_OK)
        return;
    struct config_mark mark = config_mark_of(c, &n->name);
    for (unsigned i = 0; i < n->parameter_count; i++)
        if (!strcmp(n->parameter[i].name, complaint.key))
            mark = config_mark_of(c, &n->parameter[i]);
    config_report_add(r, mark, "interface %s: %s: %s", n->name, complaint.key, complaint.text);
}

static void check_host_driver(const struct config *c, const struct config_interface *n, struct config_report *r)
{
    if (n->driver != CONFIG_TAP && !mr_address_is_any(&n->host_address.address))
        config_report_add(r, config_mark_of(c, &n->host_address),
                          "interface %s: host_address is for the driver tap alone, which makes the host's side",
                          n->name);
}

static void check_device_values(const struct config *c, const struct config_interface *n, struct config_report *r)
{
    uint8_t mac[6];
    if (n->mac && !config_mac_parse(n->mac, mac))
        config_report_add(r, config_mark_of(c, &n->mac),
                          "mac is '%s', expected the address of one station such as 02:00:00:00:00:02", n->mac);
    if (n->descriptors & (n->descriptors - 1))
        config_report_add(r, config_mark_of(c, &n->descriptors), "descriptors is %lu, expected a power of two",
                          (unsigned long)n->descriptors);
    if (n->queues && n->queues != c->workers.count)
        config_report_add(r, config_mark_of(c, &n->queues), "queues is %lu, expected 0 or the number of workers, %lu",
                          (unsigned long)n->queues, (unsigned long)c->workers.count);
    if (strpbrk(n->name, "/ \t\n:%") || !strcmp(n->name, ".") || !strcmp(n->name, ".."))
        config_report_add(r, config_mark_of(c, &n->name), "name '%s' is no interface name, expected letters and digits",
                          n->name);
}

static void check_interface(const struct config *c, const struct config_interface *n, struct config_report *r)
{
    for (const struct config_interface *before = c->interface; before < n; before++)
        if (!strcmp(before->name, n->name))
            config_report_add(r, config_mark_of(c, &n->name), "interface name '%s' is given twice, first on line %u",
                              n->name, config_mark_of(c, &before->name).line);
    check_device_values(c, n, r);
    check_host_driver(c, n, r);
    check_driver(c, n, r);
    for (unsigned i = 0; i < n->address_count; i++) {
        check_host_address(c, &n->address[i], r);
        check_duplicate_address(c, &n->address[i], r);
    }
    check_host_side(c, n, r);
}

static void check_route_prefix(const struct config *c, const struct config_route *t, struct config_report *r)
{
    char text[MR_ADDRESS_TEXT_MAX], network[MR_ADDRESS_TEXT_MAX];
    uint32_t ip = ip_of(&t->prefix), mask = mask_of(t->prefix.bits);
    struct mr_address a = mr_address_ip4(ip & mask);
    mr_address_text(&t->prefix.address, text);
    if (!mr_address_is_ip4(&t->prefix.address))
        config_report_add(r, config_mark_of(c, &t->prefix), "route %s is not IPv4: this version speaks IPv4 only",
                          text);
    else if (ip & ~mask)
        config_report_add(r, config_mark_of(c, &t->prefix),
                          "route %s/%u has bits beyond its prefix length, expected %s/%u", text, t->prefix.bits,
                          mr_address_text(&a, network), t->prefix.bits);
    for (const struct config_route *before = c->route; before < t; before++)
        if (mr_address_equal(&before->prefix.address, &t->prefix.address) && before->prefix.bits == t->prefix.bits)
            config_report_add(r, config_mark_of(c, &t->prefix), "route %s/%u is given twice, first on line %u", text,
                              t->prefix.bits, config_mark_of(c, &before->prefix).line);
}

static void check_route_path(const struct config *c, const struct config_route *t, struct config_report *r)
{
    char text[MR_ADDRESS_TEXT_MAX];
    bool has_gateway = !mr_address_is_any(&t->via), known = false;
    if (has_gateway == (t->interface != NULL)) {
        config_report_add(r, config_mark_of(c, &t->prefix), "a route has %s, expected either via or interface",
                          has_gateway ? "both a gateway and an interface" : "neither a gateway nor an interface");
        return;
    }
    if (!has_gateway) {
        for (unsigned i = 0; i < c->interface_count; i++)
            known |= !strcmp(c->interface[i].name, t->interface);
        if (!known)
            config_report_add(r, config_mark_of(c, &t->interface), "there is no interface '%s'", t->interface);
        return;
    }
    mr_address_text(&t->via, text);
    if (!mr_address_is_ip4(&t->via) || !interface_towards(c, mr_address_to_ip4(&t->via)))
        config_report_add(r, config_mark_of(c, &t->via),
                          "gateway %s is outside every interface's subnet, expected an address that a neighbour has",
                          text);
    else if (is_ours(c, &t->via))
        config_report_add(r, config_mark_of(c, &t->via), "gateway %s is our own address, expected a neighbour's", text);
}

struct listeners {
    const struct config *config;
    const struct config_service *service; /* whose are visited now */
    struct config_report *report;
    unsigned count;
    struct listener {
        const struct mr_endpoint *endpoint;
        const struct config_service *service;
        bool datagrams;
    } listener[LISTENER_MAX];
};

/* Does one that came before take the same endpoint? */
static void check_listener_alone(const struct listeners *all, const struct listener *l, struct config_mark mark)
{
    char text[MR_ENDPOINT_TEXT_MAX];
    for (const struct listener *other = all->listener; other < l; other++) {
        if (other->endpoint->port != l->endpoint->port || other->datagrams != l->datagrams ||
            !mr_address_equal(&other->endpoint->address, &l->endpoint->address))
            continue;
        struct config_mark first = config_mark_of(all->config, other->endpoint);
        config_report_add(all->report, mark, "%s listens on %s, which %s of line %u does already",
                          l->service->service->name, mr_endpoint_text(l->endpoint, text), other->service->service->name,
                          first.line ? first.line : other->service->mark.line);
        return;
    }
}

static void check_listener(const struct config_listener *found, void *argument)
{
    struct listeners *all = argument;
    const struct config *c = all->config;
    const struct mr_endpoint *e = found->endpoint;
    const char *name = found->service->name;
    char text[MR_ENDPOINT_TEXT_MAX];
    struct config_mark mark = config_mark_of(c, e);
    bool written = mark.line != 0;
    if (e->port == 0 && (config_key_may_be_off(found->key) || (found->key->optional && !written)))
        return;
    if (!written)
        mark = all->service->mark; /* a preset: the service's place has to do */
    if (e->port == 0)
        config_report_add(all->report, mark, "%s: port 0 cannot be listened on, expected 1 to 65535", name);
    if (!mr_address_is_any(&e->address) && !is_ours(c, &e->address))
        config_report_add(all->report, mark, "%s listens on %s, which is the address of no interface", name,
                          mr_endpoint_text(e, text));
    if (all->count == LISTENER_MAX)
        return;
    struct listener *l = &all->listener[all->count++];
    *l = (struct listener){e, all->service, found->mode && !strcmp(found->mode, "udp")};
    check_listener_alone(all, l, mark);
}

/* The service's own check; a value that it points to gives the place. */
static void check_own(const struct config *c, const struct config_service *s, struct config_report *r)
{
    char message[CONFIG_MESSAGE_MAX - 64] = "";
    const void *value = NULL;
    bool good = s->service->check_value ? s->service->check_value(s->values, &value, message, sizeof message)
                : s->service->check     ? s->service->check(s->values, message, sizeof message)
                                        : true;
    struct config_mark mark = value ? config_mark_of(c, value) : s->mark;
    if (!good)
        config_report_add(r, mark.line ? mark : s->mark, "%s: %s", s->service->name, message);
}

static void check_services(const struct config *c, struct config_report *r)
{
    struct listeners all = {.config = c, .report = r};
    for (unsigned i = 0; i < c->service_count; i++) {
        all.service = &c->service[i];
        config_each_listener(all.service->service, all.service->values, check_listener, &all);
        check_own(c, all.service, r);
    }
}

static void check_workers(const struct config *c, struct config_report *r)
{
    const struct config_workers *w = &c->workers;
    if (w->core_count && w->core_count < w->count)
        config_report_add(r, config_mark_of(c, &w->cores[0]), "%u cores for %lu workers, expected one for each",
                          w->core_count, (unsigned long)w->count);
    for (unsigned i = 0; i < w->core_count; i++)
        for (unsigned j = 0; j < i; j++)
            if (w->cores[i] == w->cores[j])
                config_report_add(r, config_mark_of(c, &w->cores[i]), "core %lu is given twice",
                                  (unsigned long)w->cores[i]);
}

static void check_congestion(const struct config *c, struct config_report *r)
{
    const char *names[32];
    unsigned n = 0;
    for (; n < 32 && tcp_algorithms[n]; n++)
        names[n] = tcp_algorithms[n]->name;
    if (tcp_algorithm_find(c->congestion) >= 0)
        return;
    const char *nearest = config_nearest(c->congestion, names, n);
    config_report_add(r, config_mark_of(c, &c->congestion), "there is no congestion control '%s', %s '%s'%s",
                      c->congestion, nearest ? "did you mean" : "expected such as", nearest ? nearest : names[0],
                      nearest ? "?" : "");
}

void config_check(const struct config *c, struct config_report *r)
{
    if (c->name[strspn(c->name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")])
        config_report_add(r, config_mark_of(c, &c->name),
                          "name '%s' becomes part of a path, expected letters, digits, - and _", c->name);
    if (c->interface_count == 0)
        config_report_add(r, (struct config_mark){0, 0},
                          "no interface, expected `interfaces:` with at least one, such as `- {name: mr0, address: "
                          "198.18.0.2/24}`");
    check_congestion(c, r);
    check_workers(c, r);
    for (unsigned i = 0; i < c->interface_count; i++)
        check_interface(c, &c->interface[i], r);
    for (unsigned i = 0; i < c->route_count; i++) {
        check_route_prefix(c, &c->route[i], r);
        check_route_path(c, &c->route[i], r);
    }
    check_services(c, r);
}
