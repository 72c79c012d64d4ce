/* One port through drivers/dpdk and nothing above it: answers ARP, ICMP echo and test frames, or sends test frames and
 * counts what comes back. System tests and curious people use it to try a kind of link without the stack.
 *
 *     link_responder KIND,name=value,... [--host PREFIX] [--address IP] [--generate N [--interval US]] [--for SECONDS]
 *                    [--poll adaptive|always|interrupt] [--memory MIB] [--verbose]
 *
 * Prints `ready ...` when it runs, `done ...` with what it did at the end; stops on SIGTERM and SIGINT. Exit: 0 done,
 * 1 frames are missing, 2 wrong usage, 3 the port does not open. */
#include <arpa/inet.h>
#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_ether.h>
#include <rte_mbuf.h>

#include <millrace/error.h>
#include <millrace/log.h>

#include "drivers/dpdk/dpdk.h"

#define BURST        32
#define POOL_PACKETS 16383
#define WINDOW       64
#define RTT_MAX      100000
#define TEST_TYPE    0x88b5 /* IEEE 802: local experiments */
#define ARP_BYTES    42
#define ICMP_BYTES   42 /* Ethernet, IPv4 without options, ICMP header */
#define TEST_BYTES   60
#define SEQUENCE_AT  14

struct run {
    struct dpdk_port_config port;
    struct mr_link links[DPDK_QUEUES_MAX];
    struct mr_clock clock;
    struct rte_mempool *pools[DPDK_QUEUES_MAX];
    const char *host_prefix;
    struct in_addr address;
    uint64_t generate, interval_ns;
    unsigned for_seconds, memory_mib;
    int poll;
    mr_time end;
    volatile sig_atomic_t *stop;

    uint64_t received, sent, refused, answered, returned, wrong, turns, rests;
    mr_time next_send;
    uint32_t rtt_ns[RTT_MAX];
    unsigned rtt_count;
};

static volatile sig_atomic_t stop_flag;

/* ---- answering ---- */

static void macs_turn(uint8_t *frame, const uint8_t *ours)
{
    memcpy(frame, frame + 6, 6);
    memcpy(frame + 6, ours, 6);
}

/* RFC 826: a request for our address becomes the reply. */
static bool arp_answer(struct run *r, uint8_t *f, unsigned n, const uint8_t *mac)
{
    if (n < ARP_BYTES || f[21] != 1 || memcmp(f + 38, &r->address, 4) != 0)
        return false;
    macs_turn(f, mac);
    f[21] = 2;
    memcpy(f + 32, f + 22, 10);
    memcpy(f + 22, mac, 6);
    memcpy(f + 28, &r->address, 4);
    return true;
}

/* Type 8 becomes 0, which adds 8 << 8 to the one's complement checksum; the IP checksum stays as addresses swap. */
static bool icmp_answer(struct run *r, uint8_t *f, unsigned n, const uint8_t *mac)
{
    if (n < ICMP_BYTES || f[14] != 0x45 || f[23] != 1 || f[34] != 8 || memcmp(f + 30, &r->address, 4) != 0)
        return false;
    macs_turn(f, mac);
    uint8_t source[4];
    memcpy(source, f + 26, 4);
    memcpy(f + 26, f + 30, 4);
    memcpy(f + 30, source, 4);
    f[34] = 0;
    uint32_t sum = (uint32_t)(f[36] << 8 | f[37]) + 0x0800;
    sum = (sum & 0xffff) + (sum >> 16);
    f[36] = (uint8_t)(sum >> 8);
    f[37] = (uint8_t)sum;
    return true;
}

static bool frame_answer(struct run *r, struct rte_mbuf *m, const uint8_t *mac)
{
    uint8_t *f = rte_pktmbuf_mtod(m, uint8_t *);
    unsigned n = rte_pktmbuf_data_len(m);
    if (n < 14)
        return false;
    switch (f[12] << 8 | f[13]) {
    case RTE_ETHER_TYPE_ARP:
        return arp_answer(r, f, n, mac);
    case RTE_ETHER_TYPE_IPV4:
        return icmp_answer(r, f, n, mac);
    case TEST_TYPE:
        macs_turn(f, mac);
        return true;
    default:
        return false;
    }
}

static void send_one(struct run *r, struct mr_link *link, struct rte_mbuf *m)
{
    if (link->transmit(link->self, &m, 1) == 1) {
        r->sent++;
        return;
    }
    r->refused++;
    rte_pktmbuf_free(m);
}

static void burst_answer(struct run *r, struct mr_link *link, struct rte_mbuf **burst, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (frame_answer(r, burst[i], link->mac)) {
            r->answered++;
            send_one(r, link, burst[i]);
        } else {
            rte_pktmbuf_free(burst[i]);
        }
    }
}

/* ---- generating: test frames carry a sequence number and the time they were sent ---- */

