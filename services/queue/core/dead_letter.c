/* Dead letters. An entry that dies stays in its queue and in its log, LEAVING, until every queue that the dead-letter exchange leads to has the copy as safe
 * as that queue promises; then it is removed. A crash between leaves it where it was, or in both: at least once.
 *
 *     entry LEAVING -> letter: message read back if it was paged out -> headers (death.c) -> routed, cycles left out
 *                      -> one publication a target -> all taken: removed. One that failed or refused: again in a second
 *
 * The letters of a queue are published in the order of their deaths, LETTERS_OUT_MAX at a time. */
#include <stdlib.h>

#include "queue/amqp/wire.h"
#include "queue/core/death.h"
#include "queue/core/durable_state.h"
#include "queue/core/letter.h"

#define LETTERS_OUT_MAX 64u
#define PUMP_STEP       1024u /* of a turn: those that lead nowhere end at once, and many may have waited */
#define COPIES_MAX      64u   /* keys of a CC header that are followed */
#define SCRATCH_BYTES   (2 * (QUEUE_TABLE_MAX + 4096))

struct letter_target {
    struct publication publication;
    struct letter *letter;
    uint64_t queue_id;
    enum { TARGET_WAITS, TARGET_SENT, TARGET_SAFE } state;
};

struct letter {
    struct letters *letters;
    struct letter *next, **link; /* of those out */
    uint64_t id;                 /* 0: it never was an entry, `message` is the original */
    enum queue_reason reason;
    bool addressed; /* `message` is the letter, targets are known */
    struct message *message;
    struct letter_target *targets;
    unsigned target_count, sent;
};

struct letters {
    struct broker *broker;
    struct queue *queue; /* NULL: gone; what is out comes back */
    uint64_t queue_id;
    struct letters *next;                 /* of the bucket */
    struct letter *waiting, *waiting_end; /* in order */
    struct letter *out;                   /* published, not all safe */
    unsigned out_count;
    struct letters *pump_next;
    bool to_pump; /* when the turn ends */
};

static struct letter_set *set_of(const struct broker *b)
{
    return &b->queues->durable->letters;
}

static struct letters **letters_slot(const struct broker *b, uint64_t queue_id)
{
    struct letters **slot = &set_of(b)->buckets[queue_id % LETTER_BUCKETS];
    while (*slot && ((*slot)->queue_id != queue_id || !(*slot)->queue))
        slot = &(*slot)->next;
    return slot;
}

static struct letters *letters_get(struct queue *q)
{
    struct letters **slot = letters_slot(q->broker, q->id);
    if (*slot)
        return *slot;
    struct letters *l = memory_alloc(&q->broker->memory, sizeof *l);
    if (l) {
        *l = (struct letters){.broker = q->broker, .queue = q, .queue_id = q->id};
        *slot = l;
    }
    return l;
}

static void letter_free(struct letter *letter)
{
    struct memory *memory = &letter->letters->broker->memory;
    if (letter->message)
        message_drop(letter->message);
    if (letter->targets)
        memory_free(memory, letter->targets, letter->target_count * sizeof *letter->targets);
    memory_free(memory, letter, sizeof *letter);
}

/* Of a queue that has none any more, or that is gone. */
static void letters_look(struct letters *l)
{
    if (l->waiting || l->out || l->to_pump)
        return;
    struct letters **slot = &set_of(l->broker)->buckets[l->queue_id % LETTER_BUCKETS];
    while (*slot != l)
        slot = &(*slot)->next;
    *slot = l->next;
    memory_free(&l->broker->memory, l, sizeof *l);
}

/* -- the end of a letter ---------------------------------------------------------------------------------------------------------- */

static void letter_end(struct letter *letter)
{
    struct letters *l = letter->letters;
    if (l->queue && letter->id)
        queue_entry_remove(l->queue, letter->id);
    letter_free(letter);
}

static void letter_lost(struct letter *letter)
{
    letter->letters->broker->counters[QUEUE_COUNTER_DEAD_LETTERS_LOST]++;
    letter_end(letter);
}

static void letter_out_end(struct letter *letter)
{
    struct letters *l = letter->letters;
    *letter->link = letter->next;
    if (letter->next)
        letter->next->link = letter->link;
    l->out_count--;
    if (l->queue) {
        l->broker->counters[QUEUE_COUNTER_DEAD_LETTERED]++;
        l->queue->counts.dead_lettered++;
    }
    letter_end(letter);
}

static bool letter_safe(const struct letter *letter)
{
    for (unsigned i = 0; i < letter->target_count; i++)
        if (letter->targets[i].state != TARGET_SAFE)
            return false;
    return true;
}

static void letters_pump(struct letters *l);

static void target_done(struct publication *p)
{
    struct letter_target *t = p->context;
    struct letter *letter = t->letter;
    struct letters *l = letter->letters;
    letter->sent--;
    t->state = p->failed || p->rejected ? TARGET_WAITS : TARGET_SAFE;
    if (letter_safe(letter) || (!l->queue && !letter->sent))
        letter_out_end(letter);
    letters_pump(l);
}

