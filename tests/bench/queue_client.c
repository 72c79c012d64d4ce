/* A load generator for AMQP brokers over kernel sockets: one publisher with at most W messages under way and, with --through, one consumer,
 * in one thread.
 *
 *   queue_client --address A [--port 5672] [--bytes N] [--window W] [--seconds S] [--durability memory|written|fsync] [--through] [--open N]
 *
 * Without --through a message is under way until it is confirmed; with it until the consumer has it (it acknowledges each 32nd, all before
 * included, and prefetches 2 W). `memory` publishes transient messages to a transient queue. x-durability is an argument that RabbitMQ ignores.
 * Prints `messages S p50 p99 p99.9 max`: microseconds from sending to the confirm or the arrival. --open N opens N connections
 * with a channel each and N queues, prints "open", waits for the end of its input: for measuring memory. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define IN_BYTES         (1u << 20)
#define WINDOW_MAX       65536u
#define ACK_EACH         32u
#define BUCKETS_OF_TWO   64 /* from one power of two to the next: latencies are right to 1.6 % */
#define BUCKETS          (BUCKETS_OF_TWO * 44)
#define QUEUE_LENGTH_MAX 20000 /* without a consumer the oldest go: no broker pages out or blocks */
#define QUEUE_BYTES_MAX  (64u << 20)
#define HEAD_BYTES       8u /* of a body: when it was sent */

struct connection {
    int fd;
    uint8_t *in;
    size_t have;
    uint8_t *out;
    size_t out_length, out_sent, out_room;
    uint8_t type; /* of the frame that is being read in pieces: none when 0 */
};

struct run {
    const char *address;
    unsigned port, window;
    uint64_t bytes;
    double seconds;
    const char *durability;
    bool through;
    struct connection publisher, consumer;
    uint64_t sent, arrived, confirmed; /* messages */
    uint64_t *sent_ns;                 /* by tag modulo the window's power of two */
    uint8_t *filling;
    uint64_t bucket[BUCKETS], counted, max_ns;
    bool confirmed_out_of_order[WINDOW_MAX];
};

