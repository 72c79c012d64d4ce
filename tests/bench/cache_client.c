/* A load generator for caches over kernel sockets, the same for RESP and memcached's text protocol: N connections in one thread, each
 * sends P commands at once and waits for all their replies before the next P. Every reply is checked for its length and its
 * first byte: the keys must be there, so `--fill` comes first.
 *
 *   cache_client --address A --port N [--protocol resp|memcached] [--command get|set] [--connections N] [--pipeline P]
 *                [--value BYTES] [--keys N] [--seconds S] [--fill]
 *
 * Prints commands, seconds and microseconds: `commands S p50 p99 p99.9 max`, of the time from sending P commands to the last byte of
 * their replies. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define KEY_BYTES       16
#define COMMAND_ROOM    96
#define READ_BYTES      (256u << 10)
#define BUCKETS_OF_TWO  64 /* buckets from one power of two to the next: latencies are right to 1.6 % */
#define BUCKETS         (BUCKETS_OF_TWO * 40)
#define CONNECTIONS_MAX 4096

struct plan {
    const char *address;
    unsigned port, connections, pipeline, value_bytes;
    uint64_t keys;
    double seconds;
    bool memcached, set, fill;
};

struct connection {
    int fd;
    char *bytes;
    size_t length, sent;
    uint64_t expected, received;
    uint64_t begun_ns;
};

struct run {
    struct plan plan;
    struct connection *connection;
    int epoll;
    char *value, *in;
    char first;    /* of a reply */
    uint64_t unit; /* bytes of a reply */
    uint64_t key_next, commands;
    uint64_t bucket[BUCKETS], batches;
    bool ending;
    unsigned open;
};

static void fail(const char *what)
{
    fprintf(stderr, "cache_client: %s: %s\n", what, strerror(errno));
    exit(1);
}

static uint64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* -- latencies ------------------------------------------------------------------------------------------------------------ */

