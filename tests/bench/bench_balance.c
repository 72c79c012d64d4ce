/* Cycles of one choice, by policy and number of members, by the time stamp counter; with and without the load of members changing, as it
 * does with each request: a choice, one request more there, and one less where another ended.
 *
 *   bench_balance [MEMBERS...]      (3 100 4000) */
#include <stdio.h>
#include <stdlib.h>
#include <x86intrin.h>

#include "proxy/balance/balance.h"

#define CHOICES   (1u << 16)
#define RUNS      15
#define UNDER_WAY 256 /* requests at a time */

static struct mr_random chance;

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double choices_run(struct balance *b)
{
    static volatile int sink;
    uint64_t begin = __rdtsc();
    for (uint64_t i = 0; i < CHOICES; i++)
        sink = balance_choose(b, &(struct balance_query){.hash = i * 0x9e3779b97f4a7c15u});
    (void)sink;
    return (double)(__rdtsc() - begin) / CHOICES;
}

static double requests_run(struct balance *b)
{
    static uint32_t at[UNDER_WAY];
    for (uint32_t i = 0; i < UNDER_WAY; i++) {
        at[i] = (uint32_t)balance_choose(b, &(struct balance_query){.hash = i});
        balance_set_active(b, at[i], b->members[at[i]].active + 1);
    }
    uint64_t begin = __rdtsc();
    for (uint64_t i = 0; i < CHOICES; i++) {
        uint32_t r = (uint32_t)(i * 0x9e3779b97f4a7c15u >> 56);
        balance_set_active(b, at[r], b->members[at[r]].active - 1);
        at[r] = (uint32_t)balance_choose(b, &(struct balance_query){.hash = i * 0x9e3779b97f4a7c15u});
        balance_set_active(b, at[r], b->members[at[r]].active + 1);
    }
    double cycles = (double)(__rdtsc() - begin) / CHOICES;
    for (uint32_t i = 0; i < UNDER_WAY; i++)
        balance_set_active(b, at[i], b->members[at[i]].active - 1);
    return cycles;
}

static double median_of(double (*run)(struct balance *b), struct balance *b)
{
    double cycles[RUNS];
    for (int r = 0; r < RUNS; r++)
        cycles[r] = run(b);
    qsort(cycles, RUNS, sizeof *cycles, compare);
    return cycles[RUNS / 2];
}

static void members_measure(uint32_t n)
{
    uint64_t *keys = malloc(n * sizeof *keys);
    uint32_t *weights = malloc(n * sizeof *weights);
    for (uint32_t m = 0; m < n; m++) {
        keys[m] = mr_random_next(&chance);
        weights[m] = 256 * (1 + mr_random_below(&chance, 10));
    }
    struct maglev_table *table = maglev_build(keys, weights, n);
    for (int p = 0; balance_policies[p]; p++) {
        struct balance *b = balance_create(balance_policies[p], n, table, &chance);
        for (uint32_t m = 0; m < n; m++) {
            balance_set_weight(b, m, weights[m]);
            balance_set_fit(b, m, true);
        }
        double choice = median_of(choices_run, b), request = median_of(requests_run, b);
        printf("%s, %u members: cycles per choice %.0f, with the load of two members changing %.0f\n",
               balance_policies[p]->name, n, choice, request);
        balance_free(b);
    }
    free(table);
    free(keys);
    free(weights);
}

int main(int argc, char **argv)
{
    static const uint32_t usual[] = {3, 100, 4000};
    mr_random_seed(&chance, 1);
    for (int i = 1; i < argc; i++) {
        unsigned long n = strtoul(argv[i], NULL, 10);
        if (n < 1 || n > 4096) {
            fprintf(stderr, "usage: bench_balance [MEMBERS...]: 1 to 4096 each\n");
            return 2;
        }
        members_measure((uint32_t)n);
    }
    for (int i = 0; argc == 1 && i < 3; i++)
        members_measure(usual[i]);
    return 0;
}
