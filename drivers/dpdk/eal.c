/* Starting EAL: a memory-only, single-process, quiet instance made from a small struct. */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <millrace/error.h>
#include <millrace/log.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_lcore.h>

#include "drivers/dpdk/chatter.h"
#include "drivers/dpdk/kinds.h"
#include "drivers/dpdk/memory.h"

#define ARGUMENTS_MAX      (16 + 2 * DPDK_QUEUES_MAX)
#define MEMORY_MIB_DEFAULT 256

/* ---- arguments ---- */

struct arguments {
    int count;
    char *values[ARGUMENTS_MAX + 1];
};

static void argument_add(struct arguments *a, const char *text)
{
    if (a->count < ARGUMENTS_MAX)
        a->values[a->count++] = strdup(text);
}

static void arguments_free(struct arguments *a)
{
    while (a->count > 0)
        free(a->values[--a->count]);
}

/* lcore 0 floats over every CPU that we may use: EAL pins nothing, workers are threads of ours. */
static void lcore_argument_add(struct arguments *a, const cpu_set_t *allowed)
{
    char text[1024] = "--lcores=0@(";
    size_t used = strlen(text);
    const char *comma = "";
    for (int cpu = 0; cpu < CPU_SETSIZE && used < sizeof text - 16; cpu++) {
        if (!CPU_ISSET(cpu, allowed))
            continue;
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%d", comma, cpu);
        comma = ",";
    }
    snprintf(text + used, sizeof text - used, ")");
    argument_add(a, text);
}

/* Scanning PCI is slow and takes devices that are not ours: only those named are looked at. */
static void pci_arguments_add(struct arguments *a, const struct dpdk_eal_config *config)
{
    bool found = false;
    for (unsigned i = 0; i < config->port_count; i++) {
        const char *address = kind_value(&config->ports[i], "address");
        if (strcmp(config->ports[i].kind, "pci") != 0 || !address)
            continue;
        argument_add(a, "-a");
        argument_add(a, address);
        found = true;
    }
    if (!found)
        argument_add(a, "--no-pci");
}

static void arguments_make(struct arguments *a, const struct dpdk_eal_config *config, bool hugepages,
                           unsigned memory_mib, const cpu_set_t *allowed)
{
    char text[64];
    argument_add(a, "millrace");
    argument_add(a, "--no-telemetry");
    snprintf(text, sizeof text, "--file-prefix=millrace-%d", (int)getpid());
    argument_add(a, text);
    snprintf(text, sizeof text, "--log-level=%u", chatter_level(mr_log_get_level()));
    argument_add(a, text);
    snprintf(text, sizeof text, "-m%u", memory_mib);
    argument_add(a, text);
    if (hugepages) {
        argument_add(a, "--in-memory");            /* no files, and any number of processes side by side */
        argument_add(a, "--single-file-segments"); /* vhost-user passes at most 8 descriptors of memory */
    } else {
        argument_add(a, "--no-huge"); /* excludes --in-memory */
        argument_add(a, "--no-shconf");
    }
    lcore_argument_add(a, allowed);
    pci_arguments_add(a, config);
}

/* rte_eal_init pins its caller; ours goes back to where it was. */
static int eal_init_unpinned(struct arguments *a, const cpu_set_t *allowed)
{
    char *copy[ARGUMENTS_MAX + 1]; /* getopt reorders */
    memcpy(copy, a->values, sizeof copy);
    int result = rte_eal_init(a->count, copy);
    pthread_setaffinity_np(pthread_self(), sizeof *allowed, allowed);
    return result;
}

int dpdk_eal_start(const struct dpdk_eal_config *config)
{
    unsigned memory_mib = config->memory_mib ? config->memory_mib : MEMORY_MIB_DEFAULT;
    bool enough = memory_hugepages_free_mib() >= memory_mib;
    if (config->hugepages == DPDK_HUGEPAGES_ALWAYS && !enough) {
        mr_log(MR_LOG_ERROR, "dpdk", "hugepages are required: %u MiB are free, expected %u",
               memory_hugepages_free_mib(), memory_mib);
        return MR_ERROR_UNSUPPORTED;
    }
    bool hugepages = enough && config->hugepages != DPDK_HUGEPAGES_NEVER;

    cpu_set_t allowed;
    if (pthread_getaffinity_np(pthread_self(), sizeof allowed, &allowed) != 0)
        return MR_ERROR_SYSTEM;
    struct arguments a = {0};
    arguments_make(&a, config, hugepages, memory_mib, &allowed);
    chatter_route();
    chatter_hold();
    int result = eal_init_unpinned(&a, &allowed);
    chatter_release(result < 0);
    arguments_free(&a);
    chatter_quiet_libraries();
    if (result < 0) {
        mr_log(MR_LOG_ERROR, "dpdk", "EAL does not start: %s", rte_strerror(rte_errno));
        return MR_ERROR_SYSTEM;
    }
    mr_log(MR_LOG_INFO, "dpdk", "started memory_mib=%u hugepages=%s", memory_mib, hugepages ? "yes" : "no");
    return MR_OK;
}

void dpdk_eal_stop(void)
{
    rte_eal_cleanup();
}

int dpdk_thread_register(void)
{
    if (rte_thread_register() != 0)
        return MR_ERROR_NO_MEMORY;
    return (int)rte_lcore_id();
}

void dpdk_thread_unregister(void)
{
    rte_thread_unregister();
}

bool dpdk_memory_is_linear(void)
{
    return rte_eal_iova_mode() == RTE_IOVA_VA;
}
