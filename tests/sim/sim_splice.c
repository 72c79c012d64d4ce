/* Two hops spliced under what a seed draws: a client, a relay and a server are whole stacks on links from good to dreadful,
 * with segments of different size on the two, with links that take chains of packets and links that do not. Every byte
 * arrives as it was sent, ends and resets are carried over, and all packets come back.
 *
 *   sim_splice [--first S] [--count N]
 *   sim_splice --seed S [--trace] */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/relay.h"
#include "tests/sim/scenario.h"
#include "tests/support/support.h"

#define LARGE_PACKETS 8192
#define SMALL_PACKETS 512
#define STALL         (400 * MR_SECOND)

struct tally {
    unsigned failed, flows, given_up;
    uint64_t bytes, spliced, copied;
};

static struct rte_mempool *large[3], *small[3];
static uint64_t current_seed;
static const char *program;

static void crashed(int signal_number)
{
    fprintf(stderr, "replay: %s --seed %" PRIu64 " --trace (signal %d)\n", program, current_seed, signal_number);
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

static struct relay_plan draw_relay(struct mr_random *r, const struct scenario *s)
{
    static const uint32_t steps[] = {3, 200, 900, 1400, 3000, 60000};
    struct relay_plan p = {.options = s->listen, .step_max = steps[mr_random_below(r, 6)]};
    p.options.nodelay = mr_random_below(r, 2);
    p.partial = mr_random_below(r, 2) ? 0 : mr_random_unit(r) * (p.step_max < 100 ? 0.3 : 1);
    p.copy = s->small_pool || mr_random_below(r, 2) ? 0 : mr_random_unit(r) * 0.3;
    return p;
}

/* The link to the server has frames of its own size; what host 0's devices can do differs. */
static void vary_links(struct mr_random *r, struct world *w)
{
    struct mr_worker *relay = w->host[0].worker;
    uint16_t mtu = (uint16_t)(mr_random_below(r, 3) ? relay->netif[1]->mtu - mr_random_below(r, 40)
                                                    : 300 + mr_random_below(r, relay->netif[1]->mtu - 299u));
    if (mr_random_below(r, 2))
        relay->netif[1]->mtu = w->host[2].worker->netif[0]->mtu = mtu < 300 ? 300 : mtu;
    for (unsigned i = 0; i < 2; i++) {
        if (mr_random_below(r, 3) == 0 &&
            relay->netif[i]->mtu < PACKET_DATA_ROOM) /* else no frame of full size could go */
            relay->netif[i]->offloads &= ~(uint32_t)MR_LINK_TX_MULTI_SEGMENT;
        if (mr_random_below(r, 4) == 0)
            relay->netif[i]->offloads |= MR_LINK_TX_POOL_ONLY;
    }
}

static bool seed_run(uint64_t seed, bool trace, struct tally *t)
{
    static struct scenario s;
    struct world w;
    struct flow_set set;
    struct relay relay;
    struct mr_random r;
    char text[1000];
    current_seed = seed;
    scenario_draw_relayed(&s, seed, large, small);
    s.world.trace = trace;
    mr_random_seed(&r, seed + 77);
    world_create(&w, &s.world);
    vary_links(&r, &w);
    struct relay_plan plan = draw_relay(&r, &s);
    flow_set_create_relayed(&set, &w, seed * 1000003, s.plan, s.count, &s.listen, 2);
    relay_start(&relay, &set, seed, &plan);
    if (flow_set_run(&set, STALL) && world_settle(&w))
        flow_set_judge(&set, s.harsh);
    const uint64_t *stat = w.host[0].worker->stat;
    if (stat[STAT_tcp_spliced_bytes] != relay.spliced)
        world_fail(&w, "%" PRIu64 " bytes counted, %" PRIu64 " moved", stat[STAT_tcp_spliced_bytes], relay.spliced);
    t->spliced += stat[STAT_tcp_spliced_bytes];
    t->copied += stat[STAT_tcp_spliced_copied_bytes];
    t->given_up += set.given_up;
    t->flows += s.count;
    for (unsigned i = 0; i < s.count; i++)
        t->bytes += set.flow[i].side[0].received + set.flow[i].side[1].received;
    world_destroy(&w);
    flow_set_destroy(&set);
    relay_free(&relay);
    if (!w.failure[0])
        return true;
    scenario_describe(&s, text, sizeof text);
    printf("seed %" PRIu64 " FAILED: %s\n  %s\n  replay: %s --seed %" PRIu64 " --trace\n", seed, w.failure, text,
           program, seed);
    return false;
}

static int swarm(uint64_t first, unsigned count)
{
    struct tally t = {0};
    for (uint64_t seed = first; seed < first + count; seed++)
        t.failed += !seed_run(seed, false, &t);
    printf("%u seeds, %u failed; %u connections, %u given up with a reason; %" PRIu64 " bytes delivered, %" PRIu64
           " spliced, %.1f %% of them copied\n",
           count, t.failed, t.flows, t.given_up, t.bytes, t.spliced, 100.0 * (double)t.copied / (double)t.spliced);
    if (t.given_up * 25 > t.flows) {
        printf("more than one connection in 25 gave up\n");
        return 1;
    }
    return t.failed != 0;
}

int main(int argc, char **argv)
{
    static const struct option options[] = {{"first", required_argument, NULL, 'f'},
                                            {"count", required_argument, NULL, 'n'},
                                            {"seed", required_argument, NULL, 's'},
                                            {"trace", no_argument, NULL, 't'},
                                            {0}};
    uint64_t first = 1;
    unsigned count = 300;
    bool one = false, trace = false;
    int c;
    program = argv[0];
    setvbuf(stdout, NULL, _IOLBF, 0);
    while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (c == '?')
            return 2;
        if (c == 'n')
            count = (unsigned)strtoul(optarg, NULL, 0);
        else if (c == 't')
            trace = true;
        else
            first = strtoull(optarg, NULL, 0);
        one |= c == 's';
    }
    signal(SIGABRT, crashed);
    signal(SIGSEGV, crashed);
    support_start_dpdk(512);
    for (unsigned i = 0; i < 3; i++) {
        large[i] = support_pool(LARGE_PACKETS);
        small[i] = support_pool(SMALL_PACKETS);
    }
    struct tally t = {0};
    return one ? !seed_run(first, trace, &t) : swarm(first, count);
}
