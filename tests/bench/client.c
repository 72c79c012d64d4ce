#include "tests/bench/client.h"

#include <rte_mbuf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "stack/base/checksum.h"
#include "stack/tcp/tcp_wire.h"

#define PORTS_PER_ADDRESS 50000u
#define PORT_FIRST        10000u
#define CLIENT_NET        0x0a010000u /* 10.1.0.0/16 */

enum { ETH = 14, IP = 20 };

static void put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, (uint16_t)(v >> 16));
    put16(p + 2, (uint16_t)v);
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t address_of(uint32_t i)
{
    return CLIENT_NET + 1 + i / PORTS_PER_ADDRESS;
}

static uint16_t port_of(uint32_t i)
{
    return (uint16_t)(PORT_FIRST + i % PORTS_PER_ADDRESS);
}

static void frame_queue(struct bench_client *c, const uint8_t *frame, unsigned n)
{
    if (c->to_server_first + c->to_server_count == BENCH_OUTBOX) {
        memmove(c->to_server, c->to_server + c->to_server_first, c->to_server_count * sizeof *c->to_server);
        c->to_server_first = 0;
    }
    unsigned at = c->to_server_first + c->to_server_count;
    struct rte_mbuf *m = at < BENCH_OUTBOX ? rte_pktmbuf_alloc(c->pool) : NULL;
    if (!m) {
        c->bad++;
        return;
    }
    memcpy(rte_pktmbuf_append(m, (uint16_t)n), frame, n);
    c->to_server[at] = m;
    c->to_server_count++;
}

static void segment_queue(struct bench_client *c, uint32_t i, uint8_t flags, const char *payload, unsigned n)
{
    struct bench_connection *k = &c->connection[i];
    uint8_t frame[ETH + IP + 60 + BENCH_MSS];
    memcpy(frame, c->server_mac, 6);
    memcpy(frame + 6, c->client_mac, 6);
    put16(frame + 12, 0x0800);
    uint8_t *ip = frame + ETH, *tcp = ip + IP;
    struct tcp_header h = {.source = port_of(i),
                           .destination = c->port,
                           .seq = k->snd_nxt,
                           .ack = k->rcv_nxt,
                           .flags = flags,
                           .window = 65535};
    if (flags & TCP_SYN) {
        h.options.mss = BENCH_MSS;
        h.options.has_scale = true;
        h.options.scale = 7;
    }
    unsigned header = (unsigned)tcp_emit(tcp, &h);
    memcpy(tcp + header, payload, n);
    unsigned total = IP + header + n;
    memcpy(ip, "\x45\0\0\0\0\0\x40\0\x40\x06\0\0", 12);
    put16(ip + 2, (uint16_t)total);
    put32(ip + 12, address_of(i));
    put32(ip + 16, BENCH_SERVER_IP);
    uint16_t sum = checksum_finish(checksum_add(0, ip, IP));
    memcpy(ip + 10, &sum, 2);
    uint32_t pseudo = checksum_pseudo_ip4(address_of(i), BENCH_SERVER_IP, 6, (uint16_t)(header + n));
    sum = checksum_finish(checksum_add(pseudo, tcp, header + n));
    memcpy(tcp + 16, &sum, 2);
    k->snd_nxt += n + !!(flags & TCP_SYN);
    k->segments = 0;
    frame_queue(c, frame, ETH + total);
}

/* Every request for an address of ours, the gateway's, is answered. */
static void arp_answer(struct bench_client *c, const uint8_t *frame, unsigned n)
{
    if (n < 42 || frame[21] != 1)
        return;
    uint8_t reply[42];
    memcpy(reply, frame + 6, 6);
    memcpy(reply + 6, c->client_mac, 6);
    memcpy(reply + 12, frame + 12, 8);
    put16(reply + 20, 2);
    memcpy(reply + 22, c->client_mac, 6);
    memcpy(reply + 28, frame + 38, 4);
    memcpy(reply + 32, frame + 22, 10);
    if (get32(reply + 28) == BENCH_GATEWAY_IP)
        frame_queue(c, reply, sizeof reply);
}

static void payload_in(struct bench_client *c, struct bench_connection *k, const uint8_t *data, unsigned n)
{
    if (!c->response_bytes) { /* responses are alike and come whole, in one segment: the first says how long they are */
        c->response_bytes = n;
        if (n < 12 || memcmp(data, "HTTP/1.1 200", 12) != 0) {
            fprintf(stderr, "bench: not a response: %.*s\n", (int)(n < 60 ? n : 60), (const char *)data);
            c->bad++;
        }
    }
    c->bad += n != c->response_bytes;
    c->payload_in += n;
    c->responses++;
    k->responses++;
}

