/* The capture wrapper: files are read back by a small reader of the test's own, block by block. `capture FILE` writes
 * one sample file and ends: tests/system/capture_tools.sh shows it to capinfos and tshark. */
#include "drivers/wrap/capture.h"

#include <errno.h>
#include <pthread.h>
#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "drivers/sim/sim.h"
#include "drivers/wrap/capture_filter.h"
#include "drivers/wrap/ring.h"
#include "tests/support/cmocka.h"
#include "tests/support/support.h"

static struct rte_mempool *pool;
static char folder[] = "/tmp/capture-test-XXXXXX";
static char path[128];

/* ---- a reader of what the writer may write ---- */

struct reader {
    unsigned sections, interfaces, packets, statistics;
    char interface_name[4][32];
    uint32_t snaplen;
    unsigned resolution;
    char comment[256];
    struct {
        uint32_t interface, captured, original, flags;
        uint64_t time_ns;
        uint8_t data[64];
    } packet[64];
    size_t file_bytes;
};

static uint32_t load32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

static uint16_t load16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

/* The value of option `code` in the options from `p` to `end`, or NULL. */
static const uint8_t *option(const uint8_t *p, const uint8_t *end, unsigned code, unsigned *length)
{
    while (p + 4 <= end) {
        *length = load16(p + 2);
        if (load16(p) == 0)
            return NULL;
        assert_true(p + 4 + *length <= end);
        if (load16(p) == code)
            return p + 4;
        p += 4 + (*length + 3) / 4 * 4;
    }
    return NULL;
}

static void read_interface(struct reader *r, const uint8_t *body, const uint8_t *end)
{
    unsigned n;
    const uint8_t *name = option(body + 8, end, 2, &n);
    assert_int_equal(load16(body), 1); /* Ethernet */
    r->snaplen = load32(body + 4);
    assert_non_null(name);
    snprintf(r->interface_name[r->interfaces++], 32, "%.*s", (int)n, (const char *)name);
    const uint8_t *resolution = option(body + 8, end, 9, &n);
    assert_non_null(resolution);
    r->resolution = *resolution;
}

static void read_packet(struct reader *r, const uint8_t *body, const uint8_t *end)
{
    unsigned n;
    uint32_t captured = load32(body + 12);
    const uint8_t *flags = option(body + 20 + (captured + 3) / 4 * 4, end, 2, &n);
    assert_non_null(flags);
    if (r->packets < 64) {
        r->packet[r->packets].interface = load32(body);
        r->packet[r->packets].time_ns = (uint64_t)load32(body + 4) << 32 | load32(body + 8);
        r->packet[r->packets].captured = captured;
        r->packet[r->packets].original = load32(body + 16);
        r->packet[r->packets].flags = load32(flags);
        memcpy(r->packet[r->packets].data, body + 20, captured < 64 ? captured : 64);
    }
    r->packets++;
}

static void read_statistics(struct reader *r, const uint8_t *body, const uint8_t *end)
{
    unsigned n;
    const uint8_t *comment = option(body + 12, end, 1, &n);
    assert_non_null(comment);
    snprintf(r->comment, sizeof r->comment, "%.*s", (int)n, (const char *)comment);
    r->statistics++;
}

static struct reader *read_file(const char *name)
{
    struct reader *r = calloc(1, sizeof *r);
    FILE *f = fopen(name, "rb");
    struct stat info;
    assert_non_null(f);
    assert_int_equal(fstat(fileno(f), &info), 0);
    uint8_t *data = malloc((size_t)info.st_size);
    assert_int_equal(fread(data, 1, (size_t)info.st_size, f), info.st_size);
    fclose(f);
    r->file_bytes = (size_t)info.st_size;
    for (size_t at = 0; at < r->file_bytes;) {
        uint32_t length = load32(data + at + 4);
        assert_true(length >= 12 && length % 4 == 0 && at + length <= r->file_bytes);
        const uint8_t *body = data + at + 8, *end = data + at + length - 4;
        assert_int_equal(load32(end), length);
        switch (load32(data + at)) {
        case 0x0a0d0d0a:
            assert_int_equal(load32(body), 0x1a2b3c4d);
            r->sections++;
            break;
        case 1:
            read_interface(r, body, end);
            break;
        case 5:
            read_statistics(r, body, end);
            break;
        case 6:
            read_packet(r, body, end);
            break;
        default:
            fail_msg("unknown block %x", load32(data + at));
        }
        at += length;
    }
    free(data);
    return r;
}