static unsigned bucket_of(uint64_t ns)
{
    if (ns < BUCKETS_OF_TWO)
        return (unsigned)ns;
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - 6;
    unsigned bucket = (shift + 1) * BUCKETS_OF_TWO + (unsigned)(ns >> shift) - BUCKETS_OF_TWO;
    return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static double bucket_us(unsigned bucket)
{
    unsigned shift = bucket / BUCKETS_OF_TWO, rest = bucket % BUCKETS_OF_TWO;
    return shift ? (double)((uint64_t)(BUCKETS_OF_TWO + rest) << (shift - 1)) / 1000 : rest / 1000.;
}

static double percentile_us(const struct run *r, double fraction)
{
    uint64_t sum = 0, wanted = (uint64_t)((double)r->batches * fraction);
    for (unsigned i = 0; i < BUCKETS; i++)
        if ((sum += r->bucket[i]) > wanted || (sum == r->batches && sum))
            return bucket_us(i);
    return 0;
}

/* -- commands --------------------------------------------------------------------------------------------------------------- */

static uint64_t key_choose(struct run *r)
{
    uint64_t n = r->key_next++;
    if (r->plan.fill)
        return n % r->plan.keys;
    n = (n ^ n >> 31) * UINT64_C(0x9e3779b97f4a7c15);
    return (n ^ n >> 29) % r->plan.keys;
}

static size_t command_write(struct run *r, char *out)
{
    const struct plan *p = &r->plan;
    unsigned long key = key_choose(r);
    int n;
    if (!p->set)
        return (size_t)sprintf(out, p->memcached ? "get key:%012lu\r\n" : "*2\r\n$3\r\nGET\r\n$16\r\nkey:%012lu\r\n",
                               key);
    n = sprintf(out, p->memcached ? "set key:%012lu 0 0 %u\r\n" : "*3\r\n$3\r\nSET\r\n$16\r\nkey:%012lu\r\n$%u\r\n",
                key, p->value_bytes);
    memcpy(out + n, r->value, p->value_bytes);
    memcpy(out + n + p->value_bytes, "\r\n", 2);
    return (size_t)n + p->value_bytes + 2;
}

static void reply_expect(struct run *r)
{
    const struct plan *p = &r->plan;
    char head[64];
    if (p->set) {
        r->first = p->memcached ? 'S' : '+';
        r->unit = p->memcached ? strlen("STORED\r\n") : strlen("+OK\r\n");
    } else if (p->memcached) {
        r->first = 'V';
        r->unit =
            (uint64_t)snprintf(head, sizeof head, "VALUE key:%012u 0 %u\r\n", 0, p->value_bytes) + p->value_bytes + 7;
    } else {
        r->first = '$';
        r->unit = (uint64_t)snprintf(head, sizeof head, "$%u\r\n", p->value_bytes) + p->value_bytes + 2;
    }
}

static void watch(struct run *r, struct connection *c, int how, bool writing)
{
    struct epoll_event e = {.events = EPOLLIN | (writing ? (uint32_t)EPOLLOUT : 0), .data.ptr = c};
    if (epoll_ctl(r->epoll, how, c->fd, &e))
        fail("epoll_ctl");
}

static void connection_send(struct run *r, struct connection *c, bool was_waiting)
{
    while (c->sent < c->length) {
        ssize_t n = send(c->fd, c->bytes + c->sent, c->length - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && errno == EAGAIN)
            break;
        if (n < 0)
            fail("send");
        c->sent += (size_t)n;
    }
    if ((c->sent < c->length) != was_waiting)
        watch(r, c, EPOLL_CTL_MOD, !was_waiting);
}

static void batch_begin(struct run *r, struct connection *c)
{
    if (r->ending || (r->plan.fill && r->key_next >= r->plan.keys)) {
        close(c->fd);
        r->open--;
        return;
    }
    c->length = c->sent = 0;
    for (unsigned i = 0; i < r->plan.pipeline; i++)
        c->length += command_write(r, c->bytes + c->length);
    c->expected = r->unit * r->plan.pipeline;
    c->received = 0;
    c->begun_ns = clock_ns();
    connection_send(r, c, false);
}

static void replies_check(const struct run *r, const struct connection *c, const char *data, size_t n)
{
    uint64_t at = c->received, first = (at + r->unit - 1) / r->unit * r->unit;
    for (; first < at + n; first += r->unit)
        if (data[first - at] != r->first || at + n > c->expected) {
            fprintf(stderr, "cache_client: not the reply that is due: %.60s\n", data + (first - at));
            exit(1);
        }
}

static void connection_read(struct run *r, struct connection *c)
{
    ssize_t n = recv(c->fd, r->in, READ_BYTES, MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN)
        return;
    if (n <= 0)
        fail(n ? "recv" : "the server has closed a connection");
    r->in[n] = 0;
    replies_check(r, c, r->in, (size_t)n);
    c->received += (uint64_t)n;
    if (c->received < c->expected)
        return;
    r->bucket[bucket_of(clock_ns() - c->begun_ns)]++;
    r->batches++;
    r->commands += r->plan.pipeline;
    batch_begin(r, c);
}

/* -- begin and end ------------------------------------------------------------------------------------------------------------ */

static void connection_open(struct run *r, struct connection *c)
{
    const struct plan *p = &r->plan;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)p->port)};
    int one = 1;
    if (inet_pton(AF_INET, p->address, &to.sin_addr) != 1) {
        fprintf(stderr, "cache_client: not an address: %s\n", p->address);
        exit(2);
    }
    c->bytes = malloc((size_t)p->pipeline * (p->value_bytes + COMMAND_ROOM));
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (!c->bytes || c->fd < 0 || connect(c->fd, (struct sockaddr *)&to, sizeof to))
        fail("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    int buffer = 1 << 20;
    setsockopt(c->fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof buffer);
    watch(r, c, EPOLL_CTL_ADD, false);
}