static void frame_in(struct bench_client *c, struct rte_mbuf *m)
{
    uint8_t copy[2048];
    unsigned n = m->pkt_len < sizeof copy ? m->pkt_len : sizeof copy;
    const uint8_t *frame = rte_pktmbuf_read(m, 0, n, copy);
    c->frames_in++;
    if (frame[12] == 0x08 && frame[13] == 0x06) {
        arp_answer(c, frame, n);
        return;
    }
    const uint8_t *ip = frame + ETH, *tcp = ip + IP;
    struct tcp_header h;
    unsigned total = (unsigned)(ip[2] << 8 | ip[3]);
    if (tcp_parse(tcp, total - IP, &h) != STAT_COUNT) {
        c->bad++;
        return;
    }
    uint32_t i = (get32(ip + 16) - CLIENT_NET - 1) * PORTS_PER_ADDRESS + h.destination - PORT_FIRST;
    if (i >= c->connections) {
        c->bad++;
        return;
    }
    struct bench_connection *k = &c->connection[i];
    unsigned payload = total - IP - h.bytes;
    if (h.flags & TCP_RST) {
        c->resets++;
        return;
    }
    if (h.flags & TCP_SYN) {
        k->rcv_nxt = h.seq + 1;
        k->snd_una = h.ack;
        k->window = h.window;
        k->scale = h.options.has_scale ? h.options.scale : 0;
        k->open = true;
        c->opened++;
        segment_queue(c, i, TCP_ACK, "", 0);
        return;
    }
    c->bad += h.seq != k->rcv_nxt;
    k->rcv_nxt = h.seq + payload;
    k->snd_una = h.ack;
    k->window = (uint32_t)h.window << k->scale;
    if (!payload)
        return;
    if (!c->payload) {
        payload_in(c, k, tcp + h.bytes, payload);
        return;
    }
    c->payload_in += payload;
    c->payload(c->context, i, tcp + h.bytes, payload);
    if (++k->segments == 2)
        segment_queue(c, i, TCP_ACK, "", 0);
}

static uint16_t server_receive(void *self, struct rte_mbuf **burst, uint16_t max)
{
    struct bench_client *c = self;
    uint16_t n = (uint16_t)(c->to_server_count < max ? c->to_server_count : max);
    memcpy(burst, c->to_server + c->to_server_first, n * sizeof *burst);
    c->to_server_count -= n;
    c->to_server_first = c->to_server_count ? c->to_server_first + n : 0;
    return n;
}

static uint16_t server_transmit(void *self, struct rte_mbuf **burst, uint16_t n)
{
    struct bench_client *c = self;
    uint16_t room = (uint16_t)(BENCH_INBOX - c->from_server_count);
    n = n < room ? n : room;
    memcpy(c->from_server + c->from_server_count, burst, n * sizeof *burst);
    c->from_server_count += n;
    return n;
}

static void server_statistics(void *self, struct mr_link_statistics *out)
{
    *out = (struct mr_link_statistics){0};
}

static void server_close(void *self)
{
}

bool bench_client_init(struct bench_client *c, struct rte_mempool *pool, uint32_t connections, uint16_t port,
                       const char *request)
{
    *c = (struct bench_client){.pool = pool,
                               .server_mac = {2, 0, 0, 0, 0, 2},
                               .client_mac = {2, 0, 0, 0, 0, 1},
                               .port = port,
                               .connections = connections,
                               .request = request,
                               .request_bytes = request ? (unsigned)strlen(request) : 0};
    c->link = (struct mr_link){.self = c,
                               .name = "bench",
                               .mac = {2, 0, 0, 0, 0, 2},
                               .mtu = 1500,
                               .offloads = MR_LINK_TX_MULTI_SEGMENT,
                               .receive = server_receive,
                               .transmit = server_transmit,
                               .statistics = server_statistics,
                               .close = server_close};
    c->connection = calloc(connections, sizeof *c->connection);
    return c->connection != NULL;
}

void bench_client_release(struct bench_client *c)
{
    free(c->connection);
}

void bench_client_open(struct bench_client *c, uint32_t i)
{
    c->connection[i].snd_nxt = i * 2654435761u;
    segment_queue(c, i, TCP_SYN, "", 0);
}

void bench_client_request(struct bench_client *c, uint32_t i)
{
    segment_queue(c, i, TCP_ACK | TCP_PSH, c->request, c->request_bytes);
}

size_t bench_client_send(struct bench_client *c, uint32_t i, const char *data, size_t n)
{
    const struct bench_connection *k = &c->connection[i];
    size_t done = 0;
    while (done < n) {
        uint32_t in_flight = k->snd_nxt - k->snd_una, room = k->window > in_flight ? k->window - in_flight : 0;
        size_t piece = RTE_MIN(RTE_MIN(n - done, (size_t)room), (size_t)BENCH_MSS);
        if (!piece || c->to_server_count >= BENCH_OUTBOX / 2)
            break;
        segment_queue(c, i, done + piece == n ? TCP_ACK | TCP_PSH : TCP_ACK, data + done, (unsigned)piece);
        done += piece;
    }
    return done;
}

void bench_client_collect(struct bench_client *c)
{
    for (unsigned i = 0; i < c->from_server_count; i++) {
        frame_in(c, c->from_server[i]);
        rte_pktmbuf_free(c->from_server[i]);
    }
    c->from_server_count = 0;
}