/* ---- frames through a wrapped simulated link ---- */

struct bench {
    struct sim *sim;
    struct mr_link *end[2];
    struct mr_link *wrapped; /* around end[0] */
};

static struct bench bench_new(void)
{
    struct bench b = {.sim = sim_create(1)};
    struct sim_link_options o = {.end = {{.name = "left", .pool = pool}, {.name = "right", .pool = pool}}};
    assert_true(sim_link_create(b.sim, &o, b.end));
    b.wrapped = capture_wrap(b.end[0], sim_clock(b.sim));
    assert_non_null(b.wrapped);
    return b;
}

static void bench_free(struct bench *b)
{
    b->wrapped->close(b->wrapped->self);
    sim_destroy(b->sim);
    assert_int_equal(rte_mempool_in_use_count(pool), 0);
}

static struct rte_mbuf *frame(uint8_t mark, uint16_t bytes)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
    assert_non_null(m);
    memset(rte_pktmbuf_append(m, bytes), mark, bytes);
    return m;
}

static uint16_t send(struct mr_link *l, uint8_t mark, uint16_t bytes)
{
    struct rte_mbuf *m = frame(mark, bytes);
    uint16_t n = l->transmit(l->self, &m, 1);
    if (!n)
        rte_pktmbuf_free(m);
    return n;
}

static unsigned drain(struct mr_link *l)
{
    struct rte_mbuf *burst[32];
    unsigned n = l->receive(l->self, burst, 32);
    rte_pktmbuf_free_bulk(burst, n);
    return n;
}

static void virtual_time_capture_has_both_directions_and_exact_times(void **state)
{
    struct bench b = bench_new();
    struct capture *c;
    struct capture_options o = {.path = path, .snaplen = 20, .synchronous = true};
    mr_time start = sim_now(b.sim);
    send(b.wrapped, 1, 60); /* before the start: not in the file */
    assert_int_equal(capture_start(&o, &b.wrapped, 1, &c), MR_OK);
    sim_advance(b.sim, start + 123456789);
    send(b.wrapped, 2, 61);
    sim_advance(b.sim, start + 5000000001);
    send(b.end[1], 3, 15);
    assert_int_equal(drain(b.wrapped), 1);
    struct capture_report report;
    capture_stop(c, &report);
    send(b.wrapped, 4, 60); /* nor after the end */
    assert_int_equal(report.written, 2);

    struct reader *r = read_file(path);
    assert_int_equal(r->file_bytes, report.bytes);
    assert_int_equal(r->sections, 1);
    assert_int_equal(r->interfaces, 1);
    assert_string_equal(r->interface_name[0], "left");
    assert_int_equal(r->snaplen, 20);
    assert_int_equal(r->resolution, 9);
    assert_int_equal(r->packets, 2);
    assert_int_equal(r->packet[0].time_ns, start + 123456789);
    assert_int_equal(r->packet[0].captured, 20);
    assert_int_equal(r->packet[0].original, 61);
    assert_int_equal(r->packet[0].flags & 3, 2);
    assert_int_equal(r->packet[0].data[19], 2);
    assert_int_equal(r->packet[1].time_ns, start + 5000000001);
    assert_int_equal(r->packet[1].captured, 15);
    assert_int_equal(r->packet[1].original, 15);
    assert_int_equal(r->packet[1].flags & 3, 1);
    assert_int_equal(r->packet[1].data[14], 3);
    assert_int_equal(r->statistics, 1);
    assert_string_equal(r->comment, "0 frames not written: 0 ring full, 0 file limit");
    free(r);
    bench_free(&b);
}

static void chained_frame_is_captured_whole(void **state)
{
    struct bench b = bench_new();
    struct capture *c;
    struct capture_options o = {.path = path, .synchronous = true};
    struct rte_mbuf *m = frame(1, 30);
    assert_int_equal(rte_pktmbuf_chain(m, frame(2, 30)), 0);
    assert_int_equal(capture_start(&o, &b.wrapped, 1, &c), MR_OK);
    b.wrapped->transmit(b.wrapped->self, &m, 1);
    capture_stop(c, NULL);
    struct reader *r = read_file(path);
    assert_int_equal(r->packet[0].captured, 60);
    assert_int_equal(r->packet[0].data[29], 1);
    assert_int_equal(r->packet[0].data[30], 2);
    assert_int_equal(r->packet[0].data[59], 2);
    free(r);
    bench_free(&b);
}

