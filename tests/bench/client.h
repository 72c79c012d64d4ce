/* A load generator made of raw frames: N TCP connections to one server. It keeps 24 bytes a connection and does the least that
 * is correct on a link that loses nothing, so that what a benchmark measures is the server. Either each connection has one
 * request outstanding, the same for all, and responses are counted; or `payload` is set, and bytes go both ways. */
#ifndef TESTS_BENCH_CLIENT_H
#define TESTS_BENCH_CLIENT_H

#include <millrace/link.h>
#include <stdbool.h>

struct rte_mempool;
struct rte_mbuf;

#define BENCH_BURST      32
#define BENCH_INBOX      8192
#define BENCH_OUTBOX     8192
#define BENCH_MSS        1460
#define BENCH_SERVER_IP  0x0a000002u /* 10.0.0.2/24; the client is 10.0.0.1 and, behind it as a gateway, 10.1.0.0/16 */
#define BENCH_GATEWAY_IP 0x0a000001u

struct bench_connection {
    uint32_t snd_una, snd_nxt, rcv_nxt;
    uint32_t window; /* bytes that the server takes beyond snd_una */
    uint32_t responses;
    uint8_t open, scale, segments, unused; /* segments: received, not acknowledged */
};

struct bench_client {
    struct mr_link link; /* the server's end: receive gives it our frames, transmit brings its own */
    struct rte_mempool *pool;
    uint8_t server_mac[6], client_mac[6];
    uint16_t port; /* the server's */
    uint32_t connections, opened;
    struct bench_connection *connection;
    struct rte_mbuf *to_server[BENCH_OUTBOX];
    unsigned to_server_first, to_server_count;
    struct rte_mbuf *from_server[BENCH_INBOX]; /* kept until its turn is over: reading them is not its work */
    unsigned from_server_count;
    uint64_t responses, frames_in, payload_in, resets, bad;
    /* What arrives, in order, NULL: responses are counted. Every second segment is acknowledged at once. */
    void (*payload)(void *context, uint32_t connection, const uint8_t *data, unsigned n);
    void *context;
    const char *request;
    unsigned request_bytes, response_bytes; /* of a whole response, learnt from the first; 0: not yet */
};

/* `request` may be NULL when none is sent by bench_client_request. */
bool bench_client_init(struct bench_client *c, struct rte_mempool *pool, uint32_t connections, uint16_t port,
                       const char *request);
void bench_client_release(struct bench_client *c);

/* Queues a SYN of connection `i`; its handshake completes as the server turns. */
void bench_client_open(struct bench_client *c, uint32_t i);

/* Queues one request of connection `i`. */
void bench_client_request(struct bench_client *c, uint32_t i);

/* Queues what fits the server's window, in segments; returns how much that is. */
size_t bench_client_send(struct bench_client *c, uint32_t i, const char *data, size_t n);

/* Reads what the server sent, answers handshakes and ARP, frees it. */
void bench_client_collect(struct bench_client *c);

#endif
