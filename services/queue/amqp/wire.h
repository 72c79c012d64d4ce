/* AMQP 0-9-1 on the wire (specification section 4.2, with RabbitMQ's errata and extensions): frames, methods, content headers. Bytes of
 * peers are read here and in table.h and nowhere else. Sans-I/O; strings and tables are borrowed from the input. */
#ifndef SERVICES_QUEUE_AMQP_WIRE_H
#define SERVICES_QUEUE_AMQP_WIRE_H

#include <millrace/types.h>

#include "queue/limits.h"

enum { AMQP_FRAME_METHOD = 1, AMQP_FRAME_HEADER = 2, AMQP_FRAME_BODY = 3, AMQP_FRAME_HEARTBEAT = 8 };
#define AMQP_FRAME_HEAD     7u /* type, channel, size */
#define AMQP_FRAME_END      0xce
#define AMQP_FRAME_OVERHEAD 8u

/* Reply codes (section 1.2 of the reference): REPLY(symbol, code, name, closes the connection rather than the channel). */
enum amqp_reply {
#define REPLY(symbol, code, name, hard) AMQP_##symbol = code,
#include "queue/amqp/reply.def"
#undef REPLY
};
const char *amqp_reply_name(unsigned code); /* "NOT_FOUND"; NULL: none */
bool amqp_reply_hard(unsigned code);

struct amqp_frame {
    uint8_t type;
    uint16_t channel;
    struct mr_span payload;
};
/* One frame at the beginning of the input. > 0: bytes it takes; 0: more is needed (*out is not set); < 0: -code of enum amqp_reply: FRAME_ERROR
 * (type, end octet), or larger than `frame_max` (head and end included). A frame that is too large is told by its head already. */
int64_t amqp_frame_parse(const uint8_t *data, size_t n, uint32_t frame_max, struct amqp_frame *out);
/* The first 8 bytes of a connection. > 0: 8, it is "AMQP" 0 0 9 1; 0: more; < 0: something else, answered by amqp_protocol_header. */
int amqp_protocol_parse(const uint8_t *data, size_t n);
extern const uint8_t amqp_protocol_header[8];

/* Methods: METHOD(class, class_id, name, method_id, has_content, FIELDS) in method.def; fields are
 *     U8 U16 U32 U64 (name), BIT(name), SHORT(name) short string, LONG(name) long string, TABLE(name)
 * and each method is struct amqp_<class>_<name>. The enum is AMQP_<CLASS>_<NAME> = class_id << 16 | method_id. */
#define AMQP_FIELD_U8(n)    uint8_t n;
#define AMQP_FIELD_U16(n)   uint16_t n;
#define AMQP_FIELD_U32(n)   uint32_t n;
#define AMQP_FIELD_U64(n)   uint64_t n;
#define AMQP_FIELD_BIT(n)   bool n;
#define AMQP_FIELD_SHORT(n) struct mr_span n;
#define AMQP_FIELD_LONG(n)  struct mr_span n;
#define AMQP_FIELD_TABLE(n) \
    struct mr_span n; /* its entries, without the length; proved well formed by amqp_method_parse */

#define U8    AMQP_FIELD_U8
#define U16   AMQP_FIELD_U16
#define U32   AMQP_FIELD_U32
#define U64   AMQP_FIELD_U64
#define BIT   AMQP_FIELD_BIT
#define SHORT AMQP_FIELD_SHORT
#define LONG  AMQP_FIELD_LONG
#define TABLE AMQP_FIELD_TABLE
#define NOTHING
#define METHOD(class, class_id, name, method_id, content, fields) \
    struct amqp_##class##_##name                                  \
    {                                                             \
        fields                                                    \
    };
#include "queue/amqp/method.def"
#undef METHOD
#undef U8
#undef U16
#undef U32
#undef U64
#undef BIT
#undef SHORT
#undef LONG
#undef TABLE
#undef NOTHING

enum amqp_method_id {
#define METHOD(class, class_id, name, method_id, content, fields) \
    AMQP_##class##_##name = (class_id) << 16 | (method_id),
#include "queue/amqp/method.def"
#undef METHOD
};

