/* A request as plain values: what the grammar in http_wire.rl found, and what it means (RFC 9110, RFC 9112). Texts are
 * offsets into the head, so the head may move between calls of the parser. */
#ifndef SERVICES_HTTP_REQUEST_H
#define SERVICES_HTTP_REQUEST_H

#include <millrace/types.h>

#include "http/limits.h"

enum http_method {
#define METHOD(symbol, text) HTTP_##symbol,
#include "http/method.def"
#undef METHOD
    HTTP_METHOD_OTHER,
};

enum http_header {
#define HEADER(symbol, text, length, last, first) HTTP_HEADER_##symbol,
#include "http/header.def"
#undef HEADER
    HTTP_HEADER_OTHER,
};

enum http_target_form { HTTP_TARGET_ORIGIN, HTTP_TARGET_ABSOLUTE, HTTP_TARGET_AUTHORITY, HTTP_TARGET_ASTERISK };

/* UNTIL_END: a response that lasts until its connection ends */
enum http_body_kind { HTTP_BODY_NONE, HTTP_BODY_LENGTH, HTTP_BODY_CHUNKED, HTTP_BODY_UNTIL_END };

struct http_text {
    uint16_t offset, length; /* bytes from the first of the head; a head is shorter than 64 KiB */
};

struct http_field {
    struct http_text name, value; /* value without the white space around it */
    uint8_t header;               /* enum http_header */
};

struct http_request {
    uint8_t method; /* enum http_method */
    uint8_t form;   /* enum http_target_form */
    uint8_t minor;  /* of the version: 1.minor */
    uint8_t body;   /* enum http_body_kind */
    bool keep_alive;
    bool expect_continue;
    uint8_t field_count;
    uint64_t present;                     /* bit h: a field with enum http_header h came */
    uint64_t content_length;              /* when body is HTTP_BODY_LENGTH */
    struct http_text target, path, query; /* raw; the query without its question mark */
    uint8_t first[HTTP_HEADER_OTHER];     /* index of the first field of each kind, where its bit is set */
    struct http_field fields[HTTP_FIELDS_MAX];
};

static inline bool http_request_has(const struct http_request *r, enum http_header h)
{
    return r->present >> h & 1;
}

static inline struct mr_span http_request_text(const uint8_t *head, struct http_text t)
{
    return (struct mr_span){head + t.offset, t.length};
}

/* The value of the first field `h`; length 0 and data NULL when there is none. */
struct mr_span http_request_value(const struct http_request *r, const uint8_t *head, enum http_header h);

enum http_header http_header_find(const uint8_t *name, size_t length);
enum http_method http_method_find(const uint8_t *name, size_t length);
const char *http_method_text(enum http_method m);

/* The next field `h` from index *at on, in order; its index + 1 is left in *at. NULL: no more. Begin with *at = 0. */
const struct http_field *http_request_next(const struct http_request *r, enum http_header h, unsigned *at);

/* The method as it was sent, also one that we do not know. */
struct mr_span http_request_method(const struct http_request *r, const uint8_t *head);

/* The rules that no grammar states: Host, framing, persistence, expectations. Called once on a complete head.
 * 0, or the negative status to answer: -400, -413, -417, -501. */
int http_request_evaluate(struct http_request *r, const uint8_t *head);

/* The same for who passes requests on: every method is welcome; CONNECT, and nothing else, has a target in authority-form. */
int http_request_evaluate_passed(struct http_request *r, const uint8_t *head);

/* RFC 9110 8.6: 1*DIGIT. 0, -400, or -413 when it is larger than 64 bits can say. */
int http_content_length_parse(struct mr_span v, uint64_t *out);
/* RFC 9112 6.1: what is not exactly "chunked", once. 0; -501: a coding that we do not know; -400: it leaves the length open. */
int http_transfer_encoding_check(struct mr_span v, bool repeated);
/* RFC 9110 7.6.1: what a field Connection says of persistence. */
void http_connection_options(struct mr_span v, bool *keep_alive, bool *close);

/* ASCII without regard to case; `lower` is lower case. */
bool http_text_equal(struct mr_span a, const char *lower);

/* Takes the next element of a comma-separated list off `*list`, white space trimmed; false at its end. Empty elements
 * are skipped (RFC 9110 5.6.1). Does not know quoted strings: for lists of tokens. */
bool http_list_next(struct mr_span *list, struct mr_span *element);

#endif
