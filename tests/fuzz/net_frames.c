/* Whole frames into a whole worker: a UDP port that echoes, time that passes, packets that run out. The input is a
 * sequence of records:
 *
 *      | flags | milliseconds, 2 | length, 2 | frame ... |
 *
 * Flags: 1 makes the frame one for us (destination MAC and IPv4 address, header checksum), 2 also makes the transport's
 * checksum right, 4 lets the worker have few packets, 8 sends a datagram of ours to the address that the frame came from,
 * 16 adds a second address. After each record every table is checked; at the end every packet must be back. */
#include <millrace/datagram.h>
#include <rte_mempool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/host.h"

enum { FLAG_FOR_US = 1, FLAG_CHECKSUM = 2, FLAG_FEW_PACKETS = 4, FLAG_SEND = 8, FLAG_ADDRESS = 16 };

#define RECORD_HEADER_BYTES 5
#define FRAME_MAX           1514
#define OURS                0xc6120002u

static void echo(struct mr_port *p, const struct mr_datagram *burst, unsigned n)
{
    mr_datagram_send(p, burst, n);
}

static const struct mr_datagram_handler echo_handler = {echo};

/* Lets the input reach beyond the filters; leaves it as it is where it is too short. */
static void repair(struct frame *f, unsigned flags, const uint8_t mac[6])
{
    if (f->n < 34)
        return;
    memcpy(f->bytes, mac, 6);
    if (frame_get_16(f->bytes + 12) != 0x0800)
        return;
    size_t header = (size_t)(f->bytes[14] & 0xf) * 4;
    if (header < 20 || 14 + header > f->n)
        return;
    f->ip_at = 14;
    f->transport_at = 14 + header;
    frame_put_32(f->bytes + 14 + 16, OURS);
    frame_ip4_checksum(f);
    size_t least = f->bytes[14 + 9] == 6 ? 20 : 8;
    if ((flags & FLAG_CHECKSUM) && f->n >= f->transport_at + least)
        frame_end(f);
}

static void send_ours(struct mr_port *p, const struct frame *f)
{
    if (f->n < 34)
        return;
    const uint8_t *source = f->bytes + 14 + 12;
    struct mr_datagram d = {
        .remote = {mr_address_ip4((uint32_t)frame_get_16(source) << 16 | frame_get_16(source + 2)), 9},
        .payload = {f->bytes, f->n},
    };
    mr_datagram_send(p, &d, 1);
}

static void record(struct test_host *h, struct mr_port *p, unsigned flags, unsigned milliseconds, struct frame *f)
{
    if (flags & FLAG_FOR_US)
        repair(f, flags, h->netif->mac);
    h->w->fail_packets_after = flags & FLAG_FEW_PACKETS ? milliseconds % 4 : UINT32_MAX;
    if (flags & FLAG_ADDRESS) {
        struct mr_address second = mr_address_ip4(0x0a000000 + milliseconds);
        netif_add_address(h->w, h->netif, &second, milliseconds % 33);
    }
    if (flags & FLAG_SEND)
        send_ours(p, f);
    if (f->n)
        test_host_in(h, f);
    test_host_pass(h, milliseconds * MR_MILLISECOND);
    test_link_empty(&h->link);
    worker_check(h->w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct test_host host;
    static struct frame f;
    struct mr_port *p;
    struct mr_endpoint local = {mr_address_any(), 7};
    mr_log_set_level(MR_LOG_ERROR);
    test_host_start(&host, "198.18.0.2/24", 0);
    if (mr_datagram_open(host.w, &local, &echo_handler, NULL, &p) != MR_OK)
        abort();
    while (size >= RECORD_HEADER_BYTES) {
        size_t n = frame_get_16(data + 3);
        n = RTE_MIN(RTE_MIN(n, size - RECORD_HEADER_BYTES), (size_t)FRAME_MAX);
        f = (struct frame){0};
        frame_bytes(&f, data + RECORD_HEADER_BYTES, n);
        record(&host, p, data[0], frame_get_16(data + 1), &f);
        data += RECORD_HEADER_BYTES + n;
        size -= RECORD_HEADER_BYTES + n;
    }
    test_host_stop(&host); /* aborts when a packet was lost */
    return 0;
}
