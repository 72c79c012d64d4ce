/* The arguments of a queue: what they mean, which are refused, and when two declarations are the same. One table says it for each, in the
 * order in which RabbitMQ looks at them. What is not in it is kept and ignored. */
#include <inttypes.h>
#include <stdio.h>

#include "queue/amqp/table.h"
#include "queue/catalog/replica.h"

#define SPAN(s)       (int)(s).length, (const char *)(s).data
#define TEXT_MAX      320
#define EXPIRY_MS_MAX INT64_C(0xffffffff) /* RabbitMQ's, of Erlang's timers */

static const char *value_text(const struct amqp_value *v, char text[TEXT_MAX])
{
    int64_t integer;
    if (amqp_value_integer(v, &integer))
        snprintf(text, TEXT_MAX, "%" PRId64, integer);
    else if (v->type == 'T')
        snprintf(text, TEXT_MAX, "%" PRId64, v->integer);
    else if (v->type == 'S' || v->type == 'x')
        snprintf(text, TEXT_MAX, "%.*s", SPAN(v->text));
    else if (v->type == 't')
        snprintf(text, TEXT_MAX, "%s", v->boolean ? "true" : "false");
    else if (v->type == 'f' || v->type == 'd')
        snprintf(text, TEXT_MAX, "%g", v->real);
    else
        snprintf(text, TEXT_MAX, "%s", amqp_type_name(v->type));
    return text;
}

/* -- one argument ---------------------------------------------------------------------------------------------------------------------------- */

enum { CLASSIC = 1, QUORUM = 2, BOTH = 3 };

struct argument {
    const char *name;
    unsigned types; /* of queues that have it */
    /* Sets what it means. False: `why` has what follows "invalid arg 'x' for queue 'q' in vhost '/': ". */
    bool (*read)(const struct amqp_value *v, struct queue_arguments *out, char *why);
};

static bool whole(const struct amqp_value *v, int64_t *out, char *why)
{
    if (!amqp_value_integer(v, out)) {
        snprintf(why, TEXT_MAX, "\"expected integer, got %s\"", amqp_type_name(v->type));
        return false;
    }
    if (*out < 0)
        snprintf(why, TEXT_MAX, "{value_negative,%" PRId64 "}", *out);
    return *out >= 0;
}

static bool expiry(const struct amqp_value *v, int64_t *out, char *why)
{
    if (!whole(v, out, why))
        return false;
    if (*out > EXPIRY_MS_MAX)
        snprintf(why, TEXT_MAX, "{value_too_large,%" PRId64 "}", *out);
    return *out <= EXPIRY_MS_MAX;
}

static bool text_value(const struct amqp_value *v, char *why)
{
    if (v->type != 'S')
        snprintf(why, TEXT_MAX, "{unacceptable_type,%s}", amqp_type_name(v->type));
    return v->type == 'S';
}

static bool expires(const struct amqp_value *v, struct queue_arguments *out, char *why)
{
    int64_t n;
    if (!expiry(v, &n, why))
        return false;
    if (!n)
        snprintf(why, TEXT_MAX, "{value_zero,0}");
    out->expires_ms = (uint64_t)n;
    return n != 0;
}

static bool message_ttl(const struct amqp_value *v, struct queue_arguments *out, char *why)
{
    int64_t n;
    if (!expiry(v, &n, why))
        return false;
    out->message_ttl_ms = (uint64_t)n;
    return true;
}

static bool dead_letter_exchange(const struct amqp_value *v, struct queue_arguments *out, char *why)
{
    if (!text_value(v, why))
        return false;
    out->dead_letter = true;
    out->dead_letter_exchange = v->text;
    return true;
}

static bool dead_letter_key(const struct amqp_value *v, struct queue_arguments *out, char *why)
{
    if (!text_value(v, why))
        return false;
    if (!out->dead_letter)
        snprintf(why, TEXT_MAX, "routing_key_but_no_dlx_defined");
    out->dead_letter_key_given = true;
    out->dead_letter_key = v->text;
    return out->dead_letter;
}