struct amqp_method {
    enum amqp_method_id id;
    union {
#define METHOD(class, class_id, name, method_id, content, fields) struct amqp_##class##_##name class##_##name;
#include "queue/amqp/method.def"
#undef METHOD
    };
};
/* The payload of a method frame. 0, or -code: NOT_IMPLEMENTED (unknown class or method), SYNTAX_ERROR (too short, too long, a malformed
 * table). *class_and_method is set whenever the payload has 4 bytes. */
int amqp_method_parse(struct mr_span payload, struct amqp_method *out, uint32_t *class_and_method);
/* A whole frame. Returns its bytes; 0: it does not fit into `room`, or a short string has more than 255 bytes. Bits that follow each other share octets (4.2.5.2). */
size_t amqp_method_emit(uint8_t *to, size_t room, uint16_t channel, const struct amqp_method *m);
bool amqp_method_has_content(enum amqp_method_id id);
const char *amqp_method_name(enum amqp_method_id id); /* "basic.publish" */

/* Content header frames (4.2.6.1) and the properties of class basic. */
struct amqp_properties {
    uint16_t flags; /* bits of amqp_property, as on the wire */
    struct mr_span content_type, content_encoding, headers, correlation_id, reply_to, expiration, message_id, type,
        user_id, app_id, cluster_id;
    uint8_t delivery_mode, priority;
    uint64_t timestamp;
};
enum amqp_property {
    AMQP_CONTENT_TYPE = 1 << 15,
    AMQP_CONTENT_ENCODING = 1 << 14,
    AMQP_HEADERS = 1 << 13,
    AMQP_DELIVERY_MODE = 1 << 12,
    AMQP_PRIORITY = 1 << 11,
    AMQP_CORRELATION_ID = 1 << 10,
    AMQP_REPLY_TO = 1 << 9,
    AMQP_EXPIRATION = 1 << 8,
    AMQP_MESSAGE_ID = 1 << 7,
    AMQP_TIMESTAMP = 1 << 6,
    AMQP_TYPE = 1 << 5,
    AMQP_USER_ID = 1 << 4,
    AMQP_APP_ID = 1 << 3,
    AMQP_CLUSTER_ID = 1 << 2,
};
/* Flags and list as a message keeps them. 0 or -SYNTAX_ERROR; `out` may be NULL. Empty input is no properties. */
int amqp_properties_parse(struct mr_span flags_and_list, struct amqp_properties *out);
size_t amqp_properties_emit(uint8_t *to, size_t room, const struct amqp_properties *p); /* 0: as amqp_method_emit */
/* The expiration property: milliseconds in decimal digits. */
bool amqp_expiration_parse(struct mr_span text, uint64_t *ms);
struct amqp_header {
    uint16_t class_id;
    uint64_t body_bytes;
    struct mr_span properties; /* flags and list */
};
/* 0; -SYNTAX_ERROR: too short, or malformed properties; -FRAME_ERROR: a class without content. The properties are proved. */
int amqp_header_parse(struct mr_span payload, struct amqp_header *out);
size_t amqp_header_emit(uint8_t *to, size_t room, uint16_t channel, uint64_t body_bytes, struct mr_span properties);
/* Head of a body frame (7 bytes); its end is AMQP_FRAME_END. */
void amqp_body_head(uint8_t to[AMQP_FRAME_HEAD], uint16_t channel, uint32_t payload_bytes);
size_t amqp_heartbeat_emit(uint8_t *to, size_t room);

/* A frame's head alone, while its payload has not all come: section 4.2.3. */
struct amqp_frame_head {
    uint8_t type;
    uint16_t channel;
    uint32_t payload_bytes;
};
static inline struct amqp_frame_head amqp_frame_head_parse(const uint8_t data[AMQP_FRAME_HEAD])
{
    return (struct amqp_frame_head){.type = data[0],
                                    .channel = (uint16_t)(data[1] << 8 | data[2]),
                                    .payload_bytes = (uint32_t)data[3] << 24 | (uint32_t)data[4] << 16 |
                                                     (uint32_t)data[5] << 8 | data[6]};
}

#endif