/* -- addressing ------------------------------------------------------------------------------------------------------------------- */

static const char *const reasons[] = {[REASON_REJECTED] = "rejected",
                                      [REASON_EXPIRED] = "expired",
                                      [REASON_MAXLEN] = "maxlen",
                                      [REASON_DELIVERY_LIMIT] = "delivery_limit"};

static struct message *message_address(struct queue *q, const struct message *m, enum queue_reason reason)
{
    struct broker *b = q->broker;
    const struct queue_arguments *a = &q->declared->arguments;
    struct queue_death death = {.reason = reasons[reason],
                                .queue = q->declared->name,
                                .exchange = message_exchange(m),
                                .key = message_routing_key(m),
                                .time_s = broker_unix_ms(b) / 1000,
                                .key_given = a->dead_letter_key_given};
    uint8_t *scratch = set_of(b)->scratch;
    size_t length = queue_death_properties(scratch, SCRATCH_BYTES, message_properties(m), &death);
    struct mr_span properties = length ? (struct mr_span){scratch, length} : message_properties(m);
    struct message *letter = message_readdress(&b->memory, m, a->dead_letter_exchange,
                                               a->dead_letter_key_given ? a->dead_letter_key : death.key, properties);
    if (!letter)
        return NULL;
    letter->ttl_ms = UINT64_MAX; /* the property is gone; without room for headers it may not count either */
    letter->persistent = m->persistent;
    message_seal(letter, m->published_ms);
    return letter;
}

static bool targets_find(struct letter *letter, struct mr_span headers, const struct catalog_queue *const *queues,
                         unsigned count)
{
    struct broker *b = letter->letters->broker;
    unsigned kept = 0;
    if (count > MEMORY_LARGEST / sizeof *letter->targets)
        count = MEMORY_LARGEST / sizeof *letter->targets;
    for (unsigned i = 0; i < count; i++)
        kept += !queue_death_cycle(headers, queues[i]->name) || letter->reason == REASON_REJECTED;
    if (!kept)
        return true;
    letter->targets = memory_alloc(&b->memory, kept * sizeof *letter->targets);
    if (!letter->targets)
        return false;
    for (unsigned i = 0; i < count; i++)
        if (!queue_death_cycle(headers, queues[i]->name) || letter->reason == REASON_REJECTED)
            letter->targets[letter->target_count++] =
                (struct letter_target){.letter = letter, .queue_id = queues[i]->id, .state = TARGET_WAITS};
    return true;
}

static struct mr_span headers_of(const struct message *m)
{
    struct amqp_properties p;
    if (amqp_properties_parse(message_properties(m), &p) || !(p.flags & AMQP_HEADERS))
        return (struct mr_span){NULL, 0};
    return p.headers;
}

/* False: no memory now. */
static bool letter_route(struct letter *letter, const struct message *m)
{
    struct queue *q = letter->letters->queue;
    struct catalog *c = q->broker->catalog;
    const struct queue_arguments *a = &q->declared->arguments;
    const struct catalog_exchange *x = catalog_exchange_find(c, q->declared->vhost, a->dead_letter_exchange);
    const struct catalog_queue *const *queues;
    if (!x)
        return true; /* no targets: lost, as everywhere when the exchange is not there */
    struct message *new = message_address(q, m, letter->reason);
    if (!new)
        return false;
    struct mr_span headers = headers_of(new), keys[1 + COPIES_MAX];
    keys[0] = message_routing_key(new);
    unsigned key_count = 1 + queue_death_copies(headers, keys + 1, COPIES_MAX);
    broker_delay_obey(x, new, headers);
    unsigned count = catalog_route(c, x, keys, key_count, headers, &queues);
    if (!targets_find(letter, headers, queues, count)) {
        message_drop(new);
        return false;
    }
    if (letter->message)
        message_drop(letter->message);
    letter->message = new;
    return true;
}

/* -- publishing ------------------------------------------------------------------------------------------------------------------- */

/* Targets that have it not yet, or not any more because they are gone. */
static void targets_send(struct letter *letter)
{
    struct broker *b = letter->letters->broker;
    for (unsigned i = 0; i < letter->target_count; i++) {
        struct letter_target *t = &letter->targets[i];
        if (t->state != TARGET_WAITS)
            continue;
        const struct catalog_queue *q = catalog_queue_by_id(b->catalog, t->queue_id);
        if (!q || q->deleted) {
            t->state = TARGET_SAFE;
            continue;
        }
        t->publication = (struct publication){
            .home = b, .message = message_hold(letter->message), .done = target_done, .context = t};
        if (broker_publish_to(b, q, &t->publication) < 0) {
            message_drop(letter->message);
            continue; /* no memory: again in a second */
        }
        t->state = TARGET_SENT;
        letter->sent++;
    }
}

