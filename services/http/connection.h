/* One instance of the service on a worker, its connections, and the machine that each of them runs.
 *
 *   EXPECT_REQUEST --bytes--> EXPECT_HEAD_END --head--> [EXPECT_FILE] --> [EXPECT_BODY, EXPECT_ANSWER] --> EXPECT_ROOM --sent--+
 *        ^                                                                                                     |
 *        +---------------------------------- [EXPECT_DISCARD_END] <--------------------------------------------+
 *                                            EXPECT_LINGER_END --> EXPECT_CLOSE      when the connection must end
 *
 * Requests are answered one after the other, so pipelined requests wait unread in the stream: a peer that does not read
 * its responses closes its own window, and nothing piles up here. */
#ifndef SERVICES_HTTP_CONNECTION_H
#define SERVICES_HTTP_CONNECTION_H

#include <millrace/service.h>

#include "http/body.h"
#include "http/file.h"
#include "http/request.h"
#include "http/response.h"

struct http_config {
    struct mr_endpoint listen;
    char *root;
    bool status_page, visits_page, orders_page, test_endpoints;
    char *queue_api; /* path of the queues; NULL: none */
    uint64_t queue_body_bytes_max, queue_calls_max;
    uint64_t connections_max, requests_per_turn;
    uint64_t line_bytes_max, header_bytes_max, header_count_max, body_bytes_max, buffers_max;
    mr_time header_timeout, idle_timeout, body_timeout, send_timeout, linger_timeout;
    uint64_t cache_bytes, cache_file_bytes, cache_entries, open_files_max, loads_max, stream_bytes;
};

enum http_counter {
#define COUNTER(symbol, name, sentence) HTTP_COUNTER_##symbol,
#include "http/counter.def"
#undef COUNTER
    HTTP_COUNTERS,
};

enum http_connection_state {
    CONNECTION_FREE,
    EXPECT_REQUEST,     /* idle: not a byte of a request has come */
    EXPECT_HEAD_END,    /* part of a head lies in c->head */
    EXPECT_FILE,        /* an offload thread looks for the file; the head is still unread */
    EXPECT_ANSWER,      /* the handler has asked somebody and will answer later */
    EXPECT_BODY,        /* the handler takes the body */
    EXPECT_ROOM,        /* a response is on its way out */
    EXPECT_DISCARD_END, /* the response is out, a body that nobody wants is still coming in */
    EXPECT_LINGER_END,  /* our side has ended; input is thrown away until the peer's end */
    EXPECT_CLOSE,       /* closed or cut: only on_close may come */
    CONNECTION_STATES,
};

/* Bytes that cannot stay in the stream: a head that came in pieces, or what a response could not yet send. */
struct http_buffer {
    struct http_buffer *next;
    uint32_t start, used;  /* bytes[start..used) are wanted */
    struct http_wire wire; /* a head: where its parse stands */
    uint32_t complete;     /* ... its length once it is whole */
    struct http_request request;
    uint8_t bytes[];
};

struct http_call;
struct http_connection;
struct orders;

enum http_source { SOURCE_NONE, SOURCE_MEMORY, SOURCE_FILE, SOURCE_PATTERN, SOURCE_CALL };

/* One read of a file on its way from the disk to the peer. */
enum http_read_state { READ_FREE, READ_UNDER_WAY, READ_DONE, READ_LENT };
struct http_read {
    struct http *http;
    struct http_read *next;
    struct http_connection *connection; /* NULL: it has gone */
    struct http_file *file;             /* with a reference */
    uint8_t state;
    bool failed;
    uint32_t length;
    uint64_t offset;
    uint8_t *bytes; /* HTTP_READ_BYTES */
};

struct http_output {
    uint8_t source;      /* enum http_source */
    uint8_t read_head;   /* slot that is sent next */
    uint8_t read_tail;   /* slot that is read into next */
    bool waits_for_read; /* in the list of those who wait for a free read */
    bool cut;            /* bytes were lost for want of a buffer: the connection cannot go on */
    struct http_buffer *spill;
    struct http_file *file; /* with a reference, while source is not SOURCE_NONE */
    struct http_call *call; /* SOURCE_CALL: until it is lent */
    uint64_t offset;        /* of the representation: next byte to send */
    uint64_t end;           /* ... and the one behind the last */
    uint64_t read_offset;   /* next byte to read */
    struct http_read *reads[HTTP_READS_PER_CONNECTION];
    struct http_connection *read_next; /* list of those who wait */
};

/* Who takes the body of a request. */
struct http_taker {
    void (*take)(struct http_connection *c, struct mr_span payload);
    void (*end)(struct http_connection *c);  /* it is whole: answer now or later */
    void (*gone)(struct http_connection *c); /* it will never be: forget what was kept of it */
};

struct http_connection {
    struct mr_stream *stream;
    struct http *http;
    uint8_t state;
    uint8_t method; /* of the request being answered */
    uint8_t minor;
    bool keep_alive;
    bool expect_continue; /* the peer waits for a 100 before it sends the body */
    bool blocked;         /* EXPECT_ROOM: the deadline is the send timeout's */
    bool resume;          /* it had its share of this turn: the timer brings it back */
    uint32_t discarded;   /* bytes thrown away since the response, or since our end */
    uint64_t ticket;      /* EXPECT_ANSWER: which answer it waits for */
    mr_time deadline;
    mr_time armed; /* the timer is set for this; it may be earlier than the deadline, never later */
    struct mr_timer timer;
    struct http_buffer *head;
    struct http_file *file; /* EXPECT_FILE: with a reference */
    struct http_connection *wait_next;
    struct http_connection *next_free;
    struct http_output output;
    uint64_t sent;         /* bytes handed to the stream since it opened */
    uint64_t acknowledged; /* of them, when send_timeout last looked */
    struct http_body body;
    const struct http_taker *taker; /* of a body that is not whole yet */
    uint32_t sink_crc;              /* test_endpoints.c */
    struct http_call *call;         /* call.c: whose body comes in */
};

