/* JSON written into a buffer of the caller; commas come by themselves. Once something did not fit, `failed` stays set. */
#ifndef SERVICES_HTTP_JSON_OUT_H
#define SERVICES_HTTP_JSON_OUT_H

#include <millrace/types.h>

struct json_out {
    char *data;
    size_t room, used;
    bool comma; /* before the next value or name */
    bool failed;
};

/* `name` NULL: a value in an array, or the whole. */
void json_put_open(struct json_out *o, const char *name, char bracket); /* { or [ */
void json_put_close(struct json_out *o, char bracket);                  /* } or ] */
/* What is not UTF-8 in it becomes U+FFFD. */
void json_put_text(struct json_out *o, const char *name, struct mr_span text);
void json_put_string(struct json_out *o, const char *name, const char *text);
void json_put_number(struct json_out *o, const char *name, uint64_t value);
void json_put_bool(struct json_out *o, const char *name, bool value);
void json_put_base64(struct json_out *o, const char *name, struct mr_span bytes);

/* Bytes of the well-formed sequence of UTF-8 at `p` (RFC 3629 section 4); 0: there is none. n > 0. */
unsigned utf8_sequence(const uint8_t *p, size_t n);
bool utf8_valid(struct mr_span text);

/* RFC 4648 section 4, padded. Decoding returns how many bytes, or SIZE_MAX: malformed; `to` may be where it is read from. */
size_t base64_encode(struct mr_span bytes, char *to); /* 4 for each 3, the last group whole */
size_t base64_decode(struct mr_span text, uint8_t *to);

#endif
