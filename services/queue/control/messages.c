/* Commands on messages: peek, move. */
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <time.h>

#include "queue/amqp/wire.h"
#include "queue/control/words.h"

#define PEEK_MAX      100u
#define PEEK_BODY_MAX 1024u
#define PEEK_WAIT_MS  5000
#define MOVE_WAIT_MS  30000

/* -- peek ----------------------------------------------------------------------------------------------------------------------- */

struct peeked {
    uint64_t entry, body_bytes, published_ms;
    uint8_t priority;
    bool persistent;
    uint8_t exchange_length, key_length, type_length;
    uint16_t shown;
    uint8_t exchange[QUEUE_NAME_MAX], key[QUEUE_NAME_MAX], type[QUEUE_NAME_MAX];
    uint8_t body[PEEK_BODY_MAX];
};

struct peek_job {
    struct control_job job;
    uint64_t queue_id;
    unsigned wanted, count;
    struct peeked messages[];
};

static uint8_t take(uint8_t *to, struct mr_span from)
{
    if (from.length)
        memcpy(to, from.data, from.length);
    return (uint8_t)from.length;
}

static void peeked_fill(struct peeked *p, uint64_t entry, const struct message *m)
{
    struct amqp_properties properties = {0};
    *p = (struct peeked){.entry = entry,
                         .body_bytes = m->body_bytes,
                         .published_ms = m->published_ms,
                         .priority = m->priority,
                         .persistent = m->persistent};
    p->exchange_length = take(p->exchange, message_exchange(m));
    p->key_length = take(p->key, message_routing_key(m));
    if (amqp_properties_parse(message_properties(m), &properties) == 0)
        p->type_length = take(p->type, properties.content_type);
    for (const struct message_piece *piece = m->body; piece && p->shown < PEEK_BODY_MAX; piece = piece->next) {
        uint32_t room = PEEK_BODY_MAX - p->shown, n = piece->length < room ? piece->length : room;
        memcpy(p->body + p->shown, piece->bytes, n);
        p->shown = (uint16_t)(p->shown + n);
    }
}

static void peek_show(void *context, uint64_t entry, const struct message *m)
{
    struct peek_job *p = context;
    if (!m)
        control_job_end(&p->job);
    else if (p->count < p->wanted)
        peeked_fill(&p->messages[p->count++], entry, m);
}

static void peek_start(struct broker *b, struct control_job *job)
{
    struct peek_job *p = (struct peek_job *)job;
    queue_peek(b, p->queue_id, p->wanted, peek_show, p);
}

static void show_message(struct control_answer *a, const struct peeked *p, uint64_t now_ms)
{
    control_answer_open(a, NULL, '{');
    control_answer_span(a, "exchange", (struct mr_span){p->exchange, p->exchange_length});
    control_answer_span(a, "key", (struct mr_span){p->key, p->key_length});
    control_answer_bool(a, "persistent", p->persistent);
    control_answer_number(a, "priority", p->priority);
    control_answer_number(a, "age_ms", now_ms > p->published_ms ? now_ms - p->published_ms : 0);
    control_answer_span(a, "content_type", (struct mr_span){p->type, p->type_length});
    control_answer_number(a, "bytes", p->body_bytes);
    control_answer_span(a, "body", (struct mr_span){p->body, p->shown});
    control_answer_close(a, '}');
}

static uint64_t unix_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

bool queue_control_peek(struct control_call *c)
{
    unsigned vhost = queue_control_vhost(c);
    uint64_t wanted = c->wrong ? 0 : c->argc > 2 ? queue_control_number(c, c->argv[2], PEEK_MAX) : 1;
    struct control_queue q;
    if (c->wrong || !control_queue_find(c, vhost, c->argv[1], &q))
        return false;
    struct peek_job *p = calloc(1, sizeof *p + wanted * sizeof p->messages[0]);
    if (!p)
        return false;
    p->job = (struct control_job){.shared = c->shared, .start = peek_start};
    p->queue_id = q.id;
    p->wanted = (unsigned)wanted;
    if (!control_job_run(c, q.owner, &p->job, PEEK_WAIT_MS))
        return false;
    control_answer_open(&c->answer, "messages", '[');
    for (unsigned i = 0; i < p->count; i++)
        show_message(&c->answer, &p->messages[i], unix_ms());
    control_answer_close(&c->answer, ']');
    free(p);
    return true;
}

/* -- move ------------------------------------------------------------------------------------------------------------------------- */

struct move_job {
    struct control_job job;
    uint64_t from, to, count, moved;
    enum queue_result result;
};

static void move_done(void *context, uint64_t moved, enum queue_result result)
{
    struct move_job *m = context;
    m->moved = moved;
    m->result = result;
    control_job_end(&m->job);
}

static void move_start(struct broker *b, struct control_job *job)
{
    struct move_job *m = (struct move_job *)job;
    const struct catalog_queue *to = catalog_queue_by_id(b->catalog, m->to);
    if (to)
        queue_move(b, m->from, to, m->count, move_done, m);
    else
        move_done(m, 0, QUEUE_GONE);
}

bool queue_control_move(struct control_call *c)
{
    unsigned vhost = queue_control_vhost(c);
    uint64_t count = c->wrong ? 0 : c->argc > 3 ? queue_control_number(c, c->argv[3], INT64_MAX) : UINT64_MAX;
    struct control_queue from, to;
    if (c->wrong || !control_queue_find(c, vhost, c->argv[1], &from) || !control_queue_find(c, vhost, c->argv[2], &to))
        return false;
    if (from.id == to.id) {
        c->wrong = control_say("expected two queues instead of '%s' twice", c->argv[1]);
        return false;
    }
    struct move_job *m = calloc(1, sizeof *m);
    if (!m)
        return false;
    *m = (struct move_job){
        .job = {.shared = c->shared, .start = move_start}, .from = from.id, .to = to.id, .count = count};
    if (!control_job_run(c, from.owner, &m->job, MOVE_WAIT_MS))
        return false;
    control_answer_number(&c->answer, "moved", m->moved);
    if (m->result != QUEUE_DONE)
        control_answer_text(&c->answer, "warning", "not all: the other queue refused, or one of the two is gone");
    free(m);
    return true;
}
