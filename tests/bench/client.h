/* A load generator made of raw frames: N TCP connections to one server, each with one request outstanding. It keeps 16
 * bytes a connection and does the least that is correct, so that what a benchmark measures is the server. */
#ifndef TESTS_BENCH_CLIENT_H
#define TESTS_BENCH_CLIENT_H

#include <millrace/link.h>
#include <stdbool.h>

struct rte_mempool;
struct rte_mbuf;

#define BENCH_BURST      32
#define BENCH_INBOX      4096
#define BENCH_SERVER_IP  0x0a000002u /* 10.0.0.2/24; the client is 10.0.0.1 and, behind it as a gateway, 10.1.0.0/16 */
#define BENCH_GATEWAY_IP 0x0a000001u

struct bench_connection {
    uint32_t snd_nxt, rcv_nxt;
    uint32_t responses;
    uint8_t open, scale, unused[2];
};

struct bench_client {
    struct mr_link link; /* the server's end: receive gives it our frames, transmit brings its own */
    struct rte_mempool *pool;
    uint8_t server_mac[6], client_mac[6];
    uint32_t connections, opened;
    struct bench_connection *connection;
    struct rte_mbuf *to_server[BENCH_BURST * 2];
    unsigned to_server_count;
    struct rte_mbuf *from_server[BENCH_INBOX]; /* kept until its turn is over: reading them is not its work */
    unsigned from_server_count;
    uint64_t responses, frames_in, payload_in, resets, bad;
    const char *request;
    unsigned request_bytes, response_bytes; /* of a whole response, learnt from the first; 0: not yet */
};

bool bench_client_init(struct bench_client *c, struct rte_mempool *pool, uint32_t connections, const char *request);
void bench_client_release(struct bench_client *c);

/* Queues a SYN of connection `i`; its handshake completes as the server turns. */
void bench_client_open(struct bench_client *c, uint32_t i);

/* Queues one request of connection `i`. */
void bench_client_request(struct bench_client *c, uint32_t i);

/* Reads what the server sent, answers handshakes and ARP, frees it. */
void bench_client_collect(struct bench_client *c);

#endif