static void burst_count(struct run *r, struct rte_mbuf **burst, unsigned n, mr_time now)
{
    for (unsigned i = 0; i < n; i++) {
        uint8_t *f = rte_pktmbuf_mtod(burst[i], uint8_t *);
        uint64_t stamp[2];
        if (rte_pktmbuf_data_len(burst[i]) >= TEST_BYTES && (f[12] << 8 | f[13]) == TEST_TYPE) {
            memcpy(stamp, f + SEQUENCE_AT, sizeof stamp);
            r->wrong += stamp[0] != r->returned; /* a link keeps order */
            r->returned++;
            if (r->rtt_count < RTT_MAX)
                r->rtt_ns[r->rtt_count++] = (uint32_t)(now - stamp[1]);
        }
        rte_pktmbuf_free(burst[i]);
    }
}

static bool test_frame_send(struct run *r, struct mr_link *link, mr_time now)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(r->pools[0]);
    if (!m)
        return false;
    uint8_t *f = (uint8_t *)rte_pktmbuf_append(m, TEST_BYTES);
    if (!f)
        abort();
    uint64_t stamp[2] = {r->sent, now};
    memset(f, 0, TEST_BYTES);
    memset(f, 0xff, 6);
    memcpy(f + 6, link->mac, 6);
    f[12] = TEST_TYPE >> 8;
    f[13] = TEST_TYPE & 0xff;
    memcpy(f + SEQUENCE_AT, stamp, sizeof stamp);
    uint64_t before = r->sent;
    send_one(r, link, m);
    return r->sent > before;
}

/* A bounded window keeps a slow peer from losing frames; with an interval there is one frame at a time. */
static void generate(struct run *r, struct mr_link *link, mr_time now)
{
    if (r->interval_ns) {
        if (r->sent < r->generate && now >= r->next_send && test_frame_send(r, link, now))
            r->next_send = now + r->interval_ns;
        return;
    }
    while (r->sent < r->generate && r->sent - r->returned < WINDOW && test_frame_send(r, link, now))
        ;
}

/* ---- the loop ---- */

static bool finished(const struct run *r, mr_time now)
{
    return stop_flag || now >= r->end || (r->generate && r->returned >= r->generate);
}

static mr_time next_deadline(const struct run *r)
{
    if (r->generate && r->sent < r->generate)
        return r->next_send < r->end ? r->next_send : r->end;
    return r->end;
}

static unsigned turn(struct run *r, mr_time now)
{
    struct rte_mbuf *burst[BURST];
    unsigned total = 0, queues = r->port.queues ? r->port.queues : 1;
    for (unsigned q = 0; q < queues; q++) {
        struct mr_link *link = &r->links[q];
        unsigned n = link->receive(link->self, burst, BURST);
        if (r->generate)
            burst_count(r, burst, n, now);
        else
            burst_answer(r, link, burst, n);
        total += n;
    }
    r->received += total;
    if (r->generate)
        generate(r, &r->links[0], now);
    return total;
}

static void *loop(void *argument)
{
    struct run *r = argument;
    dpdk_thread_register();
    for (mr_time now; !finished(r, now = r->clock.now(r->clock.self)); r->turns++) {
        if (turn(r, now)) {
            r->clock.busy(r->clock.self);
        } else {
            r->rests++;
            r->clock.rest(r->clock.self, next_deadline(r));
        }
    }
    dpdk_thread_unregister();
    return NULL;
}

/* ---- start and end ---- */

