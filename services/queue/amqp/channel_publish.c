/* basic.publish: from the method over its content to the queues.
 *
 *     method -> names kept; header -> rights, exchange, properties: a message; body -> appended; whole -> sealed, routed -> answered
 *
 * What is wrong is told when the header is there: RabbitMQ waits for the whole content, which changes nothing for a client, because
 * what still comes on a closed channel is dropped. */
#include "queue/amqp/channel.h"
#include "queue/amqp/table.h"

#include <stdio.h>
#include <string.h>

/* -- the method ------------------------------------------------------------------------------------------------------------------------ */

void channel_basic_publish(struct channel *ch, const struct amqp_method *m)
{
    const struct amqp_basic_publish *publish = &m->basic_publish;
    struct channel_publisher *p = ch->publisher;
    if (publish->immediate) {
        amqp_channel_error(&ch->base, AMQP_NOT_IMPLEMENTED, m->id, "immediate=true");
        return;
    }
    if (!p && !(p = channel_alloc(ch, sizeof *p))) {
        channel_no_memory(ch, m->id);
        return;
    }
    if (!ch->publisher) {
        memset(p, 0, sizeof *p);
        ch->publisher = p;
    }
    p->mandatory = publish->mandatory;
    p->dropped = false;
    p->exchange_length = (uint8_t)publish->exchange.length;
    p->routing_key_length = (uint8_t)publish->routing_key.length;
    if (p->exchange_length)
        memcpy(p->exchange, publish->exchange.data, p->exchange_length);
    if (p->routing_key_length)
        memcpy(p->routing_key, publish->routing_key.data, p->routing_key_length);
}

static struct mr_span exchange_name(const struct channel_publisher *p)
{
    return (struct mr_span){p->exchange, p->exchange_length};
}

/* -- what is checked ------------------------------------------------------------------------------------------------------------------- */

/* The right to write, looked up when the exchange is another than the last time. */
static bool write_may(struct channel *ch)
{
    struct channel_publisher *p = ch->publisher;
    struct mr_span name = exchange_name(p);
    if (p->may && span_equal(name, (struct mr_span){p->allowed, p->allowed_length}))
        return true;
    if (!channel_may(ch, RIGHT_WRITE, "exchange", name, AMQP_basic_publish))
        return false;
    p->may = true;
    p->allowed_length = p->exchange_length;
    memcpy(p->allowed, p->exchange, p->exchange_length);
    return true;
}

static const struct catalog_exchange *exchange_find(struct channel *ch)
{
    const struct amqp_connection *c = ch->base.connection;
    struct mr_span name = exchange_name(ch->publisher);
    const struct catalog_exchange *x = catalog_exchange_find(ch->broker->catalog, c->vhost, name);
    if (!x)
        amqp_channel_error(&ch->base, AMQP_NOT_FOUND, AMQP_basic_publish, "no exchange '%.*s' in vhost '%s'",
                           SPAN(name), c->vhost_name);
    else if (x->internal)
        amqp_channel_error(&ch->base, AMQP_ACCESS_REFUSED, AMQP_basic_publish,
                           "cannot publish to internal exchange '%.*s' in vhost '%s'", SPAN(name), c->vhost_name);
    return x && !x->internal ? x : NULL;
}

#define EXPIRATION_MAX_MS UINT64_C(315360000000) /* ten years */

/* RabbitMQ's words for a text that is not a number of milliseconds. */
static bool expiration_valid(struct channel *ch, struct mr_span text)
{
    char why[QUEUE_NAME_MAX + 64];
    uint64_t ms = 0;
    size_t digits = text.length && (text.data[0] == '-' || text.data[0] == '+'), begin = digits;
    bool negative = begin && text.data[0] == '-';
    while (digits < text.length && text.data[digits] >= '0' && text.data[digits] <= '9') {
        if (ms <= EXPIRATION_MAX_MS)
            ms = ms * 10 + (uint64_t)(text.data[digits] - '0');
        digits++;
    }
    if (digits == begin)
        snprintf(why, sizeof why, "no_integer");
    else if (digits < text.length)
        snprintf(why, sizeof why, "{leftover_string,\"%.*s\"}", (int)(text.length - digits),
                 (const char *)text.data + digits);
    else if (negative && ms)
        snprintf(why, sizeof why, "{value_negative,%.*s}", SPAN(text));
    else if (ms > EXPIRATION_MAX_MS)
        snprintf(why, sizeof why, "{value_too_large,%.*s}", SPAN(text));
    else
        return true;
    amqp_channel_error(&ch->base, AMQP_PRECONDITION_FAILED, AMQP_basic_publish, "invalid expiration '%.*s': %s",
                       SPAN(text), why);
    return false;
}

