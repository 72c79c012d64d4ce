/* Queues as other services of the process use them (include/millrace/queue.h), over the whole service on several workers: the caller is on one
 * worker, the queues are on any. */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue/catalog/catalog.h"
#include "queue/core/queue.h"
#include "tests/support/queue_service_world.h"

#define SPAN(text) ((struct mr_span){(const uint8_t *)(text), strlen(text)})
#define WORKERS    3

struct fixture {
    struct service_world *world;
    struct mr_queues *queues; /* on worker 0 */
};

/* What the last calls were answered. */
struct answers {
    unsigned count, shown;
    enum mr_queue_outcome outcome;
    char body[128], key[64], type[64];
    size_t body_bytes;
    uint64_t delivery, ready;
    bool redelivered, ended;
    struct mr_queue_state state;
    char names[16][32];
    unsigned name_count;
};

static struct fixture begin(unsigned workers, bool durable)
{
    struct fixture f = {service_world_create(workers, durable, NULL), NULL};
    f.queues = mr_queues_find(f.world->group.w[0]);
    assert_non_null(f.queues);
    return f;
}

static void end(struct fixture *f)
{
    for (unsigned i = 0; i < f->world->workers; i++) {
        struct broker *b = service_world_broker(f->world, i);
        catalog_check(b->catalog);
        queue_set_check(b);
        memory_check(&b->memory);
    }
    service_world_free(f->world);
}

static void done(void *context, enum mr_queue_outcome outcome)
{
    struct answers *a = context;
    a->count++;
    a->outcome = outcome;
}

static void text_take(char *to, size_t bytes, struct mr_span from)
{
    size_t n = from.length < bytes - 1 ? from.length : bytes - 1;
    if (n)
        memcpy(to, from.data, n);
    to[n] = 0;
}

static void shown(void *context, enum mr_queue_outcome outcome, const struct mr_queue_message *m)
{
    struct answers *a = context;
    a->count++;
    a->outcome = outcome;
    a->ended = !m;
    if (!m)
        return;
    a->shown++;
    text_take(a->body, sizeof a->body, m->body);
    text_take(a->key, sizeof a->key, m->key);
    text_take(a->type, sizeof a->type, m->content_type);
    a->body_bytes = m->body.length;
    a->delivery = m->delivery;
    a->ready = m->ready;
    a->redelivered = m->redelivered;
}

static void state_shown(void *context, enum mr_queue_outcome outcome, const struct mr_queue_state *s)
{
    struct answers *a = context;
    a->count++;
    a->outcome = outcome;
    a->ended = !s;
    if (s) {
        a->state = *s;
        text_take(a->names[a->name_count], sizeof a->names[0], s->name);
        a->name_count++;
    }
}

/* Makes the call, sees that it is not answered from inside, turns, and gives the outcome. */
#define ANSWERED(f, call)                \
    ({                                   \
        struct answers a = {0};          \
        assert_int_equal((call), MR_OK); \
        assert_int_equal(a.count, 0);    \
        service_world_turns((f)->world); \
        assert_int_equal(a.count, 1);    \
        a;                               \
    })

static enum mr_queue_outcome declare(struct fixture *f, const char *name, const struct mr_queue_options *o)
{
    return ANSWERED(f, mr_queue_declare(f->queues, SPAN(name), o, done, &a)).outcome;
}

static enum mr_queue_outcome publish(struct fixture *f, const char *queue, const char *body)
{
    struct mr_queue_message m = {.key = SPAN(queue), .body = SPAN(body), .content_type = SPAN("text/plain")};
    return ANSWERED(f, mr_queue_publish(f->queues, &m, done, &a)).outcome;
}

static struct answers get(struct fixture *f, const char *queue, bool automatic, uint64_t within_ms)
{
    return ANSWERED(f, mr_queue_get(f->queues, SPAN(queue), automatic, within_ms, shown, &a));
}

static enum mr_queue_outcome settle(struct fixture *f, uint64_t delivery, enum mr_queue_settle how)
{
    return ANSWERED(f, mr_queue_settle(f->queues, delivery, how, done, &a)).outcome;
}

