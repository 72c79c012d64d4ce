/* Two whole stacks under what a seed draws: links from good to dreadful, applications from plain to rude. Each seed must
 * end with every byte delivered exactly or a close reason that says why not, and with all resources back.
 *
 *   sim_swarm [--first S] [--count N]          N seeds from S on (1, 300)
 *   sim_swarm --seed S [--trace] [--pcap FILE] one of them, with a line for each segment */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/sim/scenario.h"
#include "tests/support/support.h"

#define LARGE_PACKETS 8192
#define SMALL_PACKETS 512
#define REPEAT_EACH   25 /* one seed in so many is run twice: it must leave the same trace */

struct pools {
    struct rte_mempool *large[2], *small[2];
};

static const char *program;
static uint64_t current_seed;

static void replay_print(FILE *f, uint64_t seed)
{
    fprintf(f, "replay: %s --seed %" PRIu64 " --trace --pcap /tmp/%" PRIu64 ".pcapng\n", program, seed, seed);
}

/* An assertion of the stack: say which seed it was, then end as it would have. */
static void crashed(int signal_number)
{
    fprintf(stderr, "seed %" PRIu64 ": signal %d\n", current_seed, signal_number);
    replay_print(stderr, current_seed);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static void seed_run(uint64_t seed, const struct pools *p, const char *pcap, bool trace, struct scenario_result *r)
{
    static struct scenario s;
    char text[1000];
    current_seed = seed;
    scenario_draw(&s, seed, p->large, p->small);
    s.world.pcap = pcap;
    s.world.trace = trace;
    if (trace) {
        scenario_describe(&s, text, sizeof text);
        printf("%s\n", text);
    }
    scenario_run(&s, r);
    if (r->failure[0]) {
        scenario_describe(&s, text, sizeof text);
        printf("seed %" PRIu64 " FAILED: %s\n  %s\n", seed, r->failure, text);
        replay_print(stdout, seed);
        fflush(stdout);
    }
}

static bool seed_repeats(uint64_t seed, const struct pools *p, const struct scenario_result *first)
{
    struct scenario_result again;
    seed_run(seed, p, NULL, false, &again);
    if (again.trace_hash == first->trace_hash)
        return true;
    printf("seed %" PRIu64 " FAILED: trace %016" PRIx64 " the first time, %016" PRIx64 " the second\n", seed,
           first->trace_hash, again.trace_hash);
    replay_print(stdout, seed);
    return false;
}

static int swarm(uint64_t first, unsigned count, const struct pools *p)
{
    unsigned failed = 0, flows = 0, given_up = 0;
    uint64_t bytes = 0, frames = 0, turns = 0;
    clock_t start = clock();
    for (uint64_t seed = first; seed < first + count; seed++) {
        struct scenario_result r;
        seed_run(seed, p, NULL, false, &r);
        bool good = !r.failure[0] && (seed % REPEAT_EACH || seed_repeats(seed, p, &r));
        failed += !good;
        flows += r.flows;
        given_up += r.given_up;
        bytes += r.bytes;
        frames += r.frames;
        turns += r.turns;
    }
    printf("%u seeds, %u failed; %u connections, %u of them given up with a reason; %" PRIu64 " frames, %" PRIu64
           " turns, %" PRIu64 " bytes delivered; %.1f s of CPU\n",
           count, failed, flows, given_up, frames, turns, bytes, (double)(clock() - start) / CLOCKS_PER_SEC);
    if (given_up * 50 > flows) {
        printf("more than one connection in fifty gave up\n");
        return 1;
    }
    return failed != 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"first", required_argument, NULL, 'f'}, {"count", required_argument, NULL, 'n'},
        {"seed", required_argument, NULL, 's'},  {"pcap", required_argument, NULL, 'p'},
        {"trace", no_argument, NULL, 't'},       {0}};
    uint64_t first = 1, seed = 0;
    unsigned count = 300;
    bool one = false, trace = false;
    const char *pcap = NULL;
    int c;
    program = argv[0];
    setvbuf(stdout, NULL, _IOLBF, 0);
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        switch (c) {
        case 'f':
            first = strtoull(optarg, NULL, 0);
            break;
        case 'n':
            count = (unsigned)strtoul(optarg, NULL, 0);
            break;
        case 's':
            seed = strtoull(optarg, NULL, 0);
            one = true;
            break;
        case 'p':
            pcap = optarg;
            break;
        case 't':
            trace = true;
            break;
        default:
            return 2;
        }
    }
    signal(SIGABRT, crashed);
    signal(SIGSEGV, crashed);
    support_start_dpdk(128);
    struct pools p;
    for (unsigned i = 0; i < 2; i++) {
        p.large[i] = support_pool(LARGE_PACKETS);
        p.small[i] = support_pool(SMALL_PACKETS);
    }
    if (!one)
        return swarm(first, count, &p);
    struct scenario_result r;
    seed_run(seed, &p, pcap, trace, &r);
    printf("seed %" PRIu64 ": %s, trace %016" PRIx64 ", %" PRIu64 " frames, %" PRIu64
           " turns, %.3f s of virtual time\n",
           seed, r.failure[0] ? "FAILED" : "good", r.trace_hash, r.frames, r.turns, (double)r.lasted / 1e9);
    return r.failure[0] != 0;
}