static void run(struct run *r)
{
    const struct plan *p = &r->plan;
    struct epoll_event events[256];
    reply_expect(r);
    for (unsigned i = 0; i < p->connections; i++)
        connection_open(r, &r->connection[i]);
    uint64_t begin = clock_ns(), end = begin + (uint64_t)(p->seconds * 1e9);
    r->open = p->connections;
    for (unsigned i = 0; i < p->connections; i++)
        batch_begin(r, &r->connection[i]);
    while (r->open) {
        int n = epoll_wait(r->epoll, events, 256, 10000);
        if (n == 0) {
            fprintf(stderr, "cache_client: no reply for ten seconds\n");
            exit(1);
        }
        for (int i = 0; i < n; i++) {
            struct connection *c = events[i].data.ptr;
            if (events[i].events & EPOLLOUT)
                connection_send(r, c, true);
            if (events[i].events & ~(uint32_t)EPOLLOUT)
                connection_read(r, c);
        }
        r->ending = !p->fill && clock_ns() >= end;
    }
    printf("%lu %.3f %.1f %.1f %.1f %.1f\n", (unsigned long)r->commands, (double)(clock_ns() - begin) / 1e9,
           percentile_us(r, .5), percentile_us(r, .99), percentile_us(r, .999), percentile_us(r, 1));
}

static int usage(void)
{
    fprintf(
        stderr,
        "usage: cache_client --address A --port N [--protocol resp|memcached] [--command get|set] [--connections N]\n"
        "                    [--pipeline P] [--value BYTES] [--keys N] [--seconds S] [--fill]\n");
    return 2;
}

static bool plan_read(int argc, char **argv, struct plan *p)
{
    static const struct option options[] = {{"address", required_argument, NULL, 'a'},
                                            {"port", required_argument, NULL, 'o'},
                                            {"protocol", required_argument, NULL, 'r'},
                                            {"command", required_argument, NULL, 'c'},
                                            {"pipeline", required_argument, NULL, 'p'},
                                            {"value", required_argument, NULL, 'v'},
                                            {"keys", required_argument, NULL, 'k'},
                                            {"connections", required_argument, NULL, 'n'},
                                            {"seconds", required_argument, NULL, 's'},
                                            {"fill", no_argument, NULL, 'f'},
                                            {0}};
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        unsigned value = optarg ? (unsigned)strtoul(optarg, NULL, 10) : 0;
        switch (o) {
        case 'a':
            p->address = optarg;
            break;
        case 'o':
            p->port = value;
            break;
        case 'r':
            p->memcached = !strcmp(optarg, "memcached");
            break;
        case 'c':
            p->set = !strcmp(optarg, "set");
            break;
        case 'p':
            p->pipeline = value;
            break;
        case 'v':
            p->value_bytes = value;
            break;
        case 'k':
            p->keys = value;
            break;
        case 'n':
            p->connections = value;
            break;
        case 's':
            p->seconds = strtod(optarg, NULL);
            break;
        case 'f':
            p->fill = p->set = true;
            break;
        default:
            return false;
        }
    }
    return optind == argc && p->address && p->port && p->pipeline && p->pipeline <= 1024 && p->value_bytes &&
           p->value_bytes <= 65536 && p->keys && p->connections && p->connections <= CONNECTIONS_MAX;
}

int main(int argc, char **argv)
{
    static struct run r = {.plan = {.connections = 50, .pipeline = 1, .value_bytes = 64, .keys = 100000, .seconds = 1}};
    if (!plan_read(argc, argv, &r.plan))
        return usage();
    r.epoll = epoll_create1(0);
    r.connection = calloc(r.plan.connections, sizeof *r.connection);
    r.value = malloc(r.plan.value_bytes);
    r.in = malloc(READ_BYTES + 1);
    if (r.epoll < 0 || !r.connection || !r.value || !r.in)
        fail("start");
    memset(r.value, 'x', r.plan.value_bytes);
    run(&r);
    return 0;
}