static bool user_valid(struct channel *ch, struct mr_span user)
{
    const char *name = ch->base.connection->user->name;
    if (user.length == strlen(name) && !memcmp(user.data, name, user.length))
        return true;
    amqp_channel_error(&ch->base, AMQP_PRECONDITION_FAILED, AMQP_basic_publish,
                       "user_id property set to '%.*s' but authenticated user was '%s'", SPAN(user), name);
    return false;
}

/* CC and BCC are arrays of routing keys; what is not a long string in them is no key. */
static bool copies_valid(struct channel *ch, struct mr_span headers)
{
    static const char *const names[] = {"CC", "BCC"};
    struct amqp_value v, item;
    unsigned count = 1;
    for (unsigned i = 0; i < 2; i++) {
        if (!amqp_table_find(headers, names[i], &v))
            continue;
        if (v.type != 'A') {
            amqp_channel_error(&ch->base, AMQP_PRECONDITION_FAILED, AMQP_basic_publish,
                               "invalid message: {unacceptable_type_in_header,\"%s\",%s}", names[i],
                               amqp_type_name(v.type));
            return false;
        }
        for (size_t at = 0; amqp_array_next(v.text, &at, &item);)
            count += item.type == 'S';
    }
    if (count > CHANNEL_KEYS_MAX)
        amqp_channel_error(&ch->base, AMQP_PRECONDITION_FAILED, AMQP_basic_publish,
                           "a message has at most %u routing keys", CHANNEL_KEYS_MAX);
    return count <= CHANNEL_KEYS_MAX;
}

static bool properties_valid(struct channel *ch, const struct amqp_properties *p)
{
    return (!(p->flags & AMQP_USER_ID) || user_valid(ch, p->user_id)) &&
           (!(p->flags & AMQP_EXPIRATION) || expiration_valid(ch, p->expiration)) &&
           (!(p->flags & AMQP_HEADERS) || copies_valid(ch, p->headers));
}

static bool size_valid(struct channel *ch, const struct amqp_header *h)
{
    const struct channel_publisher *p = ch->publisher;
    uint64_t max = ch->broker->config->message_bytes_max;
    size_t head = sizeof(struct message) + p->exchange_length + p->routing_key_length + h->properties.length;
    if (h->body_bytes > max)
        amqp_channel_error(&ch->base, AMQP_PRECONDITION_FAILED, AMQP_basic_publish,
                           "message size %llu is larger than configured max size %llu",
                           (unsigned long long)h->body_bytes, (unsigned long long)max);
    else if (head > MEMORY_LARGEST - 2 * QUEUE_NAME_MAX) /* room for the address of a reply, and to be dead-lettered */
        amqp_channel_error(&ch->base, AMQP_PRECONDITION_FAILED, AMQP_basic_publish,
                           "properties of %zu bytes are more than a message can have", h->properties.length);
    else
        return true;
    return false;
}

/* -- the content ----------------------------------------------------------------------------------------------------------------------- */

static void content_whole(struct channel *ch);

static struct message *message_begin(struct channel *ch, const struct amqp_header *h)
{
    const struct channel_publisher *p = ch->publisher;
    return message_create(&ch->broker->memory, exchange_name(p),
                          (struct mr_span){p->routing_key, p->routing_key_length}, h->properties, h->body_bytes);
}

/* reply-to = the pseudo queue: the address of this channel's own consumer takes its place. */
static struct message *message_begin_reply(struct channel *ch, const struct amqp_header *h, struct amqp_properties *p)
{
    uint8_t address[QUEUE_NAME_MAX];
    p->reply_to = channel_reply_address(ch, address);
    size_t room = h->properties.length + QUEUE_NAME_MAX;
    uint8_t *properties = channel_alloc(ch, room);
    if (!properties)
        return NULL;
    struct amqp_header changed = *h;
    changed.properties = (struct mr_span){properties, amqp_properties_emit(properties, room, p)};
    struct message *m = message_begin(ch, &changed);
    channel_free(ch, properties, room);
    return m;
}

