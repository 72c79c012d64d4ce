/* Commands that change what is declared, and purge. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>

#include "queue/amqp/table.h"
#include "queue/control/words.h"

#define WAIT_MS 5000

/* -- declare: KEY=VALUE to arguments --------------------------------------------------------------------------------------------------- */

enum argument_kind { ARGUMENT_FLAG, ARGUMENT_NUMBER, ARGUMENT_DURATION, ARGUMENT_TEXT, ARGUMENT_BOOL };

static const struct argument {
    const char *key;
    enum argument_kind kind;
    const char *name; /* of the AMQP argument; NULL: a flag */
    const char *values;
} arguments[] = {
    {"durable", ARGUMENT_FLAG, NULL, "yes or no"},
    {"auto_delete", ARGUMENT_FLAG, NULL, "yes or no"},
    {"type", ARGUMENT_TEXT, "x-queue-type", "classic or quorum"},
    {"durability", ARGUMENT_TEXT, "x-durability", "memory, written or fsync"},
    {"message_ttl", ARGUMENT_DURATION, "x-message-ttl", "250ms, 5s, 1h"},
    {"expires", ARGUMENT_DURATION, "x-expires", "250ms, 5s, 1h"},
    {"length_max", ARGUMENT_NUMBER, "x-max-length", "messages"},
    {"length_bytes_max", ARGUMENT_NUMBER, "x-max-length-bytes", "bytes"},
    {"overflow", ARGUMENT_TEXT, "x-overflow", "drop-head, reject-publish or reject-publish-dlx"},
    {"dead_letter_exchange", ARGUMENT_TEXT, "x-dead-letter-exchange", "a name"},
    {"dead_letter_key", ARGUMENT_TEXT, "x-dead-letter-routing-key", "a routing key"},
    {"priority_max", ARGUMENT_NUMBER, "x-max-priority", "1 to 255"},
    {"single_active_consumer", ARGUMENT_BOOL, "x-single-active-consumer", "yes or no"},
    {"delivery_limit", ARGUMENT_NUMBER, "x-delivery-limit", "deliveries of one message; of type quorum"},
};

void queue_control_help_keys(struct control_call *c)
{
    control_answer_open(&c->answer, "declare_keys", '[');
    for (size_t i = 0; i < sizeof arguments / sizeof *arguments; i++) {
        control_answer_open(&c->answer, NULL, '{');
        control_answer_text(&c->answer, "key", arguments[i].key);
        control_answer_text(&c->answer, "value", arguments[i].values);
        control_answer_text(&c->answer, "argument", arguments[i].name ? arguments[i].name : "");
        control_answer_close(&c->answer, '}');
    }
    control_answer_close(&c->answer, ']');
}

#define TABLE_BYTES 4096

struct declare_job {
    struct control_job job;
    struct catalog_change change;
    uint8_t name[QUEUE_NAME_MAX], table[TABLE_BYTES];
};

static bool take_bool(const char *text, bool *out)
{
    *out = !strcmp(text, "yes") || !strcmp(text, "true");
    return *out || !strcmp(text, "no") || !strcmp(text, "false");
}