static struct mr_queue_state state_of(struct fixture *f, const char *queue)
{
    struct answers all = ANSWERED(f, mr_queue_state(f->queues, SPAN(queue), state_shown, &a));
    assert_int_equal(all.outcome, MR_QUEUE_DONE);
    return all.state;
}

static const char *name_of(unsigned i, char text[32])
{
    snprintf(text, 32, "queue-%u", i);
    return text;
}

/* -- tests ------------------------------------------------------------------------------------------------------------------ */

static void a_message_goes_in_and_comes_out_whatever_worker_owns_the_queue(void **state)
{
    for (unsigned durable = 0; durable < 2; durable++) {
        struct fixture f = begin(WORKERS, durable);
        char name[32];
        unsigned owners = 0;
        for (unsigned i = 0; i < 12; i++) {
            assert_int_equal(declare(&f, name_of(i, name), NULL), MR_QUEUE_DONE);
            struct broker *b = service_world_broker(f.world, 0);
            owners |= 1u << catalog_queue_find(b->catalog, 0, SPAN(name))->owner;
            assert_int_equal(publish(&f, name, name), MR_QUEUE_DONE);
            assert_int_equal(state_of(&f, name).ready, 1);
            struct answers got = get(&f, name, true, 0);
            assert_int_equal(got.outcome, MR_QUEUE_DONE);
            assert_string_equal(got.body, name);
            assert_string_equal(got.key, name);
            assert_string_equal(got.type, "text/plain");
            assert_int_equal(got.delivery, 0);
            assert_int_equal(get(&f, name, true, 0).outcome, MR_QUEUE_EMPTY);
        }
        assert_int_equal(owners, (1u << WORKERS) - 1);
        end(&f);
    }
}

static void what_is_not_there_is_said(void **state)
{
    struct fixture f = begin(1, false);
    struct mr_queue_message m = {.exchange = SPAN("nowhere"), .key = SPAN("x")};
    assert_int_equal(publish(&f, "none", "lost"), MR_QUEUE_UNROUTED);
    assert_int_equal(ANSWERED(&f, mr_queue_publish(f.queues, &m, done, &a)).outcome, MR_QUEUE_NOT_FOUND);
    assert_int_equal(get(&f, "none", true, 0).outcome, MR_QUEUE_NOT_FOUND);
    assert_int_equal(ANSWERED(&f, mr_queue_purge(f.queues, SPAN("none"), done, &a)).outcome, MR_QUEUE_NOT_FOUND);
    assert_int_equal(ANSWERED(&f, mr_queue_delete(f.queues, SPAN("none"), done, &a)).outcome, MR_QUEUE_NOT_FOUND);
    assert_int_equal(ANSWERED(&f, mr_queue_state(f.queues, SPAN("none"), state_shown, &a)).outcome, MR_QUEUE_NOT_FOUND);
    assert_int_equal(settle(&f, 12345, MR_QUEUE_ACKNOWLEDGE), MR_QUEUE_REFUSED);
    assert_null(mr_queues_find_host(f.world->group.w[0], SPAN("none")));
    end(&f);
}

static void names_and_bodies_beyond_their_limits_are_invalid(void **state)
{
    struct fixture f = begin(1, false);
    struct answers a = {0};
    char *long_name = calloc(1, 300);
    memset(long_name, 'x', 256);
    struct mr_queue_message m = {.key = SPAN(long_name)};
    assert_int_equal(mr_queue_publish(f.queues, &m, done, &a), MR_ERROR_INVALID);
    assert_int_equal(mr_queue_declare(f.queues, SPAN(long_name), NULL, done, &a), MR_ERROR_INVALID);
    assert_int_equal(mr_queue_declare(f.queues, SPAN(""), NULL, done, &a), MR_ERROR_INVALID);
    assert_int_equal(mr_queue_get(f.queues, SPAN(long_name), true, 0, shown, &a), MR_ERROR_INVALID);
    m = (struct mr_queue_message){.key = SPAN("q"), .body = {(const uint8_t *)"", (128u << 20) + 1}};
    assert_int_equal(mr_queue_publish(f.queues, &m, done, &a), MR_ERROR_INVALID);
    service_world_turns(f.world);
    assert_int_equal(a.count, 0);
    free(long_name);
    end(&f);
}