static bool max_length(const struct amqp_value *v, struct queue_arguments *out, char *why)
{
    int64_t n;
    if (!whole(v, &n, why))
        return false;
    out->length_max = (uint64_t)n;
    return true;
}

static bool max_length_bytes(const struct amqp_value *v, struct queue_arguments *out, char *why)
{
    int64_t n;
    if (!whole(v, &n, why))
        return false;
    out->length_bytes_max = (uint64_t)n;
    return true;
}

static bool max_priority(const struct amqp_value *v, struct queue_arguments *out, char *why)
{
    int64_t n;
    if (!whole(v, &n, why))
        return false;
    if (n >= (int64_t)QUEUE_PRIORITIES)
        snprintf(why, TEXT_MAX, "{max_value_exceeded,%" PRId64 "}", n);
    out->priority_max = (uint8_t)n;
    return n < (int64_t)QUEUE_PRIORITIES;
}

static bool choice(const struct amqp_value *v, const char *const *names, unsigned *out)
{
    for (*out = 0; names[*out]; ++*out)
        if (span_equal(v->text, span_of(names[*out])))
            return true;
    return false;
}

static bool overflow(const struct amqp_value *v, struct queue_arguments *out, char *why)
{
    static const char *const names[] = {[OVERFLOW_DROP_HEAD] = "drop-head",
                                        [OVERFLOW_REJECT_PUBLISH] = "reject-publish",
                                        [OVERFLOW_REJECT_PUBLISH_DLX] = "reject-publish-dlx",
                                        NULL};
    unsigned i;
    if (!text_value(v, why))
        return false;
    if (!choice(v, names, &i)) {
        snprintf(why, TEXT_MAX, "invalid_overflow");
        return false;
    }
    out->overflow = (enum queue_overflow)i;
    return true;
}

/* Bodies leave memory when it is short, whatever the mode. */
static bool queue_mode(const struct amqp_value *v, struct queue_arguments *out, char *why)
{
    (void)out;
    unsigned i;
    if (!text_value(v, why))
        return false;
    bool good = choice(v, (const char *const[]){"default", "lazy", NULL}, &i);
    if (!good)
        snprintf(why, TEXT_MAX, "\"unsupported queue mode '%.*s'\"", SPAN(v->text));
    return good;
}

static bool queue_version(const struct amqp_value *v, struct queue_arguments *out, char *why)
{
    (void)out;
    int64_t n;
    if (!whole(v, &n, why))
        return false;
    if (n != 1 && n != 2)
        snprintf(why, TEXT_MAX, "\"unsupported queue version '%" PRId64 "'\"", n);
    return n == 1 || n == 2;
}

static bool single_active_consumer(const struct amqp_value *v, struct queue_arguments *out, char *why)
{
    if (v->type != 't')
        snprintf(why, TEXT_MAX, "{unacceptable_type,%s}", amqp_type_name(v->type));
    out->single_active_consumer = v->type == 't' && v->boolean;
    return v->type == 't';
}

static bool delivery_limit(const struct amqp_value *v, struct queue_arguments *out, char *why)
{
    int64_t n;
    if (!whole(v, &n, why))
        return false;
    out->delivery_limit = (uint64_t)n;
    return true;
}

/* Not RabbitMQ's. */
static bool durability(const struct amqp_value *v, struct queue_arguments *out, char *why)
{
    unsigned i;
    if (!text_value(v, why))
        return false;
    if (!choice(v, QUEUE_DURABILITY_NAMES, &i)) {
        snprintf(why, TEXT_MAX, "\"unsupported durability '%.*s'\"", SPAN(v->text));
        return false;
    }
    out->durability = (enum queue_durability)i;
    return true;
}

/* What says how a cluster shares the work, or belongs to streams: taken where RabbitMQ takes it, without effect. */
static bool no_effect(const struct amqp_value *v, struct queue_arguments *out, char *why)
{
    (void)v;
    (void)out;
    (void)why;
    return true;
}

