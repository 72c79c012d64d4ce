/* What this machine offers, in lines that name the remedy. */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include <millrace/error.h>

#include "drivers/dpdk/kinds.h"
#include "drivers/dpdk/memory.h"

#define MEMORY_MIB_DEFAULT 256
#define CAP_NET_ADMIN_BIT  12 /* capabilities(7) */
#define CAP_NET_RAW_BIT    13

static bool capable(int bit)
{
    unsigned long long mask = 0;
    char line[128];
    FILE *file = fopen("/proc/self/status", "r");
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "CapEff: %llx", &mask) == 1)
            break;
    }
    if (file)
        fclose(file);
    return mask >> bit & 1;
}

static bool cpu_flag(const char *flag)
{
    char line[8192];
    bool found = false;
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file && !found && fgets(line, sizeof line, file))
        found = strncmp(line, "flags", 5) == 0 && strstr(line, flag);
    if (file)
        fclose(file);
    return found;
}

static void memory_report(const struct dpdk_eal_config *config, unsigned *errors, FILE *out)
{
    unsigned wanted = config->memory_mib ? config->memory_mib : MEMORY_MIB_DEFAULT, have = memory_hugepages_free_mib();
    if (config->hugepages == DPDK_HUGEPAGES_NEVER)
        fprintf(out, "ok hugepages: not wanted\n");
    else if (have >= wanted)
        fprintf(out, "ok hugepages: %u MiB free, %u wanted\n", have, wanted);
    else if (config->hugepages == DPDK_HUGEPAGES_AUTO)
        fprintf(
            out,
            "warning hugepages: %u MiB free, %u wanted; ordinary pages are used: echo %u > /proc/sys/vm/nr_hugepages\n",
            have, wanted, wanted / 2);
    else {
        fprintf(out, "error hugepages: %u MiB free, %u required: echo %u > /proc/sys/vm/nr_hugepages\n", have, wanted,
                wanted / 2);
        ++*errors;
    }
}

static void clock_report(FILE *out)
{
    if (cpu_flag("constant_tsc") && cpu_flag("nonstop_tsc"))
        fprintf(out, "ok clock: the time stamp counter is invariant\n");
    else
        fprintf(out,
                "warning clock: the time stamp counter is not invariant; each turn asks the kernel, which costs 20 to "
                "50 ns\n");
}

static void privilege_report(const struct dpdk_port_config *port, unsigned *errors, FILE *out)
{
    const struct kind *kind = kind_find(port->kind);
    bool tap = strcmp(kind->name, "tap") == 0, raw = kind->flags & KIND_INTERFACE;
    if ((tap || kind->socket_domain) && !capable(raw ? CAP_NET_RAW_BIT : CAP_NET_ADMIN_BIT)) {
        fprintf(out, "error port %s: it needs %s: run as root or setcap the binary\n", port->name, kind->needs);
        ++*errors;
    } else if (tap && access("/dev/net/tun", R_OK | W_OK) != 0) {
        fprintf(out, "error port %s: /dev/net/tun cannot be opened: modprobe tun\n", port->name);
        ++*errors;
    } else if (raw && !host_interface_exists(kind_value(port, "interface"))) {
        fprintf(out, "error port %s: there is no interface %s: ip link\n", port->name, kind_value(port, "interface"));
        ++*errors;
    } else {
        fprintf(out, "ok port %s: %s\n", port->name, kind->name);
    }
}

static void card_report(const struct dpdk_port_config *port, unsigned *errors, FILE *out)
{
    char path[160], target[256];
    const char *address = kind_value(port, "address");
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%.64s/driver", address);
    ssize_t n = readlink(path, target, sizeof target - 1);
    target[n > 0 ? n : 0] = 0;
    if (strstr(target, "vfio-pci") || strstr(target, "uio")) {
        fprintf(out, "ok port %s: %s is bound to a user-space driver\n", port->name, address);
        return;
    }
    fprintf(out, "error port %s: %s is not bound to a user-space driver: dpdk-devbind.py -b vfio-pci %s\n", port->name,
            address, address);
    ++*errors;
}

static void port_report(const struct dpdk_port_config *port, unsigned *errors, FILE *out)
{
    struct dpdk_complaint complaint;
    if (dpdk_port_check(port, &complaint) != MR_OK) {
        fprintf(out, "error port %s: %s: %s\n", port->name ? port->name : "?", complaint.key, complaint.text);
        ++*errors;
    } else if (kind_find(port->kind)->flags & KIND_PCI) {
        card_report(port, errors, out);
    } else {
        privilege_report(port, errors, out);
    }
}

unsigned dpdk_doctor(const struct dpdk_eal_config *config, FILE *out)
{
    unsigned errors = 0;
    memory_report(config, &errors, out);
    clock_report(out);
    for (unsigned i = 0; i < config->port_count; i++)
        port_report(&config->ports[i], &errors, out);
    return errors;
}