static uint16_t room;
static uint16_t (*inner_transmit)(void *, struct rte_mbuf **, uint16_t);

static uint16_t transmit_bounded(void *self, struct rte_mbuf **burst, uint16_t n)
{
    uint16_t k = n < room ? n : room;
    return k ? inner_transmit(self, burst, k) : 0;
}

static void frames_the_link_refused_are_captured_once(void **state)
{
    struct bench b = bench_new();
    struct capture *c;
    struct capture_report report;
    struct capture_options o = {.path = path, .synchronous = true};
    struct rte_mbuf *burst[5];
    inner_transmit = b.end[0]->transmit;
    b.end[0]->transmit = transmit_bounded;
    assert_int_equal(capture_start(&o, &b.wrapped, 1, &c), MR_OK);
    for (uint8_t i = 0; i < 5; i++)
        burst[i] = frame(i, 60);
    room = 2;
    assert_int_equal(b.wrapped->transmit(b.wrapped->self, burst, 5), 2);
    room = 9;
    assert_int_equal(b.wrapped->transmit(b.wrapped->self, burst + 2, 3), 3);
    capture_stop(c, &report);
    assert_int_equal(report.seen, 5);
    struct reader *r = read_file(path);
    assert_int_equal(r->packets, 5);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(r->packet[i].data[0], i);
    free(r);
    bench_free(&b);
}

static void full_file_stops_growing_and_says_so(void **state)
{
    struct bench b = bench_new();
    struct capture *c;
    struct capture_report report;
    struct capture_options o = {.path = path, .snaplen = 1500, .file_bytes_max = 8192, .synchronous = true};
    assert_int_equal(capture_start(&o, &b.wrapped, 1, &c), MR_OK);
    for (unsigned i = 0; i < 100; i++)
        send(b.wrapped, 7, 1000);
    capture_stop(c, &report);
    assert_int_equal(report.written + report.limited, 100);
    struct reader *r = read_file(path);
    assert_true(r->file_bytes <= 8192);
    assert_int_equal(r->packets, report.written);
    assert_in_range(r->packets, 6, 7);
    assert_non_null(strstr(r->comment, "file limit"));
    assert_null(strstr(r->comment, " 0 file limit"));
    free(r);
    bench_free(&b);
}

static void rotation_keeps_the_last_files_each_whole(void **state)
{
    struct bench b = bench_new();
    struct capture *c;
    struct capture_report report;
    struct capture_options o = {.path = path, .snaplen = 1500, .file_bytes_max = 8192, .files = 3, .synchronous = true};
    assert_int_equal(capture_start(&o, &b.wrapped, 1, &c), MR_OK);
    for (uint8_t i = 0; i < 50; i++)
        send(b.wrapped, i, 1000);
    capture_stop(c, &report);
    assert_int_equal(report.written, 50);
    unsigned packets = 0, newest = 0;
    for (unsigned i = 0; i < 3; i++) {
        char name[160];
        snprintf(name, sizeof name, "%s.%u", path, i);
        struct reader *r = read_file(name);
        assert_true(r->file_bytes <= 8192);
        assert_int_equal(r->interfaces, 1);
        assert_int_equal(r->statistics, 1);
        packets += r->packets;
        if (r->packets && r->packet[r->packets - 1].data[0] > newest)
            newest = r->packet[r->packets - 1].data[0];
        free(r);
        unlink(name);
    }
    assert_in_range(packets, 13, 21);
    assert_int_equal(newest, 49);
    bench_free(&b);
}

static void start_refuses_what_cannot_work(void **state)
{
    struct bench b = bench_new();
    struct capture *c, *second;
    struct capture_options o = {.path = "/nonexistent/folder/file", .synchronous = true};
    assert_int_equal(capture_start(&o, &b.wrapped, 1, &c), MR_ERROR_SYSTEM);
    assert_int_equal(errno, ENOENT);
    o.path = path;
    o.file_bytes_max = 100;
    assert_int_equal(capture_start(&o, &b.wrapped, 1, &c), MR_ERROR_INVALID);
    o.file_bytes_max = 0;
    assert_int_equal(capture_start(&o, &b.wrapped, 1, &c), MR_OK);
    assert_int_equal(capture_start(&o, &b.wrapped, 1, &second), MR_ERROR_IN_USE);
    capture_stop(c, NULL);
    bench_free(&b);
}