void amqp_channel_header(struct amqp_channel *base, const struct amqp_header *h)
{
    struct channel *ch = channel_of(base);
    struct amqp_properties properties;
    if (amqp_properties_parse(h->properties, &properties)) {
        amqp_connection_error(base->connection, AMQP_SYNTAX_ERROR, AMQP_basic_publish, "malformed properties");
        return;
    }
    if (!write_may(ch) || !exchange_find(ch) || !size_valid(ch, h) || !properties_valid(ch, &properties))
        return;
    bool reply = (properties.flags & AMQP_REPLY_TO) && span_equal(properties.reply_to, REPLY_QUEUE);
    if (reply && !ch->reply) {
        amqp_channel_error(base, AMQP_PRECONDITION_FAILED, AMQP_basic_publish, "fast reply consumer does not exist");
        return;
    }
    ch->publisher->message = reply ? message_begin_reply(ch, h, &properties) : message_begin(ch, h);
    ch->publisher->dropped = !ch->publisher->message;
    broker_memory_look(ch->broker);
    if (!h->body_bytes)
        content_whole(ch);
}

void amqp_channel_body(struct amqp_channel *base, struct mr_span bytes)
{
    struct channel *ch = channel_of(base);
    struct channel_publisher *p = ch->publisher;
    if (!p->dropped && !message_append(p->message, bytes.data, bytes.length)) {
        message_drop(p->message);
        p->message = NULL;
        p->dropped = true;
    }
    broker_memory_look(ch->broker);
    if (!base->body_missing)
        content_whole(ch);
}

void channel_publish_end(struct channel *ch)
{
    struct channel_publisher *p = ch->publisher;
    if (p && p->message)
        message_drop(p->message);
    if (p)
        p->message = NULL;
}

/* -- into the queues -------------------------------------------------------------------------------------------------------------------- */

void channel_publication_free(struct channel *ch, struct channel_publication *p)
{
    if (p->p.message)
        message_drop(p->p.message);
    channel_free(ch, p, sizeof *p);
}

static void hold_look(struct channel *ch)
{
    uint64_t count = ch->under_way_count, bytes = ch->under_way_bytes;
    if (!ch->publish_held && (count > CHANNEL_UNDER_WAY_MAX || bytes > CHANNEL_UNDER_WAY_BYTES_MAX)) {
        ch->publish_held = true;
        amqp_connection_hold(ch->base.connection);
    } else if (ch->publish_held && count <= CHANNEL_UNDER_WAY_MAX / 2 && bytes <= CHANNEL_UNDER_WAY_BYTES_MAX / 2) {
        ch->publish_held = false;
        amqp_connection_resume(ch->base.connection);
    }
}

static void under_way_add(struct channel *ch, struct channel_publication *p)
{
    p->next = NULL;
    p->link = ch->under_way_end;
    *ch->under_way_end = p;
    ch->under_way_end = &p->next;
    ch->under_way_count++;
    ch->under_way_bytes += p->bytes;
    channel_hold(ch);
    hold_look(ch);
}

static void under_way_remove(struct channel *ch, struct channel_publication *p)
{
    *p->link = p->next;
    if (p->next)
        p->next->link = p->link;
    else
        ch->under_way_end = p->link;
    ch->under_way_count--;
    ch->under_way_bytes -= p->bytes;
    hold_look(ch);
}

static void publication_done(struct publication *done)
{
    struct channel_publication *p = (struct channel_publication *)done;
    struct channel *ch = p->channel;
    bool refused = done->rejected || done->failed;
    under_way_remove(ch, p);
    if (p->committed)
        channel_tx_answered(ch, refused);
    if (p->sequence && !channel_ended(ch))
        channel_confirm_answered(ch, p, refused);
    else
        channel_publication_free(ch, p);
    channel_drop(ch);
}

static void returned_release(void *message)
{
    message_drop(message);
}

static void return_send(struct channel *ch, struct message *message)
{
    struct amqp_connection *c = ch->base.connection;
    struct amqp_method m = {.id = AMQP_basic_return,
                            .basic_return = {.reply_code = AMQP_NO_ROUTE,
                                             .reply_text = TEXT_SPAN("NO_ROUTE"),
                                             .exchange = message_exchange(message),
                                             .routing_key = message_routing_key(message)}};
    ch->broker->counters[QUEUE_COUNTER_RETURNED]++;
    if (amqp_send_content(c, ch->base.number, &m, message, true, returned_release, message) == AMQP_SENT_LENT)
        message_hold(message);
}

static unsigned keys_add(struct mr_span headers, const char *name, struct mr_span *keys, unsigned count)
{
    struct amqp_value v, item;
    if (amqp_table_find(headers, name, &v) && v.type == 'A')
        for (size_t at = 0; count < CHANNEL_KEYS_MAX && amqp_array_next(v.text, &at, &item);)
            if (item.type == 'S' && item.text.length <= QUEUE_NAME_MAX)
                keys[count++] = item.text;
    return count;
}