static void a_body_in_many_pieces_is_shown_in_one(void **state)
{
    struct fixture f = begin(2, false);
    size_t n = 300000;
    char *body = malloc(n);
    for (size_t i = 0; i < n; i++)
        body[i] = (char)('a' + i % 23);
    assert_int_equal(declare(&f, "large", NULL), MR_QUEUE_DONE);
    struct mr_queue_message m = {.key = SPAN("large"), .body = {(const uint8_t *)body, n}};
    assert_int_equal(ANSWERED(&f, mr_queue_publish(f.queues, &m, done, &a)).outcome, MR_QUEUE_DONE);
    struct answers got = get(&f, "large", true, 0);
    assert_int_equal(got.body_bytes, n);
    assert_memory_equal(got.body, body, sizeof got.body - 1);
    free(body);
    end(&f);
}

static void declaring_again_is_good_and_otherwise_refused(void **state)
{
    struct fixture f = begin(2, false);
    struct mr_queue_options options = {.length_max = 5}, other = {.length_max = 6};
    assert_int_equal(declare(&f, "q", &options), MR_QUEUE_DONE);
    assert_int_equal(declare(&f, "q", &options), MR_QUEUE_DONE);
    assert_int_equal(declare(&f, "q", &other), MR_QUEUE_REFUSED);
    assert_int_equal(declare(&f, "amq.mine", NULL), MR_QUEUE_REFUSED);
    assert_int_equal(ANSWERED(&f, mr_queue_delete(f.queues, SPAN("q"), done, &a)).outcome, MR_QUEUE_DONE);
    assert_int_equal(declare(&f, "q", &other), MR_QUEUE_DONE);
    end(&f);
}

static void options_become_arguments_of_the_queue(void **state)
{
    struct fixture f = begin(1, false);
    struct mr_queue_options o = {.transient = true,
                                 .auto_delete = true,
                                 .message_ttl_ms = 5000,
                                 .expires_ms = 60000,
                                 .length_max = 7,
                                 .length_bytes_max = 1000,
                                 .priority_max = 9,
                                 .dead_letter_exchange = "",
                                 .dead_letter_key = "dead",
                                 .durability = "memory"};
    assert_int_equal(declare(&f, "q", &o), MR_QUEUE_DONE);
    const struct catalog_queue *q = catalog_queue_find(service_world_broker(f.world, 0)->catalog, 0, SPAN("q"));
    assert_false(q->durable);
    assert_true(q->auto_delete && q->arguments.dead_letter && q->arguments.dead_letter_key_given);
    assert_int_equal(q->arguments.message_ttl_ms, 5000);
    assert_int_equal(q->arguments.expires_ms, 60000);
    assert_int_equal(q->arguments.length_max, 7);
    assert_int_equal(q->arguments.length_bytes_max, 1000);
    assert_int_equal(q->arguments.priority_max, 9);
    assert_int_equal(q->arguments.dead_letter_exchange.length, 0);
    assert_memory_equal(q->arguments.dead_letter_key.data, "dead", 4);
    assert_int_equal(q->arguments.durability, QUEUE_MEMORY);
    end(&f);
}

