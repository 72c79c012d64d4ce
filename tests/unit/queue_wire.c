/* The codec of AMQP 0-9-1: frames, every method of method.def, content headers. Input always ends at a page that faults. */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <string.h>

#include "queue/amqp/table.h"
#include "queue/amqp/wire.h"
#include "tests/support/guarded.h"

#define SPAN(text)  ((struct mr_span){(const uint8_t *)(text), sizeof(text) - 1})
#define TABLE_BYTES "\1kt\1\1nV"

static void span_same(struct mr_span a, struct mr_span b)
{
    assert_int_equal(a.length, b.length);
    if (a.length)
        assert_memory_equal(a.data, b.data, a.length);
}

/* One of every method, its fields filled from a count, so that no two are the same. */
#define U8(n)    x->n = (uint8_t)++count;
#define U16(n)   x->n = (uint16_t)(0x0102 + ++count);
#define U32(n)   x->n = 0x01020304u + ++count;
#define U64(n)   x->n = UINT64_C(0x0102030405060708) + ++count;
#define BIT(n)   x->n = ++count & 1;
#define SHORT(n) x->n = (struct mr_span){strings, ++count};
#define LONG(n)  x->n = (struct mr_span){strings, 300 + ++count};
#define TABLE(n) x->n = SPAN(TABLE_BYTES);
#define NOTHING
#define METHOD(class, class_id, name, method_id, content, fields)                             \
    static struct amqp_method sample_##class##_##name(unsigned count, const uint8_t *strings) \
    {                                                                                         \
        struct amqp_method m = {.id = AMQP_##class##_##name};                                 \
        struct amqp_##class##_##name *x = &m.class##_##name;                                  \
        (void)x;                                                                              \
        fields return m;                                                                      \
    }
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

/* What was parsed, field by field. */
#define U8(n)    assert_int_equal(a->n, b->n);
#define U16(n)   assert_int_equal(a->n, b->n);
#define U32(n)   assert_int_equal(a->n, b->n);
#define U64(n)   assert_true(a->n == b->n);
#define BIT(n)   assert_int_equal(a->n, b->n);
#define SHORT(n) span_same(a->n, b->n);
#define LONG(n)  span_same(a->n, b->n);
#define TABLE(n) span_same(a->n, b->n);
#define METHOD(class, class_id, name, method_id, content, fields)                                     \
    static void same_##class##_##name(const struct amqp_method *one, const struct amqp_method *other) \
    {                                                                                                 \
        const struct amqp_##class##_##name *a = &one->class##_##name, *b = &other->class##_##name;    \
        assert_int_equal(one->id, other->id);                                                         \
        (void)a, (void)b;                                                                             \
        fields                                                                                        \
    }
#include "queue/amqp/method.def"
#undef METHOD

static const struct method_case {
    const char *name;
    uint32_t id;
    bool content;
    struct amqp_method (*sample)(unsigned count, const uint8_t *strings);
    void (*same)(const struct amqp_method *one, const struct amqp_method *other);
} method_cases[] = {
#define METHOD(class, class_id, name, method_id, content, fields) \
    {#class "." #name, (class_id) << 16 | (method_id), content, sample_##class##_##name, same_##class##_##name},
#include "queue/amqp/method.def"
#undef METHOD
};
#define METHODS (sizeof method_cases / sizeof method_cases[0])

static const uint8_t *strings(void)
{
    static uint8_t bytes[1024];
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7);
    return bytes;
}

/* Every method comes back from its frame as it was, at any length cut short it is a syntax error, and one octet more is, too. */
static void a_method_emitted_is_parsed_the_same(void **state)
{
    for (unsigned i = 0; i < METHODS * 2; i++) { /* twice: with even and odd bits */
        const struct method_case *c = &method_cases[i / 2];
        struct amqp_method m = c->sample(i & 1, strings()), back;
        uint8_t frame[4096];
        size_t n = amqp_method_emit(frame, sizeof frame, 0x1234, &m);
        assert_true(n > 0);
        struct amqp_frame f;
        uint8_t *input = guarded(frame, n);
        assert_int_equal(amqp_frame_parse(input, n, 4096, &f), n);
        assert_int_equal(f.type, AMQP_FRAME_METHOD);
        assert_int_equal(f.channel, 0x1234);
        uint32_t id = 0;
        assert_int_equal(amqp_method_parse(f.payload, &back, &id), 0);
        assert_int_equal(id, c->id);
        c->same(&m, &back);
        uint8_t again[4096];
        assert_int_equal(amqp_method_emit(again, n, 0x1234, &back), n);
        assert_memory_equal(again, frame, n);
        for (size_t room = 0; room < n; room++)
            assert_int_equal(amqp_method_emit(again, room, 0x1234, &back), 0);
        size_t payload = f.payload.length;
        guarded_free(input, n);
        for (size_t cut = 0; cut <= payload + 1; cut++) {
            if (cut == payload)
                continue;
            uint8_t *part = guarded(frame + AMQP_FRAME_HEAD, cut);
            assert_int_equal(amqp_method_parse((struct mr_span){part, cut}, &back, &id), -AMQP_SYNTAX_ERROR);
            guarded_free(part, cut);
        }
    }
}

static void a_method_is_told_by_its_id(void **state)
{
    for (unsigned i = 0; i < METHODS; i++) {
        const struct method_case *c = &method_cases[i];
        assert_string_equal(amqp_method_name((enum amqp_method_id)c->id), c->name);
        assert_int_equal(amqp_method_has_content((enum amqp_method_id)c->id), c->content);
        for (unsigned j = 0; j < i; j++)
            assert_int_not_equal(method_cases[j].id, c->id);
    }
    assert_null(amqp_method_name((enum amqp_method_id)0x003c0000));
    assert_false(amqp_method_has_content((enum amqp_method_id)0x003c0000));
}

static void a_method_of_no_known_id_is_not_implemented(void **state)
{
    static const uint32_t ids[] = {0, 0x000a0000, 0x001e000a, 0x003c0079, 0x00780014, 0xffffffff};
    for (unsigned i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        uint8_t bytes[] = {(uint8_t)(ids[i] >> 24), (uint8_t)(ids[i] >> 16), (uint8_t)(ids[i] >> 8), (uint8_t)ids[i]};
        uint8_t *input = guarded(bytes, 4);
        struct amqp_method m;
        uint32_t id = 1;
        assert_int_equal(amqp_method_parse((struct mr_span){input, 4}, &m, &id), -AMQP_NOT_IMPLEMENTED);
        assert_int_equal(id, ids[i]);
        guarded_free(input, 4);
    }
}

static void a_short_string_over_255_bytes_is_not_emitted(void **state)
{
    struct amqp_method m = {.id = AMQP_basic_cancel, .basic_cancel = {.consumer_tag = {strings(), 255}}};
    uint8_t frame[1024];
    assert_int_equal(amqp_method_emit(frame, sizeof frame, 1, &m), AMQP_FRAME_OVERHEAD + 4 + 256 + 1);
    m.basic_cancel.consumer_tag.length = 256;
    assert_int_equal(amqp_method_emit(frame, sizeof frame, 1, &m), 0);
}

/* Bits that follow each other share an octet from its low end; those nobody knows are not looked at (4.2.5.2). */
static void bits_share_an_octet(void **state)
{
    struct amqp_method m = {.id = AMQP_queue_declare, .queue_declare = {.durable = true, .no_wait = true}}, back;
    uint8_t frame[64];
    size_t n = amqp_method_emit(frame, sizeof frame, 1, &m);
    static const uint8_t expected[] = {1, 0, 1, 0, 0, 0, 12, 0, 50, 0, 10, 0, 0, 0, 0x12, 0, 0, 0, 0, 0xce};
    assert_int_equal(n, sizeof expected);
    assert_memory_equal(frame, expected, n);
    frame[14] |= 0xe0;
    uint32_t id;
    assert_int_equal(amqp_method_parse((struct mr_span){frame + 7, n - 8}, &back, &id), 0);
    assert_true(back.queue_declare.durable && back.queue_declare.no_wait && !back.queue_declare.passive);
}

static void a_malformed_table_is_a_syntax_error(void **state)
{
    struct amqp_method m = {.id = AMQP_queue_declare, .queue_declare = {.arguments = SPAN("\1kQ")}}, back;
    uint8_t frame[64];
    size_t n = amqp_method_emit(frame, sizeof frame, 1, &m);
    uint32_t id;
    assert_int_equal(amqp_method_parse((struct mr_span){frame + 7, n - 8}, &back, &id), -AMQP_SYNTAX_ERROR);
    assert_int_equal(id, AMQP_queue_declare);
}

#define HEAD(type, size) type "\0\1\0\0\0" size
static const struct frame_case {
    const char *bytes;
    size_t n;
    int64_t expected; /* bytes, 0: more, < 0: -code */
    const char *reason;
} frame_cases[] = {
    {HEAD("\1", "\0") "\xce", 8, 8, "no payload"},
    {HEAD("\2", "\3") "abc\xce", 11, 11, "a payload"},
    {HEAD("\3", "\3") "abc\xce\1", 12, 11, "what is behind belongs to the next"},
    {HEAD("\10", "\0") "\xce", 8, 8, "a heartbeat"},
    {HEAD("\1", "\3") "abc\xcd", 11, -AMQP_FRAME_ERROR, "a wrong end"},
    {HEAD("\1", "\3") "abc", 10, 0, "its end to come"},
    {HEAD("\1", "\30"), 7, 0, "32 bytes are the largest"},
    {HEAD("\1", "\31"), 7, -AMQP_FRAME_ERROR, "33 are too many, told by the head"},
    {"\1\0\1\xff\xff\xff\xff", 7, -AMQP_FRAME_ERROR, "as large as can be written"},
    {"\0", 1, -AMQP_FRAME_ERROR, "type 0"},
    {"\4", 1, -AMQP_FRAME_ERROR, "type 4"},
    {"G", 1, -AMQP_FRAME_ERROR, "something else, told by its first byte"},
    {"", 0, 0, "nothing"},
};

static void a_frame_is_whole_waits_or_is_wrong(void **state)
{
    for (unsigned i = 0; i < sizeof frame_cases / sizeof frame_cases[0]; i++) {
        const struct frame_case *c = &frame_cases[i];
        for (size_t n = 0; n <= c->n; n++) {
            uint8_t *input = guarded(c->bytes, n);
            struct amqp_frame f;
            int64_t got = amqp_frame_parse(input, n, 32, &f);
            int64_t last = n == c->n ? c->expected : c->expected > 0 && (int64_t)n >= c->expected ? c->expected : 0;
            if (got != last && !(got < 0 && c->expected < 0))
                fail_msg("%s: %zu bytes: %ld instead of %ld", c->reason, n, (long)got, (long)last);
            if (got > 0)
                assert_true(f.payload.data == input + 7 && f.payload.length == (size_t)got - 8 && f.channel == 1);
            guarded_free(input, n);
        }
    }
}

static void a_protocol_header_is_told_byte_by_byte(void **state)
{
    for (size_t n = 0; n <= 8; n++) {
        uint8_t *input = guarded("AMQP\0\0\11\1", n);
        assert_int_equal(amqp_protocol_parse(input, n), n == 8 ? 8 : 0);
        if (n) {
            input[n - 1] ^= 1;
            assert_true(amqp_protocol_parse(input, n) < 0);
        }
        guarded_free(input, n);
    }
    assert_int_equal(amqp_protocol_parse(amqp_protocol_header, 8), 8);
}

static const struct amqp_properties every_property = {
    .flags = 0xfffc,
    .content_type = SPAN("text/plain"),
    .content_encoding = SPAN("gzip"),
    .headers = SPAN(TABLE_BYTES),
    .delivery_mode = 2,
    .priority = 9,
    .correlation_id = SPAN("c"),
    .reply_to = SPAN("r"),
    .expiration = SPAN("60000"),
    .message_id = SPAN("m"),
    .timestamp = 0x0102030405060708,
    .type = SPAN("t"),
    .user_id = SPAN("guest"),
    .app_id = SPAN("a"),
    .cluster_id = SPAN(""),
};

static void properties_same(const struct amqp_properties *a, const struct amqp_properties *b)
{
    assert_int_equal(a->flags, b->flags);
#undef U8
#undef U64
#undef SHORT
#undef TABLE
#define U8(n)                      assert_int_equal(a->n, b->n)
#define U64(n)                     assert_true(a->n == b->n)
#define SHORT(n)                   span_same(a->n, b->n)
#define TABLE(n)                   span_same(a->n, b->n)
#define PROPERTY(KIND, name, flag) KIND(name);
#include "queue/amqp/property.def"
#undef PROPERTY
}

/* Each property alone and all of them come back; cut short anywhere, or with an octet more, it is a syntax error. */
static void properties_emitted_are_parsed_the_same(void **state)
{
    static const uint8_t none[2];
    for (unsigned bit = 1; bit <= 16; bit++) {
        struct amqp_properties in = {.flags = bit == 16 ? 0xfffc : bit == 1 ? 0 : (uint16_t)(1u << bit)}, out;
#undef U8
#undef U64
#undef SHORT
#undef TABLE
#define U8(n)    in.n = every_property.n
#define U64(n)   U8(n)
#define SHORT(n) U8(n)
#define TABLE(n) U8(n)
#define PROPERTY(KIND, name, flag) \
    if (in.flags & (flag))         \
        KIND(name);
#include "queue/amqp/property.def"
#undef PROPERTY
        uint8_t list[256];
        size_t n = amqp_properties_emit(list, sizeof list - 1, &in);
        assert_true(n >= 2);
        for (size_t room = 0; room < n; room++)
            assert_int_equal(amqp_properties_emit(list, room, &in), 0);
        assert_int_equal(amqp_properties_emit(list, n, &in), n);
        list[n] = 0;
        for (size_t cut = 0; cut <= n + 1; cut++) {
            uint8_t *input = guarded(list, cut);
            int result = amqp_properties_parse((struct mr_span){input, cut}, &out);
            assert_int_equal(result, cut == n || cut == 0 ? 0 : -AMQP_SYNTAX_ERROR);
            if (cut == n)
                properties_same(&in, &out);
            guarded_free(input, cut);
        }
        for (unsigned unused = 1; unused <= 2; unused++) {
            list[1] |= (uint8_t)unused;
            assert_int_equal(amqp_properties_parse((struct mr_span){list, n}, NULL), -AMQP_SYNTAX_ERROR);
            list[1] &= (uint8_t)~unused;
        }
    }
    assert_int_equal(amqp_properties_parse((struct mr_span){none, 2}, NULL), 0);
}

static void properties_over_their_limit_are_refused(void **state)
{
    static uint8_t list[QUEUE_PROPERTIES_MAX + 1];
    static uint8_t table[QUEUE_TABLE_MAX];
    memcpy(table, "\1kS", 3);
    size_t text = sizeof table - 7;
    table[5] = (uint8_t)(text >> 8), table[6] = (uint8_t)text;
    struct amqp_properties p = {.flags = 0xfffc, .headers = {table, sizeof table}};
    assert_true(amqp_table_valid(p.headers));
    p.content_type = p.content_encoding = p.correlation_id = p.reply_to = p.expiration =
        (struct mr_span){strings(), 255};
    size_t n = amqp_properties_emit(list, sizeof list, &p);
    assert_true(n > 0);
    assert_int_equal(amqp_properties_parse((struct mr_span){list, n}, NULL), 0);
    p.message_id = p.type = p.app_id = p.user_id = p.content_type;
    assert_int_equal(amqp_properties_emit(list, sizeof list, &p), 0);
}

static void a_content_header_is_parsed_as_emitted(void **state)
{
    uint8_t list[256], frame[300];
    size_t n = amqp_properties_emit(list, sizeof list, &every_property);
    struct mr_span properties = {list, n};
    size_t whole = amqp_header_emit(frame, sizeof frame, 7, UINT64_C(0x1122334455667788), properties);
    assert_int_equal(whole, AMQP_FRAME_OVERHEAD + 12 + n);
    struct amqp_frame f;
    struct amqp_header h;
    assert_int_equal(amqp_frame_parse(frame, whole, 4096, &f), whole);
    assert_int_equal(f.type, AMQP_FRAME_HEADER);
    assert_int_equal(amqp_header_parse(f.payload, &h), 0);
    assert_true(h.class_id == 60 && h.body_bytes == UINT64_C(0x1122334455667788));
    span_same(h.properties, properties);
    for (size_t cut = 0; cut < f.payload.length; cut++) {
        uint8_t *input = guarded(f.payload.data, cut);
        assert_int_equal(amqp_header_parse((struct mr_span){input, cut}, &h), -AMQP_SYNTAX_ERROR);
        guarded_free(input, cut);
    }
    frame[AMQP_FRAME_HEAD + 3] = 1; /* weight */
    assert_int_equal(amqp_header_parse(f.payload, &h), -AMQP_FRAME_ERROR);
    frame[AMQP_FRAME_HEAD + 3] = 0;
    frame[AMQP_FRAME_HEAD + 1] = 50; /* a class without content */
    assert_int_equal(amqp_header_parse(f.payload, &h), -AMQP_FRAME_ERROR);
    assert_int_equal(amqp_header_emit(frame, whole - 1, 7, 0, properties), 0);
    static const uint8_t bare[] = {2, 0, 7, 0, 0, 0, 14, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0xce};
    assert_int_equal(amqp_header_emit(frame, sizeof frame, 7, 5, (struct mr_span){0}), sizeof bare);
    assert_memory_equal(frame, bare, sizeof bare);
}

static void body_and_heartbeat_frames_are_as_specified(void **state)
{
    uint8_t head[AMQP_FRAME_HEAD], beat[8];
    amqp_body_head(head, 0x0102, 0x03040506);
    assert_memory_equal(head, ((const uint8_t[]){3, 1, 2, 3, 4, 5, 6}), 7);
    assert_int_equal(amqp_heartbeat_emit(beat, 7), 0);
    assert_int_equal(amqp_heartbeat_emit(beat, 8), 8);
    assert_memory_equal(beat, ((const uint8_t[]){8, 0, 0, 0, 0, 0, 0, 0xce}), 8);
}

static void a_reply_code_has_its_name_and_scope(void **state)
{
    assert_string_equal(amqp_reply_name(404), "NOT_FOUND");
    assert_string_equal(amqp_reply_name(AMQP_CONNECTION_FORCED), "CONNECTION_FORCED");
    assert_null(amqp_reply_name(200));
    static const unsigned soft[] = {311, 312, 313, 403, 404, 405, 406};
    for (unsigned code = 1, i = 0; code < 1000; code++)
        if (i < 7 && soft[i] == code)
            assert_false(amqp_reply_hard(soft[i++]));
        else
            assert_true(amqp_reply_hard(code));
}

static void an_expiration_is_decimal_milliseconds(void **state)
{
    uint64_t ms = 7;
    assert_true(amqp_expiration_parse(SPAN("0"), &ms) && ms == 0);
    assert_true(amqp_expiration_parse(SPAN("60000"), &ms) && ms == 60000);
    assert_true(amqp_expiration_parse(SPAN("9999999999999999999"), &ms) && ms == UINT64_C(9999999999999999999));
    static const char *const not [] = {"", "-1", "1.5", " 1", "1 ", "x", "10000000000000000000"};
    for (unsigned i = 0; i < sizeof not / sizeof not [0]; i++)
        assert_false(amqp_expiration_parse((struct mr_span){(const uint8_t *)not [i], strlen(not [i])}, &ms));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_method_emitted_is_parsed_the_same),
        cmocka_unit_test(a_method_is_told_by_its_id),
        cmocka_unit_test(a_method_of_no_known_id_is_not_implemented),
        cmocka_unit_test(a_short_string_over_255_bytes_is_not_emitted),
        cmocka_unit_test(bits_share_an_octet),
        cmocka_unit_test(a_malformed_table_is_a_syntax_error),
        cmocka_unit_test(a_frame_is_whole_waits_or_is_wrong),
        cmocka_unit_test(a_protocol_header_is_told_byte_by_byte),
        cmocka_unit_test(properties_emitted_are_parsed_the_same),
        cmocka_unit_test(properties_over_their_limit_are_refused),
        cmocka_unit_test(a_content_header_is_parsed_as_emitted),
        cmocka_unit_test(body_and_heartbeat_frames_are_as_specified),
        cmocka_unit_test(a_reply_code_has_its_name_and_scope),
        cmocka_unit_test(an_expiration_is_decimal_milliseconds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
