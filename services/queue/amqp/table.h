/* Field tables (section 4.2.5.5, with the types that RabbitMQ and its clients use: t b B s u I i l L f d D S A T F V x). A table here is
 * the span of its entries, without the length before them. */
#ifndef SERVICES_QUEUE_AMQP_TABLE_H
#define SERVICES_QUEUE_AMQP_TABLE_H

#include <millrace/types.h>

struct amqp_value {
    char type; /* as on the wire */
    union {
        bool boolean;        /* t */
        int64_t integer;     /* b B s u I i l L T */
        double real;         /* f d */
        struct mr_span text; /* S x: bytes; F: a table; A: the values of an array */
        struct {
            uint8_t scale;
            int32_t value;
        } decimal; /* D */
    };
};

/* Proves the whole: lengths, types, depth (QUEUE_TABLE_DEPTH_MAX), bytes (QUEUE_TABLE_MAX). Everything below needs it proved. */
bool amqp_table_valid(struct mr_span table);
/* Walks: begin with *at 0; false at the end. */
bool amqp_table_next(struct mr_span table, size_t *at, struct mr_span *name, struct amqp_value *value);
bool amqp_array_next(struct mr_span array, size_t *at, struct amqp_value *value);
bool amqp_table_find(struct mr_span table, const char *name, struct amqp_value *value);
bool amqp_value_integer(const struct amqp_value *v, int64_t *out); /* any integer type */
/* The same value in the sense of a headers exchange and of inequivalent arguments: types of one kind are compared by value. */
bool amqp_value_equal(const struct amqp_value *a, const struct amqp_value *b);
bool amqp_table_equal(struct mr_span a, struct mr_span b); /* whatever the order of names */

/* Builds into a buffer of the caller; `failed` once it did not fit, and from then on nothing is written. */
struct amqp_table_out {
    uint8_t *data;
    size_t room, used;
    bool failed;
};
void amqp_table_put(struct amqp_table_out *o, struct mr_span name, const struct amqp_value *value);
void amqp_table_put_text(struct amqp_table_out *o, const char *name, struct mr_span text); /* S */
void amqp_table_put_integer(struct amqp_table_out *o, const char *name, int64_t value);    /* l */
void amqp_table_put_bool(struct amqp_table_out *o, const char *name, bool value);
/* Open a table or array within; close with what was returned. */
size_t amqp_table_open(struct amqp_table_out *o, const char *name, char type);
size_t amqp_array_open_table(struct amqp_table_out *o);
void amqp_array_put(struct amqp_table_out *o, const struct amqp_value *value);
void amqp_table_close(struct amqp_table_out *o, size_t opened);

/* "signedint" and the like, as in the texts of RabbitMQ's errors. */
const char *amqp_type_name(char type);

#endif
