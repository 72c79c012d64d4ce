/* Measuring the TSC. EAL's own figure is rounded to 10 MHz, which is up to 0.2 % off: too much for round-trip times. */
#include "drivers/dpdk/tsc.h"

#include <pthread.h>
#include <time.h>

#include <rte_cpuflags.h>
#include <rte_cycles.h>

#define CALIBRATION_NS (20u * 1000 * 1000)
#define READINGS       8

static uint64_t monotonic_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* Both clocks at one moment: of a few readings the one that took the fewest ticks was not interrupted. */
static void read_both(uint64_t *ticks, uint64_t *ns)
{
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < READINGS; i++) {
        uint64_t start = rte_rdtsc(), t = monotonic_ns(), end = rte_rdtsc();
        if (end - start < best) {
            best = end - start;
            *ticks = start + best / 2;
            *ns = t;
        }
    }
}

static bool invariant(void)
{
#if defined(RTE_ARCH_X86)
    return rte_cpu_get_flag_enabled(RTE_CPUFLAG_INVTSC) > 0;
#else
    return true; /* the generic timer of Arm and its like is so by definition */
#endif
}

static struct tsc_scale process_scale;
static bool process_valid;

static void calibrate(void)
{
    if (!invariant())
        return;
    uint64_t ticks0 = 0, ns0 = 0, ticks1 = 0, ns1 = 0;
    read_both(&ticks0, &ns0);
    nanosleep(&(struct timespec){.tv_nsec = CALIBRATION_NS}, NULL);
    read_both(&ticks1, &ns1);
    process_valid = tsc_scale_make(&process_scale, ticks0, ns0, ticks1, ns1);
}

const struct tsc_scale *tsc_scale_process(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, calibrate);
    return process_valid ? &process_scale : NULL;
}