static void a_delivery_is_settled_once_and_in_each_way(void **state)
{
    struct fixture f = begin(WORKERS, false);
    assert_int_equal(declare(&f, "q", NULL), MR_QUEUE_DONE);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(publish(&f, "q", "one"), MR_QUEUE_DONE);
    struct answers got = get(&f, "q", false, 0);
    assert_int_equal(got.ready, 2);
    assert_int_not_equal(got.delivery, 0);
    assert_int_equal(state_of(&f, "q").unacknowledged, 1);
    assert_int_equal(settle(&f, got.delivery, MR_QUEUE_ACKNOWLEDGE), MR_QUEUE_DONE);
    assert_int_equal(settle(&f, got.delivery, MR_QUEUE_ACKNOWLEDGE), MR_QUEUE_REFUSED);
    got = get(&f, "q", false, 0);
    assert_int_equal(settle(&f, got.delivery, MR_QUEUE_REQUEUE), MR_QUEUE_DONE);
    got = get(&f, "q", false, 0);
    assert_true(got.redelivered);
    assert_int_equal(settle(&f, got.delivery, MR_QUEUE_REJECT), MR_QUEUE_DONE);
    assert_int_equal(state_of(&f, "q").ready, 1);
    assert_int_equal(state_of(&f, "q").unacknowledged, 0);
    end(&f);
}

static void a_delivery_is_settled_on_another_worker_than_it_was_got(void **state)
{
    struct fixture f = begin(WORKERS, false);
    assert_int_equal(declare(&f, "q", NULL), MR_QUEUE_DONE);
    assert_int_equal(publish(&f, "q", "one"), MR_QUEUE_DONE);
    struct answers got = get(&f, "q", false, 0), a = {0};
    struct mr_queues *elsewhere = mr_queues_find(f.world->group.w[WORKERS - 1]);
    assert_int_equal(mr_queue_settle(elsewhere, 0, MR_QUEUE_ACKNOWLEDGE, NULL, NULL), MR_OK); /* nobody asks */
    assert_int_equal(mr_queue_settle(elsewhere, got.delivery, MR_QUEUE_ACKNOWLEDGE, done, &a), MR_OK);
    service_world_turns(f.world);
    assert_int_equal(a.outcome, MR_QUEUE_DONE);
    assert_int_equal(state_of(&f, "q").unacknowledged, 0);
    assert_int_equal(state_of(&f, "q").ready, 0);
    end(&f);
}

static void what_is_not_settled_in_time_is_put_back(void **state)
{
    struct fixture f = begin(2, false);
    assert_int_equal(declare(&f, "q", NULL), MR_QUEUE_DONE);
    assert_int_equal(publish(&f, "q", "one"), MR_QUEUE_DONE);
    struct answers got = get(&f, "q", false, 500);
    service_world_pass(f.world, 400 * MR_MILLISECOND);
    assert_int_equal(state_of(&f, "q").ready, 0);
    service_world_pass(f.world, 200 * MR_MILLISECOND);
    assert_int_equal(state_of(&f, "q").ready, 1);
    assert_int_equal(settle(&f, got.delivery, MR_QUEUE_ACKNOWLEDGE), MR_QUEUE_REFUSED);
    assert_true(get(&f, "q", true, 0).redelivered);
    end(&f);
}

static void a_delayed_message_is_invisible_until_it_is_due(void **state)
{
    struct fixture f = begin(2, false);
    struct mr_queue_message m = {.key = SPAN("q"), .body = SPAN("later"), .delay_ms = 1000};
    assert_int_equal(declare(&f, "q", NULL), MR_QUEUE_DONE);
    assert_int_equal(ANSWERED(&f, mr_queue_publish(f.queues, &m, done, &a)).outcome, MR_QUEUE_DONE);
    assert_int_equal(get(&f, "q", true, 0).outcome, MR_QUEUE_EMPTY);
    assert_int_equal(state_of(&f, "q").delayed, 1);
    service_world_pass(f.world, 1200 * MR_MILLISECOND);
    assert_string_equal(get(&f, "q", true, 0).body, "later");
    end(&f);
}

static void a_message_whose_time_is_over_is_gone(void **state)
{
    struct fixture f = begin(2, false);
    struct mr_queue_message m = {.key = SPAN("q"), .body = SPAN("short"), .ttl_ms = 300};
    assert_int_equal(declare(&f, "q", NULL), MR_QUEUE_DONE);
    assert_int_equal(ANSWERED(&f, mr_queue_publish(f.queues, &m, done, &a)).outcome, MR_QUEUE_DONE);
    service_world_pass(f.world, 600 * MR_MILLISECOND);
    assert_int_equal(get(&f, "q", true, 0).outcome, MR_QUEUE_EMPTY);
    end(&f);
}