enum begun { BEGUN_OUT, BEGUN_OVER, BEGUN_LATER };

static enum begun letter_begin(struct letter *letter)
{
    struct letters *l = letter->letters;
    const struct message *m = letter->message;
    if (letter->id) {
        const struct queue_entry *e = queue_entry_find(l->queue, letter->id);
        if (!e)
            return BEGUN_OVER; /* it could not be read back: counted there */
        m = e->message;
    }
    if (!m) {
        durable_page_in(l->queue, letter->id);
        return BEGUN_LATER;
    }
    return letter_route(letter, m) ? BEGUN_OUT : BEGUN_LATER;
}

static void letters_pump_later(struct letters *l);

static void letters_pump(struct letters *l)
{
    for (unsigned n = 0; l->waiting && l->queue && l->out_count < LETTERS_OUT_MAX; n++) {
        if (n == PUMP_STEP) {
            letters_pump_later(l);
            break;
        }
        struct letter *letter = l->waiting;
        enum begun begun = letter_begin(letter);
        if (begun == BEGUN_LATER)
            break;
        l->waiting = letter->next;
        if (begun == BEGUN_OVER) {
            letter_free(letter);
        } else if (!letter->target_count) {
            letter_lost(letter);
        } else {
            letter->next = l->out;
            letter->link = &l->out;
            if (l->out)
                l->out->link = &letter->next;
            l->out = letter;
            l->out_count++;
            targets_send(letter);
            if (letter_safe(letter))
                letter_out_end(letter);
        }
    }
    letters_look(l);
}

static void letters_pump_later(struct letters *l)
{
    struct durable_set *set = l->broker->queues->durable;
    mr_defer(l->broker->worker, &set->turn_end);
    if (l->to_pump)
        return;
    l->to_pump = true;
    l->pump_next = set->letters.to_pump;
    set->letters.to_pump = l;
}

void letter_set_turn(struct broker *b)
{
    struct letters *l = set_of(b)->to_pump;
    set_of(b)->to_pump = NULL;
    while (l) {
        struct letters *next = l->pump_next;
        l->to_pump = false;
        letters_pump(l);
        l = next;
    }
}

void letters_wake(struct queue *q)
{
    struct letters *l = *letters_slot(q->broker, q->id);
    if (l && l->waiting)
        letters_pump_later(l);
}

static void letter_add(struct queue *q, uint64_t id, struct message *m, enum queue_reason reason)
{
    struct broker *b = q->broker;
    struct letters *l = letters_get(q);
    struct letter *letter = l ? memory_alloc(&b->memory, sizeof *letter) : NULL;
    if (!letter) { /* far above where publishers are held up: nothing is left even to remember it by */
        b->counters[QUEUE_COUNTER_DEAD_LETTERS_LOST]++;
        if (id)
            queue_entry_remove(q, id);
        if (m)
            message_drop(m);
        if (l)
            letters_look(l);
        return;
    }
    *letter = (struct letter){.letters = l, .id = id, .message = m, .reason = reason};
    *(l->waiting ? &l->waiting_end->next : &l->waiting) = letter;
    l->waiting_end = letter;
    letters_pump_later(l);
}

void queue_dead_letter(struct queue *q, uint64_t id, enum queue_reason reason)
{
    letter_add(q, id, NULL, reason);
}

void queue_dead_letter_message(struct queue *q, struct message *m, enum queue_reason reason)
{
    letter_add(q, 0, m, reason);
}

/* -- the set ---------------------------------------------------------------------------------------------------------------------- */

static void out_again(struct letters *l)
{
    for (struct letter *letter = l->out, *next; letter; letter = next) {
        next = letter->next;
        targets_send(letter);
        if (letter_safe(letter))
            letter_out_end(letter);
    }
}

void letter_set_second(struct broker *b)
{
    for (unsigned i = 0; i < LETTER_BUCKETS; i++)
        for (struct letters *l = set_of(b)->buckets[i]; l; l = l->next)
            if (l->queue) {
                out_again(l);
                letters_pump_later(l);
            }
}

/* What is out comes back to nobody: its publications end, and it with them. */
void letters_detach(struct queue *q)
{
    struct letters *l = *letters_slot(q->broker, q->id);
    if (!l)
        return;
    l->queue = NULL;
    while (l->waiting) {
        struct letter *letter = l->waiting;
        l->waiting = letter->next;
        letter_free(letter);
    }
    for (struct letter *letter = l->out, *next; letter; letter = next) {
        next = letter->next;
        if (!letter->sent)
            letter_out_end(letter);
    }
    letters_look(l);
}

bool letter_set_start(struct letter_set *set)
{
    set->scratch = malloc(SCRATCH_BYTES);
    return set->scratch != NULL;
}

void letter_set_release(struct letter_set *set)
{
    free(set->scratch);
}
