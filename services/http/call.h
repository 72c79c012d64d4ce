/* A request that another service of the process answers: what its body was, whom it waits for, and what it is answered with. One pool
 * a worker, its memory asked for at start; a call holds bytes_max bytes for the body that comes in or the answer that goes out. */
#ifndef SERVICES_HTTP_CALL_H
#define SERVICES_HTTP_CALL_H

#include <millrace/cache.h>
#include <millrace/queue.h>

#include "http/connection.h"
#include "http/json_out.h"
#include "http/json_wire.h"

#define HTTP_CALL_TOKENS     128 /* of a JSON body: names and values */
#define HTTP_CALL_DELIVERIES 100 /* messages of one answer */

struct http_call {
    struct http_call *next;
    struct http *http;
    struct http_ticket ticket;
    void (*run)(struct http_connection *c, struct http_call *call); /* once the body is there */
    uint8_t name[255];                                              /* of a queue or an exchange */
    uint8_t name_length;
    bool manual, requeue;
    unsigned wanted, got; /* messages */
    uint64_t within_ms;
    uint64_t deliveries[HTTP_CALL_DELIVERIES];
    struct json_out out; /* in `bytes` */
    struct json_token tokens[HTTP_CALL_TOKENS];
    size_t used;    /* of `bytes`, by the body */
    uint8_t *bytes; /* config.queue_body_bytes_max */
};

int http_calls_start(struct http *http);
void http_calls_release(struct http *http);

/* NULL: too many, answered 503. */
struct http_call *http_call_take(struct http_connection *c);
void http_call_give(struct http_call *call);

/* The body into call->bytes, then call->run. What is too long is a 413. */
void http_call_after_body(struct http_connection *c, struct http_call *call);

/* Somebody was asked with `call` as context; his answer begins with http_call_back (NULL: the peer has gone, or has been told 503)
 * and ends with http_call_ended, which may destroy the instance. */
void http_call_wait(struct http_connection *c, struct http_call *call);
struct http_connection *http_call_back(struct http_call *call);
void http_call_ended(struct http_connection *c, struct http *http);

/* Give the call back. */
void http_call_error(struct http_connection *c, struct http_call *call, int status, const char *text);
void http_call_outcome(struct http_connection *c, struct http_call *call, enum mr_queue_outcome outcome);
void http_call_refused(struct http_connection *c, struct http_call *call, int error); /* MR_ERROR_ of mr_queue_ */
void http_call_answer(struct http_connection *c, struct http_call *call, int status); /* with call->out */
void http_call_done(struct http_connection *c, struct http_call *call, int status);   /* with {} */

/* {"error": text}. */
void http_answer_json_error(struct http_connection *c, int status, const char *text);
/* The byte that "%2F" stands for; -1: it is no escape. */
int http_percent_decode(const uint8_t *p, size_t n);
/* A page of another site has made the peer's browser ask (RFC 6454 section 7): such may not change anything here. */
bool http_request_foreign(const struct http_request *r, const uint8_t *head);

static inline struct mr_span http_call_name(const struct http_call *call)
{
    return (struct mr_span){call->name, call->name_length};
}

#define HTTP_NO_QUEUES "no queue service runs in this process: add `queue:` to its services"

#endif