static const struct argument arguments[] = {
    {"x-expires", BOTH, expires},
    {"x-message-ttl", BOTH, message_ttl},
    {"x-dead-letter-exchange", BOTH, dead_letter_exchange},
    {"x-dead-letter-routing-key", BOTH, dead_letter_key},
    {"x-dead-letter-strategy", QUORUM, no_effect},
    {"x-max-length", BOTH, max_length},
    {"x-max-length-bytes", BOTH, max_length_bytes},
    {"x-max-in-memory-length", QUORUM, no_effect},
    {"x-max-in-memory-bytes", QUORUM, no_effect},
    {"x-max-priority", CLASSIC, max_priority},
    {"x-overflow", BOTH, overflow},
    {"x-queue-mode", CLASSIC, queue_mode},
    {"x-queue-version", CLASSIC, queue_version},
    {"x-single-active-consumer", BOTH, single_active_consumer},
    {"x-queue-type", BOTH, NULL}, /* by queue_type */
    {"x-quorum-initial-group-size", QUORUM, no_effect},
    {"x-max-age", 0, no_effect},
    {"x-stream-max-segment-size-bytes", 0, no_effect},
    {"x-initial-cluster-size", 0, no_effect},
    {"x-queue-leader-locator", QUORUM, no_effect},
    {"x-queue-master-locator", BOTH, no_effect},
    {"x-delivery-limit", QUORUM, delivery_limit},
    {"x-durability", BOTH, durability},
};
#define ARGUMENTS (sizeof arguments / sizeof arguments[0])

/* -- all of a queue -------------------------------------------------------------------------------------------------------------------------- */

static bool invalid(struct catalog_change *change, const char *vhost, const char *name, const char *why)
{
    return catalog_refuse(change, CATALOG_PRECONDITION_FAILED, "invalid arg '%s' for queue '%.*s' in vhost '%s': %s",
                          name, SPAN(change->name), vhost, why);
}

static void presets(struct queue_arguments *out, enum queue_durability durable)
{
    *out = (struct queue_arguments){.message_ttl_ms = UINT64_MAX,
                                    .length_max = UINT64_MAX,
                                    .length_bytes_max = UINT64_MAX,
                                    .delivery_limit = UINT64_MAX,
                                    .durability = durable};
}

/* CLASSIC or QUORUM; 0: neither, and `why` says so. Streams are not offered. */
static unsigned queue_type(struct mr_span table, char *why)
{
    struct amqp_value v;
    unsigned i;
    if (!amqp_table_find(table, "x-queue-type", &v))
        return CLASSIC;
    if (!text_value(&v, why))
        return 0;
    if (choice(&v, (const char *const[]){"classic", "quorum", NULL}, &i))
        return i ? QUORUM : CLASSIC;
    snprintf(why, TEXT_MAX, "\"unsupported queue type '%.*s'\"", SPAN(v.text));
    return 0;
}

/* A quorum queue is one that survives everything. */
static bool quorum_legal(struct catalog_change *change, const char *vhost)
{
    const char *property = change->auto_delete ? "auto-delete"
                           : change->exclusive ? "exclusive-owner"
                           : !change->durable  ? "non-durable"
                                               : NULL;
    return !property ||
           catalog_refuse(change, CATALOG_PRECONDITION_FAILED, "invalid property '%s' for queue '%.*s' in vhost '%s'",
                          property, SPAN(change->name), vhost);
}

static bool supported(struct catalog_change *change, const char *vhost, unsigned type)
{
    struct amqp_value v;
    for (size_t i = 0; i < ARGUMENTS; i++)
        if (!(arguments[i].types & type) && amqp_table_find(change->arguments, arguments[i].name, &v))
            return catalog_refuse(change, CATALOG_PRECONDITION_FAILED,
                                  "invalid arg '%s' for queue '%.*s' in vhost '%s' of queue type %s", arguments[i].name,
                                  SPAN(change->name), vhost,
                                  type == QUORUM ? "rabbit_quorum_queue" : "rabbit_classic_queue");
    return true;
}