static void full_disk_is_reported_and_harms_nobody(void **state)
{
    struct capture *c;
    struct capture_report report;
    struct capture_options o = {.path = "/dev/full", .synchronous = true};
    struct stat info;
    if (stat(o.path, &info) != 0 || !S_ISCHR(info.st_mode))
        skip(); /* never make an ordinary file there */
    struct bench b = bench_new();
    assert_int_equal(capture_start(&o, &b.wrapped, 1, &c), MR_OK);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(send(b.wrapped, 1, 100), 1);
    capture_stop(c, &report);
    assert_int_equal(report.error, ENOSPC);
    bench_free(&b);
}

/* ---- a real clock, a writer thread, starts and stops while packets flow ---- */

static mr_time real_now(void *self)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (mr_time)t.tv_sec * MR_SECOND + (mr_time)t.tv_nsec;
}

struct traffic {
    struct mr_link *link;
    volatile bool stop;
    uint64_t sent;
};

static uint16_t discard(void *self, struct rte_mbuf **burst, uint16_t n)
{
    return n; /* the same packets are sent again and again: this device only looks at them */
}

static void *traffic_run(void *argument)
{
    struct traffic *t = argument;
    struct rte_mbuf *burst[16];
    const struct timespec pause = {.tv_nsec = 20000};
    for (unsigned i = 0; i < 16; i++)
        burst[i] = frame((uint8_t)i, 200);
    while (!t->stop) {
        t->sent += t->link->transmit(t->link->self, burst, 16);
        nanosleep(&pause, NULL);
    }
    rte_pktmbuf_free_bulk(burst, 16);
    return NULL;
}

static void start_and_stop_under_traffic_loses_and_invents_nothing(void **state)
{
    struct mr_clock clock = {.now = real_now};
    struct mr_link device = {.name = "device", .transmit = discard};
    struct mr_link *wrapped = capture_wrap(&device, &clock);
    struct traffic t = {.link = wrapped};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, traffic_run, &t), 0);
    for (unsigned round = 0; round < 20; round++) {
        struct capture_options o = {.path = path, .snaplen = 64};
        struct capture_report report;
        struct capture *c;
        assert_int_equal(capture_start(&o, &wrapped, 1, &c), MR_OK);
        const struct timespec pause = {.tv_nsec = 1000000};
        do {
            nanosleep(&pause, NULL);
            capture_report(c, &report);
        } while (report.written < 64); /* the writer keeps up while it runs, not only at the end */
        capture_stop(c, &report);
        assert_int_equal(report.seen, report.written + report.overflowed + report.limited);
        assert_int_equal(report.seen % 16, 0);
        struct reader *r = read_file(path);
        assert_int_equal(r->packets, report.written);
        for (unsigned i = 0; i < 64; i++)
            assert_int_equal(r->packet[i].data[0], i % 16);
        /* wall clock: within a day of now, and not going back */
        assert_in_range(r->packet[0].time_ns / MR_SECOND, (uint64_t)time(NULL) - 86400, (uint64_t)time(NULL) + 86400);
        assert_true(r->packet[63].time_ns >= r->packet[0].time_ns);
        free(r);
    }
    t.stop = true;
    pthread_join(thread, NULL);
    free(wrapped->self);
}

static void ring_full_counts_overflow_and_accepts_again(void **state)
{
    struct ring r;
    unsigned accepted = 0;
    assert_true(ring_init(&r, 4096));
    while (ring_reserve(&r, 100))
        accepted++;
    ring_publish(&r);
    assert_in_range(accepted, 4096 / 128, 4096 / 100);
    for (unsigned i = 0; i < 10000; i++) { /* every alignment of the wrap */
        uint32_t n = 1 + i * 37 % 300;
        unsigned taken = 0;
        uint8_t *p;
        while (!(p = ring_reserve(&r, n))) {
            assert_non_null(ring_peek(&r));
            ring_consume(&r);
            assert_true(++taken < 100);
        }
        assert_true(p >= r.data && p + n <= r.data + r.bytes);
        memset(p, (int)i, n);
        ring_publish(&r);
    }
    ring_free(&r);
}

