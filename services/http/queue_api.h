/* The queues by HTTP: /queues and /exchanges (queue_api.c has the table). */
#ifndef SERVICES_HTTP_QUEUE_API_H
#define SERVICES_HTTP_QUEUE_API_H

#include "http/call.h"

/* Whether the configuration gives this path to the queues, and the answer. */
bool http_queue_api_owns(const struct http_config *config, struct mr_span path);
void http_queue_api_answer(struct http_connection *c, const struct http_request *r, const uint8_t *head);

/* What each does once its body is there; they ask the queues and answer later. */
void queue_api_list(struct http_connection *c, struct http_call *call);
void queue_api_state(struct http_connection *c, struct http_call *call);
void queue_api_declare(struct http_connection *c, struct http_call *call);
void queue_api_delete(struct http_connection *c, struct http_call *call);
void queue_api_purge(struct http_connection *c, struct http_call *call);
void queue_api_publish(struct http_connection *c, struct http_call *call);  /* to a queue */
void queue_api_exchange(struct http_connection *c, struct http_call *call); /* to an exchange */
void queue_api_get(struct http_connection *c, struct http_call *call);
void queue_api_ack(struct http_connection *c, struct http_call *call);
void queue_api_nack(struct http_connection *c, struct http_call *call);

/* Members of a JSON object, by a table: each into a struct at an offset. */
enum queue_api_kind {
    MEMBER_SPAN,   /* struct mr_span: decoded where it lay */
    MEMBER_TEXT,   /* const char *: likewise, with a zero behind it, none within */
    MEMBER_U64,    /* uint64_t, at most `most` */
    MEMBER_U8,     /* uint8_t, at most `most` */
    MEMBER_BOOL,   /* bool */
    MEMBER_NUMBER, /* uint64_t; also as a string: 64 bits are more than a number of JavaScript holds */
};
struct queue_api_member {
    const char *name;
    enum queue_api_kind kind;
    size_t offset;
    uint64_t most;
};
/* The body as an object of these members, the last with name NULL; no body is an empty one. False: it was answered 400. */
bool queue_api_members(struct http_connection *c, struct http_call *call, const struct queue_api_member *members,
                       void *into);

/* An outcome of mr_queue_ as the whole answer. */
void queue_api_answered(void *context, enum mr_queue_outcome outcome);
/* After mr_queue_ was called: waits for it, or answers its error. */
void queue_api_asked(struct http_connection *c, struct http_call *call, int error);

#endif