static bool dead_letter_type(struct catalog_change *change, const char *vhost)
{
    struct amqp_value v;
    return !amqp_table_find(change->arguments, "x-dead-letter-exchange", &v) || v.type == 'S' ||
           catalog_refuse(change, CATALOG_PRECONDITION_FAILED,
                          "invalid type '%s' for arg 'x-dead-letter-exchange' in queue '%.*s' in vhost '%s'",
                          amqp_type_name(v.type), SPAN(change->name), vhost);
}

bool catalog_arguments_parse(struct catalog_change *change, const char *vhost, struct queue_arguments *out)
{
    char why[TEXT_MAX] = "";
    struct amqp_value v;
    presets(out, QUEUE_FSYNC);
    if (!dead_letter_type(change, vhost))
        return false;
    unsigned type = queue_type(change->arguments, why);
    if (!type)
        return invalid(change, vhost, "x-queue-type", why);
    if (!supported(change, vhost, type))
        return false;
    for (size_t i = 0; i < ARGUMENTS; i++)
        if (arguments[i].read && amqp_table_find(change->arguments, arguments[i].name, &v) &&
            !arguments[i].read(&v, out, why))
            return invalid(change, vhost, arguments[i].name, why);
    return type != QUORUM || quorum_legal(change, vhost);
}

void catalog_arguments_read(struct mr_span table, enum queue_durability preset, struct queue_arguments *out)
{
    char why[TEXT_MAX];
    struct amqp_value v;
    presets(out, preset);
    for (size_t i = 0; i < ARGUMENTS; i++)
        if (arguments[i].read && amqp_table_find(table, arguments[i].name, &v))
            arguments[i].read(&v, out, why);
}

/* -- declared again -------------------------------------------------------------------------------------------------------------------------- */

static void side(char *out, size_t bytes, bool there, const struct amqp_value *v)
{
    char text[TEXT_MAX];
    if (there)
        snprintf(out, bytes, "the value '%s' of type '%s'", value_text(v, text), amqp_type_name(v->type));
    else
        snprintf(out, bytes, "none");
}

bool catalog_argument_equal(struct catalog_change *change, const char *kind, const char *vhost, const char *name,
                            struct mr_span current)
{
    char a[TEXT_MAX + 40], b[TEXT_MAX + 40];
    struct amqp_value now, before;
    bool wanted = amqp_table_find(change->arguments, name, &now), had = amqp_table_find(current, name, &before);
    if (wanted == had && (!had || amqp_value_equal(&now, &before)))
        return true;
    if (wanted && had) {
        char received[TEXT_MAX], is[TEXT_MAX];
        snprintf(a, sizeof a, "'%s'", value_text(&now, received));
        snprintf(b, sizeof b, "'%s'", value_text(&before, is));
    } else {
        side(a, sizeof a, wanted, &now);
        side(b, sizeof b, had, &before);
    }
    return catalog_refuse(change, CATALOG_PRECONDITION_FAILED,
                          "inequivalent arg '%s' for %s '%.*s' in vhost '%s': received %s but current is %s", name,
                          kind, SPAN(change->name), vhost, a, b);
}

bool catalog_arguments_equal(struct catalog_change *change, const char *vhost, struct mr_span current)
{
    char why[TEXT_MAX];
    struct amqp_value v;
    for (size_t i = 0; i < ARGUMENTS; i++) {
        bool type = !arguments[i].read; /* not to say x-queue-type is to say classic */
        if (type &&
            (!amqp_table_find(change->arguments, arguments[i].name, &v) ||
             !amqp_table_find(current, arguments[i].name, &v)) &&
            queue_type(change->arguments, why) == queue_type(current, why))
            continue;
        if (!catalog_argument_equal(change, "queue", vhost, arguments[i].name, current))
            return false;
    }
    return true;
}
