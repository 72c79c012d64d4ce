/* Queues made, deleted, emptied, looked at. */
#include <string.h>

#include "queue/amqp/table.h"
#include "queue/interface/interface.h"

/* -- declare -------------------------------------------------------------------------------------------------------------------- */

enum { DECLARE_BYTES = 2048 }; /* the name, and a table of nine entries, three of them short strings */

struct declaring {
    struct catalog_change change;
    mr_queue_done_fn done;
    void *context;
    uint8_t bytes[DECLARE_BYTES];
};

static void put_number(struct amqp_table_out *o, const char *name, uint64_t value)
{
    if (value)
        amqp_table_put_integer(o, name, value > INT64_MAX ? INT64_MAX : (int64_t)value);
}

static void put_text(struct amqp_table_out *o, const char *name, const char *text)
{
    if (text)
        amqp_table_put_text(o, name, (struct mr_span){(const uint8_t *)text, strlen(text)});
}

static struct mr_span arguments_of(const struct mr_queue_options *options, uint8_t *to, size_t room)
{
    struct amqp_table_out o = {.data = to, .room = room};
    put_number(&o, "x-message-ttl", options->message_ttl_ms);
    put_number(&o, "x-expires", options->expires_ms);
    put_number(&o, "x-max-length", options->length_max);
    put_number(&o, "x-max-length-bytes", options->length_bytes_max);
    put_number(&o, "x-max-priority", options->priority_max);
    put_text(&o, "x-dead-letter-exchange", options->dead_letter_exchange);
    put_text(&o, "x-dead-letter-routing-key", options->dead_letter_key);
    put_text(&o, "x-durability", options->durability);
    return (struct mr_span){to, o.failed ? SIZE_MAX : o.used};
}

static enum mr_queue_outcome outcome_of(enum catalog_result result)
{
    static const enum mr_queue_outcome outcomes[] = {
        [CATALOG_OK] = MR_QUEUE_DONE,
        [CATALOG_NOT_FOUND] = MR_QUEUE_NOT_FOUND,
        [CATALOG_ACCESS_REFUSED] = MR_QUEUE_REFUSED,
        [CATALOG_RESOURCE_LOCKED] = MR_QUEUE_IN_USE,
        [CATALOG_PRECONDITION_FAILED] = MR_QUEUE_REFUSED,
        [CATALOG_COMMAND_INVALID] = MR_QUEUE_REFUSED,
        [CATALOG_NOT_ALLOWED] = MR_QUEUE_REFUSED,
        [CATALOG_NO_MEMORY] = MR_QUEUE_NO_MEMORY,
    };
    return outcomes[result];
}

static void declared(struct catalog_change *change)
{
    struct declaring *d = change->context;
    struct memory *memory = &change->home->memory;
    enum mr_queue_outcome outcome = outcome_of(change->result);
    mr_queue_done_fn done = d->done;
    void *context = d->context;
    memory_free(memory, d, sizeof *d);
    done(context, outcome);
}

int mr_queue_declare(struct mr_queues *q, struct mr_span name, const struct mr_queue_options *options,
                     mr_queue_done_fn done, void *context)
{
    static const struct mr_queue_options presets = {0};
    struct broker *b = q->broker;
    if (!name.length || !interface_name_fits(name))
        return MR_ERROR_INVALID;
    options = options ? options : &presets;
    struct declaring *d = memory_alloc(&b->memory, sizeof *d);
    if (!d)
        return MR_ERROR_NO_MEMORY;
    struct mr_span arguments = arguments_of(options, d->bytes + QUEUE_NAME_MAX, DECLARE_BYTES - QUEUE_NAME_MAX);
    if (arguments.length == SIZE_MAX) {
        memory_free(&b->memory, d, sizeof *d);
        return MR_ERROR_INVALID;
    }
    memcpy(d->bytes, name.data, name.length);
    d->done = done;
    d->context = context;
    d->change = (struct catalog_change){.home = b,
                                        .verb = CATALOG_QUEUE_DECLARE,
                                        .vhost = q->vhost,
                                        .name = {d->bytes, name.length},
                                        .arguments = arguments,
                                        .durable = !options->transient,
                                        .auto_delete = options->auto_delete,
                                        .done = declared,
                                        .context = d};
    catalog_change(b, &d->change);
    return MR_OK;
}

/* -- requests that answer with an outcome -------------------------------------------------------------------------------------------- */

struct asking {
    mr_queue_done_fn done;
    void *context;
};

static void answered(struct queue_request *r)
{
    struct asking asking = *(struct asking *)r->context;
    enum mr_queue_outcome outcome = interface_outcome(r->result);
    memory_free(&r->home->memory, r->context, sizeof asking);
    interface_request_free(r);
    asking.done(asking.context, outcome);
}

static int ask(struct mr_queues *q, struct mr_span name, enum queue_verb verb, mr_queue_done_fn done, void *context)
{
    struct broker *b = q->broker;
    enum mr_queue_outcome outcome;
    if (!interface_name_fits(name))
        return MR_ERROR_INVALID;
    const struct catalog_queue *queue = interface_queue(q, name, &outcome);
    if (!queue)
        return interface_say(b, outcome, done, context);
    struct asking *asking = memory_alloc(&b->memory, sizeof *asking);
    struct queue_request *r = asking ? interface_request(b, queue->id, verb, 0, answered, asking) : NULL;
    if (!r) {
        if (asking)
            memory_free(&b->memory, asking, sizeof *asking);
        return MR_ERROR_NO_MEMORY;
    }
    *asking = (struct asking){done, context};
    queue_request_send(r);
    return MR_OK;
}

int mr_queue_delete(struct mr_queues *q, struct mr_span name, mr_queue_done_fn done, void *context)
{
    return ask(q, name, QUEUE_DELETE, done, context);
}

int mr_queue_purge(struct mr_queues *q, struct mr_span name, mr_queue_done_fn done, void *context)
{
    return ask(q, name, QUEUE_PURGE, done, context);
}