static void a_full_queue_that_rejects_refuses(void **state)
{
    struct fixture f = begin(2, false);
    assert_true(service_world_say(f.world, "declare q durable=no length_max=1 overflow=reject-publish"));
    assert_int_equal(publish(&f, "q", "one"), MR_QUEUE_DONE);
    assert_int_equal(publish(&f, "q", "two"), MR_QUEUE_REFUSED);
    end(&f);
}

static void nothing_is_published_while_there_is_an_alarm(void **state)
{
    struct fixture f = begin(2, false);
    struct answers a = {0};
    struct mr_queue_message m = {.key = SPAN("q")};
    assert_int_equal(declare(&f, "q", NULL), MR_QUEUE_DONE);
    broker_alarm_set(service_world_broker(f.world, 1), BROKER_ALARM_DISK, true);
    service_world_turns(f.world);
    assert_int_equal(mr_queue_publish(f.queues, &m, done, &a), MR_ERROR_NO_MEMORY);
    broker_alarm_set(service_world_broker(f.world, 1), BROKER_ALARM_DISK, false);
    service_world_turns(f.world);
    assert_int_equal(publish(&f, "q", "one"), MR_QUEUE_DONE);
    end(&f);
}

static void a_list_shows_every_queue_once_and_then_ends(void **state)
{
    struct fixture f = begin(WORKERS, false);
    struct answers all = {0};
    char name[32];
    assert_int_equal(mr_queue_list(f.queues, state_shown, &all), MR_OK);
    service_world_turns(f.world);
    assert_int_equal(all.count, 1);
    assert_true(all.ended);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(declare(&f, name_of(i, name), NULL), MR_QUEUE_DONE);
    all = (struct answers){0};
    assert_int_equal(mr_queue_list(f.queues, state_shown, &all), MR_OK);
    assert_int_equal(all.count, 0);
    service_world_turns(f.world);
    assert_true(all.ended);
    assert_int_equal(all.name_count, 10);
    for (unsigned i = 0; i < 10; i++) {
        unsigned found = 0;
        for (unsigned k = 0; k < all.name_count; k++)
            found += !strcmp(all.names[k], name_of(i, name));
        assert_int_equal(found, 1);
    }
    end(&f);
}

static void a_consumer_has_at_most_its_prefetch_and_the_rest_comes_as_it_settles(void **state)
{
    struct fixture f = begin(WORKERS, false);
    struct answers a = {0};
    struct mr_queue_consumer *c;
    assert_int_equal(declare(&f, "q", NULL), MR_QUEUE_DONE);
    assert_int_equal(mr_queue_consume(f.queues, SPAN("q"), 2, shown, &a, &c), MR_OK);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(publish(&f, "q", "work"), MR_QUEUE_DONE);
    assert_int_equal(a.shown, 2);
    for (unsigned i = 3; i <= 5; i++) {
        assert_int_equal(settle(&f, a.delivery, MR_QUEUE_ACKNOWLEDGE), MR_QUEUE_DONE);
        assert_int_equal(a.shown, i);
    }
    assert_int_equal(state_of(&f, "q").unacknowledged, 2);
    assert_int_equal(state_of(&f, "q").consumers, 1);
    mr_queue_consumer_end(c);
    service_world_turns(f.world);
    assert_int_equal(state_of(&f, "q").ready, 2);
    assert_int_equal(state_of(&f, "q").consumers, 0);
    assert_int_equal(a.count, 5);
    end(&f);
}