/* Twenty frames of IPv4 that a dissector finds nothing wrong with. */
static void udp_frame(uint8_t *f, uint16_t source, uint16_t destination)
{
    static const uint8_t template[46] = {2, 0,  0, 0, 0, 2, 2,  0,  0, 0, 0,   1,   8,   0,  0x45, 0,
                                         0, 32, 0, 1, 0, 0, 64, 17, 0, 0, 198, 18,  0,   1,  198,  18,
                                         0, 2,  0, 0, 0, 0, 0,  12, 0, 0, 'm', 'i', 'l', 'l'};
    memcpy(f, template, sizeof template);
    uint32_t sum = 0;
    for (unsigned k = 14; k < 34; k += 2)
        sum += (uint32_t)f[k] << 8 | f[k + 1];
    sum = (sum & 0xffff) + (sum >> 16);
    f[24] = (uint8_t)(~sum >> 8);
    f[25] = (uint8_t)~sum;
    f[34] = (uint8_t)(source >> 8);
    f[35] = (uint8_t)source;
    f[36] = (uint8_t)(destination >> 8);
    f[37] = (uint8_t)destination;
}

static void filter_keeps_what_it_names(void **state)
{
    static const struct {
        const char *text;
        bool valid, matches; /* a UDP datagram from 198.18.0.1:1000 to 198.18.0.2:53 */
    } table[] = {
        {"", true, true},
        {NULL, true, true},
        {"udp", true, true},
        {"tcp", true, false},
        {"arp", true, false},
        {"ip", true, true},
        {"icmp", true, false},
        {"port 53", true, true},
        {"port 1000", true, true},
        {"port 1001", true, false},
        {"  udp  port 53\thost 198.18.0.2 ", true, true},
        {"host 198.18.0.1", true, true},
        {"host 198.18.0.3", true, false},
        {"udp host 198.18.0.3", true, false},
        {"port", false, false},
        {"port 0", false, false},
        {"port 65536", false, false},
        {"port 5x", false, false},
        {"host", false, false},
        {"host nowhere", false, false},
        {"sctp", false, false},
    };
    uint8_t f[46];
    udp_frame(f, 1000, 53);
    for (unsigned i = 0; i < sizeof table / sizeof *table; i++) {
        struct capture_filter filter;
        assert_int_equal(capture_filter_parse(table[i].text, &filter), table[i].valid);
        if (!table[i].valid)
            continue;
        uint8_t *guarded = support_guarded(f, sizeof f);
        assert_int_equal(capture_filter_matches(&filter, guarded, sizeof f), table[i].matches);
        support_guarded_free(guarded, sizeof f);
        for (size_t n = 0; n < sizeof f; n++) { /* cut anywhere: nothing beyond the end is read */
            guarded = support_guarded(f, n ? n : 1);
            capture_filter_matches(&filter, guarded, n);
            support_guarded_free(guarded, n ? n : 1);
        }
    }
}

static int sample_write(const char *name)
{
    struct bench b = bench_new();
    struct capture *c;
    struct capture_options o = {.path = name, .synchronous = true};
    uint8_t f[46];
    if (capture_start(&o, &b.wrapped, 1, &c) != MR_OK)
        return 1;
    for (unsigned i = 0; i < 20; i++) {
        struct mr_link *from = i % 2 ? b.end[1] : b.wrapped;
        struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
        udp_frame(f, (uint16_t)(1000 + i), 9);
        memcpy(rte_pktmbuf_append(m, sizeof f), f, sizeof f);
        sim_advance(b.sim, sim_now(b.sim) + 1000001);
        from->transmit(from->self, &m, 1);
        drain(b.wrapped);
    }
    drain(b.end[1]);
    capture_stop(c, NULL);
    bench_free(&b);
    return 0;
}

int main(int argc, char **argv)
{
    support_start_dpdk(64);
    pool = support_pool(1024);
    if (argc > 1)
        return sample_write(argv[1]);
    if (!mkdtemp(folder))
        return 1;
    snprintf(path, sizeof path, "%s/file.pcapng", folder);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(virtual_time_capture_has_both_directions_and_exact_times),
        cmocka_unit_test(chained_frame_is_captured_whole),
        cmocka_unit_test(frames_the_link_refused_are_captured_once),
        cmocka_unit_test(full_file_stops_growing_and_says_so),
        cmocka_unit_test(rotation_keeps_the_last_files_each_whole),
        cmocka_unit_test(start_refuses_what_cannot_work),
        cmocka_unit_test(full_disk_is_reported_and_harms_nobody),
        cmocka_unit_test(start_and_stop_under_traffic_loses_and_invents_nothing),
        cmocka_unit_test(ring_full_counts_overflow_and_accepts_again),
        cmocka_unit_test(filter_keeps_what_it_names),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    rmdir(folder);
    return failed;
}
