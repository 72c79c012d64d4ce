#include "tools/millrace/doctor.h"

#include <linux/capability.h>
#include <linux/if_xdp.h>
#include <net/if.h>
#include <rte_version.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "drivers/dpdk/dpdk.h"
#include "drivers/dpdk/host.h"
#include "tools/millrace/config_port.h"
#include "tools/millrace/control_server.h"
#include "tools/millrace/privileges.h"
#include "tools/millrace/sizing.h"

enum verdict { OK, WARN, FAIL };

struct doctor {
    const struct config *config; /* may be NULL */
    FILE *out;
    unsigned fails;
};

static void say(struct doctor *d, enum verdict v, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void say(struct doctor *d, enum verdict v, const char *format, ...)
{
    static const char *const words[] = {"ok  ", "warn", "fail"};
    va_list arguments;
    va_start(arguments, format);
    fprintf(d->out, "%s ", words[v]);
    vfprintf(d->out, format, arguments);
    fputc('\n', d->out);
    va_end(arguments);
    d->fails += v == FAIL;
}

static bool uses(const struct doctor *d, enum config_driver driver)
{
    for (unsigned i = 0; d->config && i < d->config->interface_count; i++)
        if (d->config->interface[i].driver == (int)driver)
            return true;
    return !d->config && driver == CONFIG_TAP;
}

static void examine_version(struct doctor *d)
{
    if (RTE_VERSION >= RTE_VERSION_NUM(22, 11, 0, 0))
        say(d, OK, "dpdk: %s", rte_version());
    else
        say(d, FAIL, "dpdk: %s, expected 22.11 or later: apt install dpdk", rte_version());
}

static void examine_tap(struct doctor *d)
{
    if (!uses(d, CONFIG_TAP))
        return;
    if (privileges_have(CAP_NET_ADMIN))
        say(d, OK, "privileges: CAP_NET_ADMIN, which a TAP device needs");
    else
        say(d, FAIL,
            "privileges: CAP_NET_ADMIN is missing, which a TAP device needs: run with sudo, or once `sudo setcap "
            "cap_net_admin+ep` the binary");
    if (access("/dev/net/tun", R_OK | W_OK) == 0)
        say(d, OK, "tun: /dev/net/tun can be opened");
    else
        say(d, FAIL, "tun: /dev/net/tun cannot be opened: sudo modprobe tun");
}

static void examine_names(struct doctor *d)
{
    for (unsigned i = 0; d->config && i < d->config->interface_count; i++) {
        const struct config_interface *n = &d->config->interface[i];
        struct dpdk_port_config port;
        config_port(d->config, n, &port);
        for (unsigned k = 0; k < port.parameter_count && n->driver == CONFIG_TAP; k++)
            if (!strcmp(port.parameters[k].name, "interface") && host_interface_exists(port.parameters[k].value))
                say(d, FAIL,
                    "interface %s: the kernel has one of the name %s already: end what uses it, or give another name",
                    n->name, port.parameters[k].value);
    }
}

static void examine_xdp(struct doctor *d)
{
    if (!uses(d, CONFIG_AF_XDP))
        return;
    int s = socket(AF_XDP, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (s >= 0)
        say(d, OK, "af_xdp: the kernel has it");
    else
        say(d, FAIL, "af_xdp: no socket: run as root, on a kernel with CONFIG_XDP_SOCKETS");
    if (s >= 0)
        close(s);
}

static void examine_memory_lock(struct doctor *d, unsigned memory_mib)
{
    struct rlimit l;
    getrlimit(RLIMIT_MEMLOCK, &l);
    bool needed = uses(d, CONFIG_AF_XDP) || uses(d, CONFIG_PCI);
    if (l.rlim_cur == RLIM_INFINITY || l.rlim_cur / (1024 * 1024) >= memory_mib || privileges_have(CAP_IPC_LOCK))
        say(d, OK, "memory lock: allows the %u MiB that are used", memory_mib);
    else
        say(d, needed ? FAIL : OK, "memory lock: %lu KiB, %u MiB are used%s", (unsigned long)l.rlim_cur / 1024,
            memory_mib, needed ? ": ulimit -l unlimited" : ", but these drivers lock nothing");
}

static bool has_own_queues(const struct config_interface *n)
{
    return n->driver != CONFIG_PCAP && n->driver != CONFIG_NULL && n->driver != CONFIG_MEMIF;
}

static void examine_workers(struct doctor *d)
{
    const struct config *c = d->config;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    if (!c)
        return;
    if ((long)c->workers.count > cores)
        say(d, WARN, "workers: %lu on %ld cores: they take turns", (unsigned long)c->workers.count, cores);
    for (unsigned i = 0; i < c->workers.core_count; i++)
        if ((long)c->workers.cores[i] >= cores)
            say(d, WARN, "workers: there is no core %lu: lscpu", (unsigned long)c->workers.cores[i]);
    for (unsigned i = 0; c->workers.count > 1 && i < c->interface_count; i++)
        if (!has_own_queues(&c->interface[i]))
            say(d, FAIL,
                "interface %s: %lu workers, but the driver %s spreads no flows over queues (RSS): workers.count: 1",
                c->interface[i].name, (unsigned long)c->workers.count, config_driver_names[c->interface[i].driver]);
}

static int node_of_core(unsigned core)
{
    char path[96];
    for (int node = 0; node < 64; node++) {
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%u/node%d", core, node);
        if (access(path, F_OK) == 0)
            return node;
    }
    return -1;
}

static int node_of_card(const char *address)
{
    char path[128];
    int node = -1;
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%.32s/numa_node", address);
    FILE *f = fopen(path, "re");
    if (f && fscanf(f, "%d", &node) != 1)
        node = -1;
    if (f)
        fclose(f);
    return node;
}

/* Packets that cross the sockets' interconnect cost about twice. */
static void examine_nodes(struct doctor *d)
{
    const struct config *c = d->config;
    for (unsigned i = 0; c && i < c->interface_count; i++) {
        const struct config_interface *n = &c->interface[i];
        for (unsigned p = 0; n->driver == CONFIG_PCI && p < n->parameter_count; p++) {
            int card = strcmp(n->parameter[p].name, "address") ? -1 : node_of_card(n->parameter[p].value);
            for (unsigned k = 0; card >= 0 && k < c->workers.core_count; k++)
                if (node_of_core((unsigned)c->workers.cores[k]) != card)
                    say(d, WARN, "numa: core %lu is not on node %d, where the card of %s is: choose other cores",
                        (unsigned long)c->workers.cores[k], card, n->name);
        }
    }
}

static void examine_control(struct doctor *d)
{
    char path[256];
    if (!d->config || !d->config->control.enabled)
        return;
    control_default_path(d->config->name, path, sizeof path);
    if (d->config->control.path)
        snprintf(path, sizeof path, "%s", d->config->control.path);
    if (control_is_alive(path))
        say(d, FAIL, "control: a process answers at %s: end it, or give this one another name", path);
    else
        say(d, OK, "control: %s is free", path);
}

/* What drivers/dpdk finds, in our words for it. */
static void examine_devices(struct doctor *d, unsigned memory_mib)
{
    struct dpdk_port_config ports[NETIF_MAX];
    struct dpdk_eal_config eal = {.memory_mib = memory_mib, .ports = ports};
    for (unsigned i = 0; d->config && i < d->config->interface_count; i++)
        config_port(d->config, &d->config->interface[i], &ports[eal.port_count++]);
    char *text = NULL, *rest;
    size_t bytes;
    FILE *f = open_memstream(&text, &bytes);
    if (!f)
        return;
    dpdk_doctor(&eal, f);
    fclose(f);
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *what = strchr(line, ' ');
        enum verdict v = !strncmp(line, "ok", 2) ? OK : !strncmp(line, "warning", 7) ? WARN : FAIL;
        say(d, v, "%s", what ? what + 1 : line);
    }
    free(text);
}

bool doctor_examine(const struct config *c, FILE *out)
{
    struct doctor d = {c, out, 0};
    struct sizing s = {.memory_mib = 0};
    if (c)
        sizing_compute(c, &s);
    examine_version(&d);
    examine_tap(&d);
    examine_names(&d);
    examine_xdp(&d);
    examine_memory_lock(&d, s.memory_mib ? s.memory_mib : 128);
    examine_workers(&d);
    examine_nodes(&d);
    examine_control(&d);
    examine_devices(&d, s.memory_mib);
    return d.fails == 0;
}