static int compare_rtt(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void report(struct run *r)
{
    struct mr_link_statistics s, sum = {0};
    for (unsigned q = 0; q < (r->port.queues ? r->port.queues : 1); q++) {
        r->links[q].statistics(r->links[q].self, &s);
        sum.rx_packets += s.rx_packets;
        sum.tx_packets += s.tx_packets;
        sum.rx_missed += s.rx_missed;
        sum.tx_errors += s.tx_errors;
    }
    printf("done received=%" PRIu64 " answered=%" PRIu64 " sent=%" PRIu64 " refused=%" PRIu64 " returned=%" PRIu64
           " wrong=%" PRIu64 " turns=%" PRIu64 " rests=%" PRIu64 " rx_packets=%" PRIu64 " tx_packets=%" PRIu64
           " rx_missed=%" PRIu64 " tx_errors=%" PRIu64,
           r->received, r->answered, r->sent, r->refused, r->returned, r->wrong, r->turns, r->rests, sum.rx_packets,
           sum.tx_packets, sum.rx_missed, sum.tx_errors);
    if (r->rtt_count) {
        qsort(r->rtt_ns, r->rtt_count, sizeof *r->rtt_ns, compare_rtt);
        printf(" rtt_p50_us=%.1f rtt_p99_us=%.1f", r->rtt_ns[r->rtt_count / 2] / 1e3,
               r->rtt_ns[(uint64_t)r->rtt_count * 99 / 100] / 1e3);
    }
    printf("\n");
}

/* "kind,name=value,...": queues, mtu and name belong to the port, all else to its kind. Cuts `text` up. */
static bool port_parse(struct run *r, char *text)
{
    struct dpdk_port_config *p = &r->port;
    p->name = "link";
    p->kind = strsep(&text, ",");
    for (char *pair; (pair = strsep(&text, ",")) != NULL;) {
        char *name = strsep(&pair, "=");
        if (!pair)
            return false;
        if (strcmp(name, "queues") == 0)
            p->queues = (unsigned)atoi(pair);
        else if (strcmp(name, "mtu") == 0)
            p->mtu = (unsigned)atoi(pair);
        else if (p->parameter_count < DPDK_PARAMETERS_MAX)
            p->parameters[p->parameter_count++] = (struct dpdk_parameter){name, pair};
    }
    return true;
}

static int usage(void)
{
    fprintf(stderr,
            "usage: link_responder KIND,name=value,... [--host PREFIX] [--address IP] [--generate N] [--interval US]\n"
            "                      [--for SECONDS] [--poll MODE] [--memory MIB] [--verbose]\n");
    return 2;
}

static bool options_parse(struct run *r, int argc, char **argv)
{
    static const struct option options[] = {{"host", required_argument, NULL, 'h'},
                                            {"address", required_argument, NULL, 'a'},
                                            {"generate", required_argument, NULL, 'g'},
                                            {"interval", required_argument, NULL, 'i'},
                                            {"for", required_argument, NULL, 'f'},
                                            {"poll", required_argument, NULL, 'p'},
                                            {"memory", required_argument, NULL, 'm'},
                                            {"verbose", no_argument, NULL, 'v'},
                                            {NULL, 0, NULL, 0}};
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (o) {
        case 'h':
            r->host_prefix = optarg;
            break;
        case 'a':
            if (inet_pton(AF_INET, optarg, &r->address) != 1)
                return false;
            break;
        case 'g':
            r->generate = strtoull(optarg, NULL, 10);
            break;
        case 'i':
            r->interval_ns = strtoull(optarg, NULL, 10) * 1000;
            break;
        case 'f':
            r->for_seconds = (unsigned)atoi(optarg);
            break;
        case 'p':
            r->poll = dpdk_poll_mode_parse(optarg);
            break;
        case 'm':
            r->memory_mib = (unsigned)atoi(optarg);
            break;
        case 'v':
            mr_log_set_level(MR_LOG_DEBUG);
            break;
        default:
            return false;
        }
    }
    return r->poll >= 0 && optind == argc - 1 && port_parse(r, argv[optind]);
}

static int run_open(struct run *r)
{
    const struct dpdk_eal_config eal = {.memory_mib = r->memory_mib, .ports = &r->port, .port_count = 1};
    if (dpdk_eal_start(&eal) != MR_OK)
        return 3;
    unsigned queues = r->port.queues ? r->port.queues : 1;
    struct mr_link *links[DPDK_QUEUES_MAX];
    for (unsigned q = 0; q < queues && q < DPDK_QUEUES_MAX; q++) {
        char name[16];
        snprintf(name, sizeof name, "queue%u", q);
        r->pools[q] = rte_pktmbuf_pool_create(name, POOL_PACKETS, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
        links[q] = &r->links[q];
        if (!r->pools[q])
            return 3;
    }
    if (dpdk_port_open(&r->port, r->pools, r->links) != MR_OK)
        return 3;
    const struct dpdk_clock_options clock = {.poll = (enum dpdk_poll_mode)r->poll};
    if (dpdk_clock_create(&clock, links, queues, &r->clock) != MR_OK)
        return 3;
    if (r->host_prefix &&
        host_interface_configure(r->port.parameters[0].value, r->host_prefix, true, r->port.mtu) != MR_OK) {
        fprintf(stderr, "link_responder: the host's end cannot be configured\n");
        return 3;
    }
    return 0;
}

static void run_close(struct run *r)
{
    dpdk_clock_destroy(&r->clock);
    for (unsigned q = 0; q < (r->port.queues ? r->port.queues : 1); q++)
        r->links[q].close(r->links[q].self);
    dpdk_eal_stop();
}

/* Waits for a stop signal or the loop's own end; signals reach this thread alone. */
static void wait_for_end(struct run *r, pthread_t thread, const sigset_t *signals)
{
    const struct timespec step = {.tv_nsec = 20 * 1000 * 1000};
    while (pthread_tryjoin_np(thread, NULL) != 0) {
        if (sigtimedwait(signals, NULL, &step) > 0) {
            stop_flag = 1;
            r->clock.wake(r->clock.self);
        }
    }
}

int main(int argc, char **argv)
{
    static struct run r;
    sigset_t signals;
    if (!options_parse(&r, argc, argv))
        return usage();
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    int result = run_open(&r);
    if (result != 0)
        return result;

    mr_time now = r.clock.now(r.clock.self);
    r.end = r.for_seconds ? now + r.for_seconds * MR_SECOND : MR_NEVER;
    r.next_send = now;
    printf("ready %s interrupt=%s packets_held=%u\n", r.port.kind,
           dpdk_clock_without_interrupt(&r.clock) ? "no" : "yes", rte_mempool_in_use_count(r.pools[0]));
    fflush(stdout);
    pthread_t thread;
    if (pthread_create(&thread, NULL, loop, &r) != 0)
        return 3;
    wait_for_end(&r, thread, &signals);
    report(&r);
    run_close(&r);
    return r.generate && (r.returned < r.generate || r.wrong) ? 1 : 0;
}