static void a_consumer_is_told_that_its_queue_is_gone(void **state)
{
    struct fixture f = begin(WORKERS, false);
    struct answers told = {0};
    struct mr_queue_consumer *c;
    assert_int_equal(declare(&f, "q", NULL), MR_QUEUE_DONE);
    assert_int_equal(mr_queue_consume(f.queues, SPAN("q"), 0, shown, &told, &c), MR_OK);
    assert_int_equal(publish(&f, "q", "held"), MR_QUEUE_DONE);
    assert_int_equal(told.shown, 1);
    assert_int_equal(ANSWERED(&f, mr_queue_delete(f.queues, SPAN("q"), done, &a)).outcome, MR_QUEUE_DONE);
    assert_true(told.ended);
    assert_int_equal(told.count, 2);
    assert_int_equal(told.outcome, MR_QUEUE_NOT_FOUND);
    assert_int_equal(settle(&f, told.delivery, MR_QUEUE_ACKNOWLEDGE), MR_QUEUE_REFUSED);
    end(&f);
}

/* Its own worker knows that the queue is gone before the worker does where the queue lives, whose word to the consumer is yet to come. */
static void a_consumer_that_ends_while_its_queue_goes_is_freed_once(void **state)
{
    struct fixture f = begin(WORKERS, false);
    struct answers told = {0}, deleted = {0};
    struct mr_queue_consumer *c;
    char name[16];
    const struct catalog_queue *q;
    for (unsigned n = 0;; n++) {
        snprintf(name, sizeof name, "q%u", n);
        assert_int_equal(declare(&f, name, NULL), MR_QUEUE_DONE);
        q = catalog_queue_find(service_world_broker(f.world, 0)->catalog, 0, SPAN(name));
        if (q->owner == WORKERS - 1)
            break;
    }
    assert_int_equal(mr_queue_consume(f.queues, SPAN(name), 0, shown, &told, &c), MR_OK);
    service_world_turns(f.world);
    assert_int_equal(mr_queue_delete(f.queues, SPAN(name), done, &deleted), MR_OK);
    while (catalog_queue_find(service_world_broker(f.world, 0)->catalog, 0, SPAN(name))) {
        fake_turn(f.world->group.w[WORKERS - 1]);
        fake_turn(f.world->group.w[0]);
    }
    mr_queue_consumer_end(c);
    fake_turn(f.world->group.w[0]);
    service_world_turns(f.world);
    assert_int_equal(deleted.outcome, MR_QUEUE_DONE);
    assert_int_equal(told.count, 0);
    end(&f);
}

static void a_consumer_of_nothing_is_told_so_and_one_that_ends_at_once_is_not(void **state)
{
    struct fixture f = begin(2, false);
    struct answers a = {0};
    struct mr_queue_consumer *c;
    assert_int_equal(mr_queue_consume(f.queues, SPAN("none"), 0, shown, &a, &c), MR_OK);
    assert_int_equal(a.count, 0);
    service_world_turns(f.world);
    assert_true(a.ended);
    assert_int_equal(a.outcome, MR_QUEUE_NOT_FOUND);
    a = (struct answers){0};
    assert_int_equal(declare(&f, "q", NULL), MR_QUEUE_DONE);
    assert_int_equal(publish(&f, "q", "work"), MR_QUEUE_DONE);
    assert_int_equal(mr_queue_consume(f.queues, SPAN("q"), 0, shown, &a, &c), MR_OK);
    mr_queue_consumer_end(c);
    service_world_turns(f.world);
    assert_int_equal(a.count, 0);
    assert_int_equal(state_of(&f, "q").ready, 1);
    assert_int_equal(state_of(&f, "q").consumers, 0);
    end(&f);
}

static void a_durable_message_is_there_after_a_restart_and_a_transient_one_is_not(void **state)
{
    struct fixture f = begin(2, true);
    struct mr_queue_message m = {.key = SPAN("q"), .body = SPAN("passing"), .transient = true};
    assert_int_equal(declare(&f, "q", NULL), MR_QUEUE_DONE);
    assert_int_equal(publish(&f, "q", "kept"), MR_QUEUE_DONE);
    assert_int_equal(ANSWERED(&f, mr_queue_publish(f.queues, &m, done, &a)).outcome, MR_QUEUE_DONE);
    service_world_restart(f.world);
    f.queues = mr_queues_find(f.world->group.w[0]);
    assert_int_equal(state_of(&f, "q").ready, 1);
    struct answers got = get(&f, "q", true, 0);
    assert_string_equal(got.body, "kept");
    end(&f);
}