/* The message without its header BCC, in the place of the one that had it; false: no memory. */
static bool blind_copies_remove(struct channel *ch, const struct message *m, struct amqp_properties *properties,
                                struct message **out)
{
    size_t room = m->properties_length, at = 0;
    struct mr_span name;
    struct amqp_value v;
    uint8_t *bytes = channel_alloc(ch, room), *table = channel_alloc(ch, room);
    if (bytes && table) {
        struct amqp_table_out o = {.data = table, .room = room};
        while (amqp_table_next(properties->headers, &at, &name, &v))
            if (!span_equal(name, TEXT_SPAN("BCC")))
                amqp_table_put(&o, name, &v);
        properties->headers = (struct mr_span){table, o.used};
        *out = message_readdress(&ch->broker->memory, m, message_exchange(m), message_routing_key(m),
                                 (struct mr_span){bytes, amqp_properties_emit(bytes, room, properties)});
    }
    if (bytes)
        channel_free(ch, bytes, room);
    if (table)
        channel_free(ch, table, room);
    return *out != NULL;
}

/* Routed by the keys of `original`, which keep their place until then. Return value of broker_publish. */
static int route(struct channel *ch, const struct catalog_exchange *x, struct channel_publication *p)
{
    struct message *original = p->p.message, *blind = NULL;
    struct mr_span keys[CHANNEL_KEYS_MAX] = {message_routing_key(original)};
    struct amqp_properties properties;
    unsigned count = 1, open;
    amqp_properties_parse(message_properties(original), &properties);
    if (properties.flags & AMQP_HEADERS) {
        open = count = keys_add(properties.headers, "CC", keys, count);
        count = keys_add(properties.headers, "BCC", keys, count);
        if (count > open && !blind_copies_remove(ch, original, &properties, &blind))
            return -1;
    }
    if (blind)
        p->p.message = blind;
    int routed = broker_publish(ch->broker, ch->base.connection->vhost, x, keys, count, &p->p);
    if (blind)
        message_drop(original);
    return routed;
}

static int to_default_exchange(struct channel *ch, struct channel_publication *p, const struct catalog_exchange *x)
{
    if (channel_reply_named(message_routing_key(p->p.message))) {
        channel_reply_send(ch, p->p.message);
        return 0;
    }
    return route(ch, x, p);
}

bool channel_publish_go(struct channel *ch, struct channel_publication *p)
{
    struct mr_span name = message_exchange(p->p.message);
    const struct catalog_exchange *x = catalog_exchange_find(ch->broker->catalog, ch->base.connection->vhost, name);
    p->p.home = ch->broker;
    p->p.done = publication_done;
    int routed = !x ? 0 : name.length ? route(ch, x, p) : to_default_exchange(ch, p, x);
    if (routed > 0) {
        under_way_add(ch, p);
        return true;
    }
    if (routed == 0 && p->mandatory)
        return_send(ch, p->p.message);
    else if (routed == 0)
        ch->broker->counters[QUEUE_COUNTER_UNROUTED]++;
    if (p->sequence) {
        channel_confirm_answered(ch, p, routed < 0);
        return true;
    }
    channel_publication_free(ch, p);
    if (routed < 0 && !ch->committing) /* without confirms there is no other way to say that it is lost */
        channel_no_memory(ch, AMQP_basic_publish);
    ch->commit_failed |= routed < 0;
    return false;
}

static void content_whole(struct channel *ch)
{
    struct channel_publisher *publisher = ch->publisher;
    struct message *m = publisher->message;
    struct channel_publication *p = channel_alloc(ch, sizeof *p);
    publisher->message = NULL;
    if (!p || (!m && ch->mode != CHANNEL_CONFIRM)) {
        if (m)
            message_drop(m);
        if (p)
            channel_free(ch, p, sizeof *p);
        channel_no_memory(ch, AMQP_basic_publish);
        return;
    }
    memset(p, 0, sizeof *p);
    p->channel = ch;
    p->mandatory = publisher->mandatory;
    p->sequence = ch->mode == CHANNEL_CONFIRM ? ++ch->sequence : 0;
    if (!m) {
        channel_confirm_answered(ch, p, true);
        return;
    }
    message_seal(m, broker_unix_ms(ch->broker));
    p->p.message = m;
    p->bytes = m->body_bytes;
    ch->broker->counters[QUEUE_COUNTER_PUBLISHED]++;
    ch->broker->counters[QUEUE_COUNTER_PUBLISHED_BYTES] += m->body_bytes;
    ch->base.connection->published++;
    if (ch->mode == CHANNEL_TX)
        channel_tx_keep(ch, p);
    else if (exchange_find(ch)) /* it may have gone since the header */
        channel_publish_go(ch, p);
    else
        channel_publication_free(ch, p);
}