struct http {
    struct mr_worker *worker;
    uint64_t *counters;
    struct http_config config;
    struct mr_listener *listener;
    bool stopping, released;
    uint32_t crc_table[8][256];

    uint64_t tickets; /* ever given */
    struct http_wire_limits limits;
    struct http_clock clock;

    struct http_connection *connections;
    uint32_t connections_used, connections_open; /* ever touched; now open */
    struct http_connection *free_connections;

    uint8_t *buffers;
    struct http_buffer *free_buffers;
    size_t buffer_stride;
    uint32_t buffers_out, buffer_bytes; /* ever taken; bytes that one holds */

    struct http_file_cache files;

    struct http_read *reads;
    uint32_t read_count, reads_free;
    struct http_read *free_reads;
    struct http_connection *read_waiters, **read_waiters_end;

    struct visit *visits, *free_visits;   /* visits_page.c */
    struct http_call *calls, *free_calls; /* call.c */
    uint8_t *call_bytes;
    struct orders *orders; /* orders_worker.c */

    uint8_t *pattern;
    struct http_request request; /* scratch: the request under the parser's hand */
    char scratch[HTTP_BUFFER_BYTES_MIN];
};

/* connection.c: events and the machine */
extern const struct mr_stream_handler http_stream_handler;
extern const char *const http_connection_state_names[];
void http_connection_advance(struct http_connection *c);
void http_connection_set_state(struct http_connection *c, enum http_connection_state state);
void http_connection_wake_waiters(struct http_file *f);
void http_connection_stop_all(struct http *http);
void http_connection_check(const struct http_connection *c); /* every invariant; for tests */

/* answer.c: what a route's handler does with a request, exactly one of these. */
void http_answer_error(struct http_connection *c, int status);  /* a short page */
void http_answer_refuse(struct http_connection *c, int status); /* ... and the end of the connection */
void http_answer_not_allowed(struct http_connection *c, const char *allowed);
void http_answer_text(struct http_connection *c, int status, const char *type, const char *text, size_t n);
void http_answer_wait(struct http_connection *c,
                      struct http_file *f); /* again when `f`, whose reference it takes, is ready */
void http_answer_after_body(struct http_connection *c, const struct http_taker *taker);
/* Later, by any of these, from a callback of whoever was asked: the ticket finds the connection, if it still waits (else NULL);
 * http_connection_advance follows the answer. */
struct http_ticket {
    struct http_connection *connection;
    uint64_t number;
};
struct http_ticket http_answer_later(struct http_connection *c);
struct http_connection *http_ticket_connection(struct http_ticket t);
bool http_ticket_waits(struct http_ticket t); /* it would find one */
/* ... or these two, with fields of its own in between and http_output_* for the body behind. */
void http_answer_begin(struct http_connection *c, struct http_head *h, int status);
void http_answer_end(struct http_connection *c, struct http_head *h, int status);
/* The shortest way: bytes that are a response of status 200 on a connection that goes on. */
void http_answer_ready(struct http_connection *c, const uint8_t *bytes, size_t n);

/* output.c: sends a response under back-pressure */
void http_output_bytes(struct http_connection *c, const void *bytes, size_t n); /* copies, spills what has no room */
void http_output_file(struct http_connection *c, struct http_file *f, uint64_t first, uint64_t end);
void http_output_pattern(struct http_connection *c, uint64_t n);
void http_output_call(struct http_connection *c, struct http_call *call,
                      uint64_t n);                 /* gives the call back at the end */
bool http_output_flush(struct http_connection *c); /* true: all is handed to the stream */
void http_output_release(struct http_connection *c);
void http_reads_serve(struct http *http); /* gives a free read to the connection that has waited longest */
int http_reads_start(struct http *http);
void http_reads_release(struct http *http);

/* http.c */
void http_job_ended(struct http *http);
struct http_buffer *http_buffer_take(struct http *http);
void http_buffer_give(struct http *http, struct http_buffer *b);

/* route.c, static_files.c, status_page.c, test_endpoints.c, orders_page.c */
void http_route(struct http_connection *c, const struct http_request *r, const uint8_t *head);
void http_static_answer(struct http_connection *c, const struct http_request *r, const uint8_t *head);
void http_file_answer(struct http_connection *c, const struct http_request *r, const uint8_t *head,
                      struct http_file *f);
void http_status_page_answer(struct http_connection *c, const struct http_request *r, const uint8_t *head);
void http_visits_page_answer(struct http_connection *c, const struct http_request *r, const uint8_t *head);
void http_sink_answer(struct http_connection *c, const struct http_request *r, const uint8_t *head);
void http_bytes_answer(struct http_connection *c, const struct http_request *r, const uint8_t *head);
void http_orders_page_answer(struct http_connection *c, const struct http_request *r, const uint8_t *head);
bool http_visits_start(struct http *http); /* false: no memory */
void http_test_endpoints_start(struct http *http);

#endif