/* Whatever call finds no memory says so, and nothing is lost or kept. */
static void without_memory_calls_fail_and_later_they_work(void **state)
{
    struct fixture f = begin(1, false);
    struct broker *b = service_world_broker(f.world, 0);
    struct answers a = {0};
    struct mr_queue_message m = {.key = SPAN("q"), .body = SPAN("one")};
    struct mr_queue_consumer *c;
    assert_int_equal(declare(&f, "q", NULL), MR_QUEUE_DONE);
    uint64_t limit = b->memory.limit, used = b->memory.used;
    b->memory.limit = used;
    assert_int_equal(mr_queue_publish(f.queues, &m, done, &a), MR_ERROR_NO_MEMORY);
    assert_int_equal(mr_queue_declare(f.queues, SPAN("p"), NULL, done, &a), MR_ERROR_NO_MEMORY);
    assert_int_equal(mr_queue_get(f.queues, SPAN("q"), true, 0, shown, &a), MR_ERROR_NO_MEMORY);
    assert_int_equal(mr_queue_get(f.queues, SPAN("none"), true, 0, shown, &a), MR_ERROR_NO_MEMORY);
    assert_int_equal(mr_queue_purge(f.queues, SPAN("q"), done, &a), MR_ERROR_NO_MEMORY);
    assert_int_equal(mr_queue_state(f.queues, SPAN("q"), state_shown, &a), MR_ERROR_NO_MEMORY);
    assert_int_equal(mr_queue_list(f.queues, state_shown, &a), MR_ERROR_NO_MEMORY);
    assert_int_equal(mr_queue_settle(f.queues, 1, MR_QUEUE_ACKNOWLEDGE, done, &a), MR_ERROR_NO_MEMORY);
    assert_int_equal(mr_queue_consume(f.queues, SPAN("q"), 0, shown, &a, &c), MR_ERROR_NO_MEMORY);
    b->memory.limit = limit;
    service_world_turns(f.world);
    assert_int_equal(a.count, 0);
    assert_int_equal(b->memory.used, used);
    assert_int_equal(publish(&f, "q", "one"), MR_QUEUE_DONE);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_goes_in_and_comes_out_whatever_worker_owns_the_queue),
        cmocka_unit_test(what_is_not_there_is_said),
        cmocka_unit_test(names_and_bodies_beyond_their_limits_are_invalid),
        cmocka_unit_test(a_body_in_many_pieces_is_shown_in_one),
        cmocka_unit_test(declaring_again_is_good_and_otherwise_refused),
        cmocka_unit_test(options_become_arguments_of_the_queue),
        cmocka_unit_test(a_delivery_is_settled_once_and_in_each_way),
        cmocka_unit_test(a_delivery_is_settled_on_another_worker_than_it_was_got),
        cmocka_unit_test(what_is_not_settled_in_time_is_put_back),
        cmocka_unit_test(a_delayed_message_is_invisible_until_it_is_due),
        cmocka_unit_test(a_message_whose_time_is_over_is_gone),
        cmocka_unit_test(a_full_queue_that_rejects_refuses),
        cmocka_unit_test(nothing_is_published_while_there_is_an_alarm),
        cmocka_unit_test(a_list_shows_every_queue_once_and_then_ends),
        cmocka_unit_test(a_consumer_has_at_most_its_prefetch_and_the_rest_comes_as_it_settles),
        cmocka_unit_test(a_consumer_is_told_that_its_queue_is_gone),
        cmocka_unit_test(a_consumer_that_ends_while_its_queue_goes_is_freed_once),
        cmocka_unit_test(a_consumer_of_nothing_is_told_so_and_one_that_ends_at_once_is_not),
        cmocka_unit_test(a_durable_message_is_there_after_a_restart_and_a_transient_one_is_not),
        cmocka_unit_test(without_memory_calls_fail_and_later_they_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