static void fail(const char *what)
{
    fprintf(stderr, "queue_client: %s%s%s\n", what, errno ? ": " : "", errno ? strerror(errno) : "");
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* -- latencies ----------------------------------------------------------------------------------------------------------------------- */

static unsigned bucket_of(uint64_t ns)
{
    if (ns < BUCKETS_OF_TWO)
        return (unsigned)ns;
    unsigned power = 63 - (unsigned)__builtin_clzll(ns);
    unsigned b = (power - 5) * BUCKETS_OF_TWO + (unsigned)(ns >> (power - 6) & (BUCKETS_OF_TWO - 1));
    return b < BUCKETS ? b : BUCKETS - 1;
}

static double bucket_us(unsigned b)
{
    if (b < BUCKETS_OF_TWO)
        return b / 1e3;
    unsigned power = b / BUCKETS_OF_TWO + 5;
    return (double)((UINT64_C(1) << power) + ((uint64_t)(b % BUCKETS_OF_TWO) << (power - 6))) / 1e3;
}

static void latency_count(struct run *r, uint64_t ns)
{
    r->bucket[bucket_of(ns)]++;
    r->counted++;
    r->max_ns = ns > r->max_ns ? ns : r->max_ns;
}

static double latency_quantile(const struct run *r, double q)
{
    uint64_t seen = 0, wanted = (uint64_t)(q * (double)r->counted);
    for (unsigned b = 0; b < BUCKETS; b++)
        if ((seen += r->bucket[b]) > wanted)
            return bucket_us(b);
    return (double)r->max_ns / 1e3;
}

/* -- frames -------------------------------------------------------------------------------------------------------------------------- */

static uint8_t *put(uint8_t *p, uint64_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        *p++ = (uint8_t)(value >> 8 * (bytes - 1 - i));
    return p;
}

static uint8_t *put_short(uint8_t *p, const char *s)
{
    size_t n = strlen(s);
    *p++ = (uint8_t)n;
    memcpy(p, s, n);
    return p + n;
}

static uint64_t number(const uint8_t *p, unsigned bytes)
{
    uint64_t value = 0;
    while (bytes--)
        value = value << 8 | *p++;
    return value;
}

/* Begins a method frame; method_end writes its length. */
static uint8_t *method_begin(uint8_t *frame, unsigned channel, unsigned class, unsigned method)
{
    uint8_t *p = put(put(put(frame, 1, 1), channel, 2), 0, 4);
    return put(put(p, class, 2), method, 2);
}

static size_t method_end(uint8_t *frame, uint8_t *p)
{
    put(frame + 3, (uint64_t)(p - frame - 7), 4);
    *p++ = 0xce;
    return (size_t)(p - frame);
}

static void send_all(struct connection *c, const uint8_t *data, size_t n)
{
    while (n) {
        ssize_t sent = send(c->fd, data, n, MSG_NOSIGNAL);
        if (sent < 0)
            fail("send");
        data += sent;
        n -= (size_t)sent;
    }
}

/* Blocks until a whole method frame of this class and method has come. */
static void await(struct connection *c, unsigned class, unsigned method)
{
    for (;;) {
        while (c->have >= 7) {
            size_t whole = 8 + (size_t)number(c->in + 3, 4);
            if (c->have < whole)
                break;
            bool it = c->in[0] == 1 && number(c->in + 7, 2) == class && number(c->in + 9, 2) == method;
            bool closed = c->in[0] == 1 && ((number(c->in + 7, 2) == 10 && number(c->in + 9, 2) == 50) ||
                                            (number(c->in + 7, 2) == 20 && number(c->in + 9, 2) == 40));
            if (closed) {
                fprintf(stderr, "%.*s\n", c->in[13], (const char *)c->in + 14);
                errno = 0;
                fail("the broker closed it");
            }
            memmove(c->in, c->in + whole, c->have -= whole);
            if (it)
                return;
        }
        ssize_t n = recv(c->fd, c->in + c->have, IN_BYTES - c->have, 0);
        if (n <= 0)
            fail("recv");
        c->have += (size_t)n;
    }
}

static void connection_open(struct connection *c, const char *address, unsigned port)
{
    static const uint8_t protocol[8] = {'A', 'M', 'Q', 'P', 0, 0, 9, 1};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int one = 1;
    uint8_t frame[256], *p;
    if (inet_pton(AF_INET, address, &to.sin_addr) != 1)
        fail("--address expects an IPv4 address");
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    c->in = malloc(IN_BYTES);
    if (c->fd < 0 || !c->in || connect(c->fd, (struct sockaddr *)&to, sizeof to))
        fail("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    send_all(c, protocol, sizeof protocol);
    await(c, 10, 10);
    p = put_short(put(method_begin(frame, 0, 10, 11), 0, 4), "PLAIN");
    p = put(p, 12, 4);
    memcpy(p, "\0guest\0guest", 12);
    send_all(c, frame, method_end(frame, put_short(p + 12, "en_US")));
    await(c, 10, 30);
    send_all(c, frame, method_end(frame, put(put(put(method_begin(frame, 0, 10, 31), 2047, 2), 131072, 4), 0, 2)));
    send_all(c, frame, method_end(frame, put(put_short(method_begin(frame, 0, 10, 40), "/"), 0, 2)));
    await(c, 10, 41);
    send_all(c, frame, method_end(frame, put(method_begin(frame, 1, 20, 10), 0, 1)));
    await(c, 20, 11);
}

static void queue_declare(struct connection *c, const char *name, bool durable, const char *durability)
{
    uint8_t frame[512], *p = put_short(put(method_begin(frame, 1, 50, 10), 0, 2), name);
    uint8_t *table = put(p, durable ? 2 : 0, 1);
    p = put_short(put(table, 0, 4), "x-durability");
    *p++ = 'S';
    p = put(p, strlen(durability), 4);
    memcpy(p, durability, strlen(durability));
    p = put_short(p + strlen(durability), "x-max-length-bytes");
    *p++ = 'l';
    p = put(p, QUEUE_BYTES_MAX, 8);
    p = put_short(p, "x-max-length");
    *p++ = 'l';
    p = put(p, QUEUE_LENGTH_MAX, 8);
    put(table, (uint64_t)(p - table - 4), 4);
    send_all(c, frame, method_end(frame, p));
    await(c, 50, 11);
}

/* -- the load ------------------------------------------------------------------------------------------------------------------------ */

static void out_append(struct connection *c, const void *data, size_t n)
{
    if (c->out_length + n > c->out_room) {
        c->out_room = 2 * (c->out_length + n);
        c->out = realloc(c->out, c->out_room);
        if (!c->out)
            fail("memory");
    }
    memcpy(c->out + c->out_length, data, n);
    c->out_length += n;
}

static void out_flush(struct connection *c)
{
    while (c->out_sent < c->out_length) {
        ssize_t n = send(c->fd, c->out + c->out_sent, c->out_length - c->out_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n < 0)
            fail("send");
        c->out_sent += (size_t)n;
    }
    c->out_sent = c->out_length = 0;
}

static void publish(struct run *r)
{
    uint8_t frame[256], *p = put_short(put_short(put(method_begin(frame, 1, 60, 40), 0, 2), ""), "bench");
    struct connection *c = &r->publisher;
    uint64_t sent = now_ns();
    out_append(c, frame, method_end(frame, put(p, 0, 1)));
    p = put(put(put(frame, 2, 1), 1, 2), 15, 4);                     /* header frame */
    p = put(put(put(put(p, 60, 2), 0, 2), r->bytes, 8), 1 << 12, 2); /* delivery mode alone */
    out_append(c, frame, (size_t)(put(put(p, strcmp(r->durability, "memory") ? 2 : 1, 1), 0xce, 1) - frame));
    memcpy(r->filling, &sent, HEAD_BYTES);
    for (uint64_t at = 0; at < r->bytes;) {
        uint64_t n = r->bytes - at < 131064 ? r->bytes - at : 131064;
        out_append(c, frame, (size_t)(put(put(put(frame, 3, 1), 1, 2), n, 4) - frame));
        out_append(c, r->filling + at, n);
        out_append(c, "\xce", 1);
        at += n;
    }
    r->sent++;
    r->sent_ns[r->sent % WINDOW_MAX] = sent;
}

static void confirm(struct run *r, uint64_t tag, bool multiple)
{
    if (tag > r->sent || tag <= r->confirmed)
        fail("a confirm of what is not under way");
    uint64_t now = now_ns(), first = multiple ? r->confirmed + 1 : tag;
    for (uint64_t t = first; t <= tag; t++) {
        if (r->confirmed_out_of_order[t % WINDOW_MAX])
            continue;
        r->confirmed_out_of_order[t % WINDOW_MAX] = true;
        if (!r->through)
            latency_count(r, now - r->sent_ns[t % WINDOW_MAX]);
    }
    while (r->confirmed < r->sent && r->confirmed_out_of_order[(r->confirmed + 1) % WINDOW_MAX])
        r->confirmed_out_of_order[++r->confirmed % WINDOW_MAX] = false;
}

static void arrived(struct run *r, const uint8_t *body)
{
    uint64_t sent;
    memcpy(&sent, body, sizeof sent);
    latency_count(r, now_ns() - sent);
    if (++r->arrived % ACK_EACH == 0) {
        uint8_t frame[32];
        out_append(&r->consumer, frame,
                   method_end(frame, put(put(method_begin(frame, 1, 60, 80), r->arrived, 8), 1, 1)));
    }
}

/* What a whole frame means; large bodies come in several, of which the first carries the time. */
static void frame_in(struct run *r, struct connection *c, const uint8_t *frame, size_t payload)
{
    if (frame[0] == 1 && number(frame + 7, 2) == 60 && number(frame + 9, 2) == 80)
        confirm(r, number(frame + 11, 8), frame[19] & 1);
    else if (frame[0] == 1 && number(frame + 7, 2) == 60 && number(frame + 9, 2) == 120)
        fail("a publish was refused");
    else if (frame[0] == 2 && c == &r->consumer)
        c->type = 2;
    else if (frame[0] == 3 && c->type == 2 && payload >= HEAD_BYTES) {
        c->type = 0;
        arrived(r, frame + 7);
    } else if (frame[0] == 1 && (number(frame + 7, 2) == 10 || number(frame + 7, 2) == 20) &&
               number(frame + 9, 2) % 10 == 0 && number(frame + 9, 2) >= 40 && number(frame + 9, 2) <= 50)
        fail("the broker closed it");
}

static void input(struct run *r, struct connection *c)
{
    ssize_t n = recv(c->fd, c->in + c->have, IN_BYTES - c->have, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
        fail("recv");
    c->have += n > 0 ? (size_t)n : 0;
    size_t at = 0;
    while (c->have - at >= 8) {
        size_t payload = (size_t)number(c->in + at + 3, 4);
        if (c->have - at < payload + 8)
            break;
        frame_in(r, c, c->in + at, payload);
        at += payload + 8;
    }
    memmove(c->in, c->in + at, c->have -= at);
}

static uint64_t under_way(const struct run *r)
{
    return r->sent - (r->through && r->arrived < r->confirmed ? r->arrived : r->confirmed);
}

static void load(struct run *r)
{
    uint64_t begun = now_ns(), end = begun + (uint64_t)(r->seconds * 1e9), stop = end + UINT64_C(20000000000);
    while (now_ns() < end || under_way(r)) {
        if (now_ns() > stop)
            fail("no answers");
        while (now_ns() < end && under_way(r) < r->window &&
               r->publisher.out_length - r->publisher.out_sent < (4u << 20))
            publish(r);
        out_flush(&r->publisher);
        if (r->through)
            out_flush(&r->consumer);
        struct pollfd p[2] = {{r->publisher.fd, (short)(POLLIN | (r->publisher.out_length ? POLLOUT : 0)), 0},
                              {r->consumer.fd, (short)(POLLIN | (r->consumer.out_length ? POLLOUT : 0)), 0}};
        poll(p, r->through ? 2 : 1, 100);
        input(r, &r->publisher);
        if (r->through)
            input(r, &r->consumer);
    }
    printf("%llu %.3f %.1f %.1f %.1f %.1f\n", (unsigned long long)r->counted, (double)(now_ns() - begun) / 1e9,
           latency_quantile(r, 0.5), latency_quantile(r, 0.99), latency_quantile(r, 0.999), (double)r->max_ns / 1e3);
}

static void prepare(struct run *r)
{
    uint8_t frame[128], *p;
    connection_open(&r->publisher, r->address, r->port);
    p = put(put_short(put(method_begin(frame, 1, 50, 40), 0, 2), "bench"), 0, 1);
    send_all(&r->publisher, frame, method_end(frame, p));
    await(&r->publisher, 50, 41);
    queue_declare(&r->publisher, "bench", strcmp(r->durability, "memory") != 0, r->durability);
    send_all(&r->publisher, frame, method_end(frame, put(method_begin(frame, 1, 85, 10), 0, 1)));
    await(&r->publisher, 85, 11);
    if (!r->through)
        return;
    connection_open(&r->consumer, r->address, r->port);
    unsigned prefetch = 2 * r->window < 65535 ? 2 * r->window : 65535;
    p = put(put(put(method_begin(frame, 1, 60, 10), 0, 4), prefetch < 2 * ACK_EACH ? 2 * ACK_EACH : prefetch, 2), 0, 1);
    send_all(&r->consumer, frame, method_end(frame, p));
    await(&r->consumer, 60, 11);
    p = put_short(put_short(put(method_begin(frame, 1, 60, 20), 0, 2), "bench"), "c");
    send_all(&r->consumer, frame, method_end(frame, put(put(p, 0, 1), 0, 4)));
    await(&r->consumer, 60, 21);
}

static void hold_open(const char *address, unsigned port, unsigned n)
{
    struct connection c = {0};
    for (unsigned i = 0; i < n; i++) {
        char name[32];
        snprintf(name, sizeof name, "idle-%u", i);
        free(c.in);
        c = (struct connection){0};
        connection_open(&c, address, port);
        queue_declare(&c, name, true, "fsync");
    }
    puts("open");
    fflush(stdout);
    while (getchar() != EOF)
        ;
}

int main(int argc, char **argv)
{
    static struct run r = {.port = 5672, .window = 100, .bytes = 16, .seconds = 2, .durability = "fsync"};
    static const struct option options[] = {{"address", 1, 0, 'a'}, {"port", 1, 0, 'p'},    {"bytes", 1, 0, 'b'},
                                            {"window", 1, 0, 'w'},  {"seconds", 1, 0, 's'}, {"durability", 1, 0, 'd'},
                                            {"through", 0, 0, 't'}, {"open", 1, 0, 'o'},    {0}};
    unsigned open = 0;
    for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (o) {
        case 'a':
            r.address = optarg;
            break;
        case 'p':
            r.port = (unsigned)atoi(optarg);
            break;
        case 'b':
            r.bytes = strtoull(optarg, NULL, 10);
            break;
        case 'w':
            r.window = (unsigned)atoi(optarg);
            break;
        case 's':
            r.seconds = atof(optarg);
            break;
        case 'd':
            r.durability = optarg;
            break;
        case 't':
            r.through = true;
            break;
        case 'o':
            open = (unsigned)atoi(optarg);
            break;
        default:
            return 2;
        }
    }
    errno = 0;
    if (!r.address || !r.window || r.window >= WINDOW_MAX || r.bytes < HEAD_BYTES || optind != argc)
        fail("expects --address A, --window 1..65535, --bytes 8 and more; see the head of its source");
    if (open) {
        hold_open(r.address, r.port, open);
        return 0;
    }
    r.sent_ns = calloc(WINDOW_MAX, sizeof *r.sent_ns);
    r.filling = malloc(r.bytes);
    if (!r.sent_ns || !r.filling)
        fail("memory");
    memset(r.filling, 'x', r.bytes);
    prepare(&r);
    load(&r);
    return 0;
}