/* "250", "250ms", "5s", "3m", "1h", in milliseconds. */
static bool take_duration(const char *text, int64_t *out)
{
    static const struct {
        const char *unit;
        int64_t ms;
    } units[] = {{"", 1}, {"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
    char *end;
    errno = 0;
    long long n = strtoll(text, &end, 10);
    if (end == text || errno || n < 0 || n > INT64_MAX / 86400000)
        return false;
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (!strcmp(end, units[i].unit)) {
            *out = n * units[i].ms;
            return true;
        }
    return false;
}

static bool take_number(const char *text, int64_t *out)
{
    char *end;
    errno = 0;
    *out = strtoll(text, &end, 10);
    return end != text && !*end && !errno && *out >= 0;
}

static bool wrong_value(struct control_call *c, const struct argument *a, const char *value)
{
    static const char *const expected[] = {[ARGUMENT_FLAG] = "yes or no",
                                           [ARGUMENT_NUMBER] = "a number",
                                           [ARGUMENT_DURATION] = "a duration such as 250ms, 5s, 1h",
                                           [ARGUMENT_TEXT] = "at most 255 bytes",
                                           [ARGUMENT_BOOL] = "yes or no"};
    c->wrong = control_say("%s: expected %s instead of '%.40s'", a->key, expected[a->kind], value);
    return false;
}

static bool take_value(struct control_call *c, struct declare_job *d, const struct argument *a, const char *value,
                       struct amqp_table_out *table)
{
    int64_t number;
    bool flag;
    switch (a->kind) {
    case ARGUMENT_FLAG:
    case ARGUMENT_BOOL:
        if (!take_bool(value, &flag))
            return wrong_value(c, a, value);
        if (a->name)
            amqp_table_put_bool(table, a->name, flag);
        else
            *(!strcmp(a->key, "durable") ? &d->change.durable : &d->change.auto_delete) = flag;
        return true;
    case ARGUMENT_TEXT:
        if (strlen(value) > QUEUE_NAME_MAX)
            return wrong_value(c, a, value);
        amqp_table_put_text(table, a->name, control_span(value));
        return true;
    default:
        if (!(a->kind == ARGUMENT_NUMBER ? take_number(value, &number) : take_duration(value, &number)))
            return wrong_value(c, a, value);
        amqp_table_put_integer(table, a->name, number);
        return true;
    }
}

static bool take_word(struct control_call *c, struct declare_job *d, const char *word, struct amqp_table_out *table)
{
    size_t n = strcspn(word, "=");
    for (size_t i = 0; word[n] == '=' && i < sizeof arguments / sizeof *arguments; i++)
        if (strlen(arguments[i].key) == n && !strncmp(arguments[i].key, word, n))
            return take_value(c, d, &arguments[i], word + n + 1, table);
    c->wrong = word[n] == '='
                   ? control_say("there is no key '%.*s'; `help` shows the keys", (int)(n < 60 ? n : 60), word)
                   : control_say("expected KEY=VALUE instead of '%.60s'; `help` shows the keys", word);
    return false;
}

static void declare_done(struct catalog_change *change)
{
    control_job_end(change->context);
}

static void declare_start(struct broker *b, struct control_job *job)
{
    struct declare_job *d = (struct declare_job *)job;
    d->change.home = b;
    catalog_change(b, &d->change);
}

static bool take_words(struct control_call *c, struct declare_job *d, unsigned vhost)
{
    struct amqp_table_out table = {.data = d->table, .room = sizeof d->table};
    size_t n = strlen(c->argv[1]);
    if (n == 0 || n > QUEUE_NAME_MAX) {
        c->wrong = control_say("expected a name of 1 to %u bytes", QUEUE_NAME_MAX);
        return false;
    }
    memcpy(d->name, c->argv[1], n);
    d->job.start = declare_start;
    d->job.shared = c->shared;
    d->change = (struct catalog_change){.verb = CATALOG_QUEUE_DECLARE,
                                        .vhost = vhost,
                                        .name = {d->name, n},
                                        .durable = true,
                                        .done = declare_done,
                                        .context = &d->job};
    for (int i = 2; i < c->argc; i++)
        if (!take_word(c, d, c->argv[i], &table))
            return false;
    d->change.arguments = (struct mr_span){d->table, table.used};
    if (!table.failed)
        return true;
    c->wrong = control_say("these arguments are longer than %d bytes", TABLE_BYTES);
    return false;
}

bool queue_control_declare(struct control_call *c)
{
    unsigned vhost = queue_control_vhost(c);
    struct declare_job *d = c->wrong ? NULL : calloc(1, sizeof *d);
    if (!d)
        return false;
    if (!take_words(c, d, vhost)) {
        free(d);
        return false;
    }
    if (!control_job_run(c, 0, &d->job, WAIT_MS))
        return false;
    bool good = d->change.result == CATALOG_OK;
    if (good) {
        control_answer_text(&c->answer, "name", c->argv[1]);
        control_answer_bool(&c->answer, "created", d->change.created);
    } else {
        c->wrong = control_say("%s", *d->change.text ? d->change.text : "no memory, or queues_max");
    }
    free(d);
    return good;
}

/* -- requests to a queue ---------------------------------------------------------------------------------------------------------------- */

struct request_job {
    struct control_job job;
    struct queue_request request;
};

static void request_done(struct queue_request *r)
{
    control_job_end(r->context);
}

static void request_start(struct broker *b, struct control_job *job)
{
    struct request_job *j = (struct request_job *)job;
    j->request.home = b;
    queue_request_send(&j->request);
}

static const char *result_text(enum queue_result result)
{
    static const char *const texts[] = {
        [QUEUE_GONE] = "it was deleted meanwhile", [QUEUE_ACCESS_REFUSED] = "somebody consumes it alone",
        [QUEUE_IN_USE] = "it has consumers",       [QUEUE_NOT_EMPTY] = "it has messages",
        [QUEUE_NO_MEMORY] = "no memory",           [QUEUE_UNREADABLE] = "a message could not be read back from the log",
    };
    return result < sizeof texts / sizeof *texts && texts[result] ? texts[result] : "it was refused";
}

static bool request_run(struct control_call *c, enum queue_verb verb, bool if_empty, bool if_unused, const char *count)
{
    unsigned vhost = queue_control_vhost(c);
    struct control_queue q;
    struct request_job *j = c->wrong || !control_queue_find(c, vhost, c->argv[1], &q) ? NULL : calloc(1, sizeof *j);
    if (!j)
        return false;
    j->job = (struct control_job){.shared = c->shared, .start = request_start};
    j->request = (struct queue_request){.verb = verb,
                                        .queue_id = q.id,
                                        .done = request_done,
                                        .context = &j->job,
                                        .if_empty = if_empty,
                                        .if_unused = if_unused};
    if (!control_job_run(c, q.owner, &j->job, WAIT_MS))
        return false;
    bool good = j->request.result == QUEUE_DONE;
    if (good)
        control_answer_number(&c->answer, count, j->request.count);
    else
        c->wrong = control_say("queue '%s': %s", c->argv[1], result_text(j->request.result));
    free(j);
    return good;
}

bool queue_control_delete(struct control_call *c)
{
    bool if_empty = false, if_unused = false;
    for (int i = 2; i < c->argc; i++) {
        bool *flag = !strcmp(c->argv[i], "if-empty") ? &if_empty : !strcmp(c->argv[i], "if-unused") ? &if_unused : NULL;
        if (!flag) {
            c->wrong = control_say("expected if-empty or if-unused instead of '%.60s'", c->argv[i]);
            return false;
        }
        *flag = true;
    }
    return request_run(c, QUEUE_DELETE, if_empty, if_unused, "messages_deleted");
}

bool queue_control_purge(struct control_call *c)
{
    return request_run(c, QUEUE_PURGE, false, false, "messages_purged");
}
