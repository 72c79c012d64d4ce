/* Declaring, binding, deleting and routing as RabbitMQ 3.10 does it; its error texts were taken from one that ran. */
#include "tests/support/cmocka.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "queue/amqp/table.h"
#include "queue/log/log.h"
#include "tests/support/catalog_world.h"

static int setup_of(void **state, unsigned workers)
{
    struct catalog_world *x = malloc(sizeof *x);
    assert_non_null(x);
    catalog_world_init(x);
    assert_int_equal(catalog_world_start(x, workers), MR_OK);
    *state = x;
    return 0;
}

static int setup(void **state)
{
    return setup_of(state, 3);
}

static int setup_alone(void **state)
{
    return setup_of(state, 1);
}

static int teardown(void **state)
{
    struct catalog_world *x = *state;
    catalog_world_check(x);
    catalog_world_stop(x);
    free(x);
    return 0;
}

static struct catalog_change last; /* for its text */

static enum catalog_result declare_with(struct catalog_world *x, const char *name, struct catalog_change change)
{
    change.verb = CATALOG_QUEUE_DECLARE;
    change.name = span_of(name);
    last = change;
    return catalog_world_change(x, 1 % x->workers, &last);
}

static enum catalog_result declare(struct catalog_world *x, const char *name)
{
    return declare_with(x, name, (struct catalog_change){0});
}

static enum catalog_result exchange_with(struct catalog_world *x, const char *name, enum exchange_type type,
                                         struct catalog_change change)
{
    change.verb = CATALOG_EXCHANGE_DECLARE;
    change.name = span_of(name);
    change.exchange_type = type;
    last = change;
    return catalog_world_change(x, 0, &last);
}

static enum catalog_result exchange(struct catalog_world *x, const char *name, enum exchange_type type)
{
    return exchange_with(x, name, type, (struct catalog_change){0});
}

static enum catalog_result pair(struct catalog_world *x, enum catalog_verb verb, const char *name, const char *source,
                                const char *key)
{
    last = (struct catalog_change){.verb = verb, .name = span_of(name), .source = span_of(source), .key = span_of(key)};
    return catalog_world_change(x, x->workers - 1, &last);
}

static enum catalog_result exchange_delete(struct catalog_world *x, const char *name, bool if_unused)
{
    last = (struct catalog_change){.verb = CATALOG_EXCHANGE_DELETE, .name = span_of(name), .if_unused = if_unused};
    return catalog_world_change(x, 0, &last);
}

static void queue_delete(struct catalog_world *x, const char *name)
{
    const struct catalog_queue *q = catalog_queue_find(x->b[0]->catalog, 0, span_of(name));
    assert_non_null(q);
    last = (struct catalog_change){.verb = CATALOG_QUEUE_DELETE, .name = span_of(name), .queue_id = q->id};
    assert_int_equal(catalog_world_change(x, q->owner, &last), CATALOG_OK);
}

static bool there(const struct catalog_world *x, const char *name)
{
    bool found = catalog_exchange_find(x->b[0]->catalog, 0, span_of(name)) != NULL;
    for (unsigned i = 1; i < x->workers; i++)
        assert_int_equal(found, catalog_exchange_find(x->b[i]->catalog, 0, span_of(name)) != NULL);
    return found;
}

static struct mr_span table_text(struct amqp_table_out *o, const char *name, const char *text)
{
    amqp_table_put_text(o, name, span_of(text));
    assert_false(o->failed);
    return (struct mr_span){o->data, o->used};
}

/* -- queues ----------------------------------------------------------------------------------------------------------------------------------- */

static void queue_declared_is_on_every_worker(void **state)
{
    struct catalog_world *x = *state;
    assert_int_equal(declare(x, "q"), CATALOG_OK);
    assert_true(last.created);
    for (unsigned i = 0; i < x->workers; i++) {
        const struct catalog_queue *q = catalog_queue_find(x->b[i]->catalog, 0, span_of("q"));
        assert_non_null(q);
        assert_int_equal(q->id, last.queue_id);
        assert_ptr_equal(catalog_queue_by_id(x->b[i]->catalog, q->id), q);
        assert_int_equal(x->added[i], q->owner == i);
        assert_string_equal(catalog_world_route(x, i, "", "q"), "q");
        assert_string_equal(catalog_world_route(x, i, "", "p"), "");
    }
    assert_null(catalog_queue_find(x->b[0]->catalog, 1, span_of("q"))); /* another virtual host */
    uint64_t id = last.queue_id;
    assert_int_equal(declare(x, "q"), CATALOG_OK);
    assert_false(last.created);
    assert_int_equal(last.queue_id, id);
    queue_delete(x, "q");
    assert_null(catalog_queue_find(x->b[0]->catalog, 0, span_of("q")));
    assert_int_equal(declare(x, "q"), CATALOG_OK);
    assert_true(last.created && last.queue_id != id);
}

static void queue_declared_otherwise_is_refused(void **state)
{
    struct catalog_world *x = *state;
    uint8_t bytes[64];
    struct amqp_table_out o = {bytes, sizeof bytes, 0, false};
    declare(x, "q");
    assert_int_equal(declare_with(x, "q", (struct catalog_change){.durable = true}), CATALOG_PRECONDITION_FAILED);
    assert_string_equal(last.text, "inequivalent arg 'durable' for queue 'q' in vhost '/': received 'true' but current "
                                   "is 'false'");
    assert_int_equal(declare_with(x, "q", (struct catalog_change){.auto_delete = true}), CATALOG_PRECONDITION_FAILED);
    assert_string_equal(last.text, "inequivalent arg 'auto_delete' for queue 'q' in vhost '/': received 'true' but "
                                   "current is 'false'");
    struct mr_span table = table_text(&o, "x-overflow", "drop-head");
    assert_int_equal(declare_with(x, "q", (struct catalog_change){.arguments = table}), CATALOG_PRECONDITION_FAILED);
    assert_string_equal(last.text, "inequivalent arg 'x-overflow' for queue 'q' in vhost '/': received the value "
                                   "'drop-head' of type 'longstr' but current is none");
    assert_int_equal(declare(x, "amq.mine"), CATALOG_ACCESS_REFUSED);
    assert_string_equal(last.text, "queue name 'amq.mine' contains reserved prefix 'amq.*'");
}

static void exclusive_queue_is_its_connections_alone(void **state)
{
    struct catalog_world *x = *state;
    const struct catalog_change mine = {.exclusive = true, .connection = 7};
    assert_int_equal(declare_with(x, "q", mine), CATALOG_OK);
    assert_int_equal(catalog_queue_find(x->b[0]->catalog, 0, span_of("q"))->owner, 1 % x->workers);
    assert_int_equal(declare_with(x, "q", mine), CATALOG_OK);
    assert_int_equal(declare_with(x, "q", (struct catalog_change){.exclusive = true, .connection = 7, .durable = true}),
                     CATALOG_OK); /* never durable, whatever is said */
    assert_int_equal(declare_with(x, "q", (struct catalog_change){.exclusive = true, .connection = 8}),
                     CATALOG_RESOURCE_LOCKED);
    assert_string_equal(last.text, "cannot obtain exclusive access to locked queue 'q' in vhost '/'. It could be "
                                   "originally declared on another connection or the exclusive property value does not "
                                   "match that of the original declaration.");
    assert_int_equal(declare_with(x, "q", (struct catalog_change){.connection = 7}), CATALOG_RESOURCE_LOCKED);
    assert_int_equal(pair(x, CATALOG_BIND, "q", "amq.direct", "k"), CATALOG_RESOURCE_LOCKED);
    assert_int_equal(pair(x, CATALOG_UNBIND, "q", "amq.direct", "k"), CATALOG_OK); /* not bound: as wanted */
    last = (struct catalog_change){.verb = CATALOG_BIND,
                                   .name = span_of("q"),
                                   .source = span_of("amq.direct"),
                                   .key = span_of("k"),
                                   .connection = 7};
    assert_int_equal(catalog_world_change(x, 0, &last), CATALOG_OK);
    assert_int_equal(pair(x, CATALOG_UNBIND, "q", "amq.direct", "k"), CATALOG_RESOURCE_LOCKED);
    assert_string_equal(catalog_world_route(x, 0, "amq.direct", "k"), "q");
    declare(x, "p");
    assert_int_equal(declare_with(x, "p", mine), CATALOG_RESOURCE_LOCKED);
}

/* Who may not make it so may say so of what is there, and of nothing else: it may have gone since the asker looked. */
static void declared_without_the_right_to_make_it_is_not_made(void **state)
{
    struct catalog_world *x = *state;
    const struct catalog_change found = {.no_create = true};
    assert_int_equal(declare_with(x, "q", found), CATALOG_ACCESS_REFUSED);
    assert_null(catalog_queue_find(x->b[0]->catalog, 0, span_of("q")));
    assert_int_equal(exchange_with(x, "x", EXCHANGE_DIRECT, found), CATALOG_ACCESS_REFUSED);
    assert_string_equal(last.text, "access to exchange 'x' in vhost '/' refused");
    assert_false(there(x, "x"));
    declare(x, "q");
    exchange(x, "x", EXCHANGE_DIRECT);
    assert_int_equal(declare_with(x, "q", found), CATALOG_OK);
    assert_int_equal(exchange_with(x, "x", EXCHANGE_DIRECT, found), CATALOG_OK);
}

/* -- exchanges -------------------------------------------------------------------------------------------------------------------------------- */

static void exchange_declared_otherwise_is_refused(void **state)
{
    struct catalog_world *x = *state;
    uint8_t bytes[64];
    struct amqp_table_out o = {bytes, sizeof bytes, 0, false};
    struct mr_span table = table_text(&o, "alternate-exchange", "a");
    static const struct {
        enum exchange_type type;
        struct catalog_change change;
        const char *text;
    } refused[] = {
        {EXCHANGE_FANOUT,
         {.durable = false},
         "'type' for exchange 'x' in vhost '/': received 'fanout' but current is 'direct'"},
        {EXCHANGE_DIRECT,
         {.durable = true},
         "'durable' for exchange 'x' in vhost '/': received 'true' but current is 'false'"},
        {EXCHANGE_DIRECT,
         {.auto_delete = true},
         "'auto_delete' for exchange 'x' in vhost '/': received 'true' but current is 'false'"},
        {EXCHANGE_DIRECT,
         {.internal = true},
         "'internal' for exchange 'x' in vhost '/': received 'true' but current is 'false'"},
    };
    assert_int_equal(exchange(x, "x", EXCHANGE_DIRECT), CATALOG_OK);
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        assert_int_equal(exchange_with(x, "x", refused[i].type, refused[i].change), CATALOG_PRECONDITION_FAILED);
        assert_memory_equal(last.text, "inequivalent arg ", 17);
        assert_string_equal(last.text + 17, refused[i].text);
    }
    assert_int_equal(exchange_with(x, "x", EXCHANGE_DIRECT, (struct catalog_change){.arguments = table}),
                     CATALOG_PRECONDITION_FAILED);
    assert_string_equal(last.text, "inequivalent arg 'alternate-exchange' for exchange 'x' in vhost '/': received the "
                                   "value 'a' of type 'longstr' but current is none");
}

static void names_of_the_broker_are_refused(void **state)
{
    struct catalog_world *x = *state;
    assert_int_equal(exchange(x, "amq.foo", EXCHANGE_DIRECT), CATALOG_ACCESS_REFUSED);
    assert_string_equal(last.text, "exchange name 'amq.foo' contains reserved prefix 'amq.*'");
    assert_int_equal(exchange_with(x, "amq.direct", EXCHANGE_DIRECT, (struct catalog_change){.durable = true}),
                     CATALOG_OK);
    assert_int_equal(exchange(x, "amq.direct", EXCHANGE_DIRECT), CATALOG_PRECONDITION_FAILED);
    assert_int_equal(exchange(x, "", EXCHANGE_DIRECT), CATALOG_ACCESS_REFUSED);
    assert_string_equal(last.text, "operation not permitted on the default exchange");
    assert_int_equal(exchange_delete(x, "amq.direct", false), CATALOG_ACCESS_REFUSED);
    assert_string_equal(last.text, "deletion of system exchange 'amq.direct' in vhost '/' not allowed");
    assert_int_equal(exchange_delete(x, "", false), CATALOG_ACCESS_REFUSED);
    assert_int_equal(exchange_delete(x, "none", false), CATALOG_OK);
    declare(x, "q");
    assert_int_equal(pair(x, CATALOG_BIND, "q", "", ""), CATALOG_ACCESS_REFUSED);
    assert_int_equal(pair(x, CATALOG_UNBIND, "q", "", ""), CATALOG_ACCESS_REFUSED);
    assert_int_equal(pair(x, CATALOG_EXCHANGE_BIND, "", "amq.direct", ""), CATALOG_ACCESS_REFUSED);
}

static void binding_what_is_not_there_is_refused(void **state)
{
    struct catalog_world *x = *state;
    declare(x, "q");
    assert_int_equal(pair(x, CATALOG_BIND, "none", "amq.direct", ""), CATALOG_NOT_FOUND);
    assert_string_equal(last.text, "no queue 'none' in vhost '/'");
    assert_int_equal(pair(x, CATALOG_BIND, "none", "nox", ""), CATALOG_NOT_FOUND);
    assert_string_equal(last.text, "no exchange 'nox' in vhost '/'");
    assert_int_equal(pair(x, CATALOG_EXCHANGE_BIND, "nod", "nos", ""), CATALOG_NOT_FOUND);
    assert_string_equal(last.text, "no exchange 'nos' in vhost '/'");
    assert_int_equal(pair(x, CATALOG_EXCHANGE_BIND, "nod", "amq.direct", ""), CATALOG_NOT_FOUND);
    assert_string_equal(last.text, "no exchange 'nod' in vhost '/'");
    assert_int_equal(pair(x, CATALOG_UNBIND, "none", "nox", ""), CATALOG_OK);
    assert_int_equal(pair(x, CATALOG_EXCHANGE_UNBIND, "none", "nox", ""), CATALOG_OK);
}

static void auto_delete_exchange_goes_with_its_last_binding(void **state)
{
    struct catalog_world *x = *state;
    const struct catalog_change automatic = {.auto_delete = true};
    declare(x, "q");
    exchange_with(x, "a", EXCHANGE_FANOUT, automatic);
    pair(x, CATALOG_BIND, "q", "a", "");
    pair(x, CATALOG_BIND, "q", "a", "k");
    assert_int_equal(exchange_delete(x, "a", true), CATALOG_PRECONDITION_FAILED);
    assert_string_equal(last.text, "exchange 'a' in vhost '/' in use");
    pair(x, CATALOG_UNBIND, "q", "a", "");
    assert_true(there(x, "a"));
    pair(x, CATALOG_UNBIND, "q", "a", "k");
    assert_false(there(x, "a"));
    /* a -> b -> q, all of them automatic: the queue takes both along */
    exchange_with(x, "a", EXCHANGE_FANOUT, automatic);
    exchange_with(x, "b", EXCHANGE_FANOUT, automatic);
    pair(x, CATALOG_EXCHANGE_BIND, "b", "a", "");
    pair(x, CATALOG_BIND, "q", "b", "");
    queue_delete(x, "q");
    assert_false(there(x, "a") || there(x, "b"));
    /* To be bound to does not count. */
    exchange_with(x, "a", EXCHANGE_FANOUT, automatic);
    exchange(x, "s", EXCHANGE_FANOUT);
    pair(x, CATALOG_EXCHANGE_BIND, "a", "s", "");
    assert_int_equal(exchange_delete(x, "a", true), CATALOG_OK);
    exchange_with(x, "a", EXCHANGE_FANOUT, automatic);
    pair(x, CATALOG_EXCHANGE_BIND, "a", "s", "");
    assert_int_equal(exchange_delete(x, "s", false), CATALOG_OK);
    assert_true(there(x, "a"));
}

static void limits_are_resource_errors(void **state)
{
    struct catalog_world *x = *state;
    char name[16];
    for (unsigned i = 0; i < 1000; i++) {
        snprintf(name, sizeof name, "q%u", i);
        assert_int_equal(declare(x, name), CATALOG_OK);
    }
    assert_int_equal(declare(x, "one more"), CATALOG_NO_MEMORY);
    assert_int_equal(declare(x, "q7"), CATALOG_OK);
    queue_delete(x, "q7");
    assert_int_equal(declare(x, "one more"), CATALOG_OK);
}

/* What does not fit on worker 0 changes nothing anywhere. */
static void memory_that_runs_out_leaves_all_replicas_alike(void **state)
{
    struct catalog_world *x = *state;
    static uint8_t bytes[50000];
    struct amqp_table_out o = {bytes, sizeof bytes, 0, false};
    static char large[49000];
    memset(large, 'a', sizeof large - 1);
    struct mr_span table = table_text(&o, "x-note", large);
    unsigned taken = 0;
    char name[16];
    for (enum catalog_result result = CATALOG_OK; result == CATALOG_OK; taken++) {
        assert_true(taken < 1000);
        snprintf(name, sizeof name, "q%u", taken);
        result = declare_with(x, name, (struct catalog_change){.arguments = table});
    }
    assert_int_equal(last.result, CATALOG_NO_MEMORY);
    assert_false(last.created);
    assert_true(taken > 50);
    catalog_world_check(x);
    queue_delete(x, "q3");
    assert_int_equal(declare_with(x, "q3", (struct catalog_change){.arguments = table}), CATALOG_OK);
}

/* -- routing ---------------------------------------------------------------------------------------------------------------------------------- */

static void message_reaches_each_queue_once(void **state)
{
    struct catalog_world *x = *state;
    declare(x, "q");
    declare(x, "p");
    pair(x, CATALOG_BIND, "q", "amq.direct", "k");
    pair(x, CATALOG_BIND, "p", "amq.direct", "k");
    pair(x, CATALOG_BIND, "q", "amq.direct", "l");
    assert_string_equal(catalog_world_route(x, 0, "amq.direct", "k"), "p,q");
    assert_string_equal(catalog_world_route(x, 0, "amq.direct", "l"), "q");
    assert_string_equal(catalog_world_route(x, 0, "amq.direct", "m"), "");
    pair(x, CATALOG_BIND, "q", "amq.topic", "#");
    pair(x, CATALOG_BIND, "q", "amq.topic", "*.b");
    pair(x, CATALOG_BIND, "p", "amq.topic", "a.#.b");
    assert_string_equal(catalog_world_route(x, 0, "amq.topic", "a.b"), "p,q");
    assert_string_equal(catalog_world_route(x, 0, "amq.topic", ""), "q");
    assert_string_equal(catalog_world_route(x, 0, "amq.topic", "a.b.c"), "q");
    const struct mr_span keys[] = {span_of("k"), span_of("l"), span_of("p")};
    const struct catalog_queue *const *queues;
    const struct catalog_exchange *direct = catalog_exchange_find(x->b[0]->catalog, 0, span_of("amq.direct"));
    assert_int_equal(catalog_route(x->b[0]->catalog, direct, keys, 3, (struct mr_span){NULL, 0}, &queues), 2);
}

static void cycle_of_exchanges_ends(void **state)
{
    struct catalog_world *x = *state;
    declare(x, "q");
    exchange(x, "a", EXCHANGE_FANOUT);
    exchange(x, "b", EXCHANGE_TOPIC);
    pair(x, CATALOG_EXCHANGE_BIND, "b", "a", "");
    pair(x, CATALOG_EXCHANGE_BIND, "a", "b", "#");
    pair(x, CATALOG_EXCHANGE_BIND, "a", "a", "");
    pair(x, CATALOG_BIND, "q", "b", "x.*");
    assert_string_equal(catalog_world_route(x, 0, "a", "x.y"), "q");
    assert_string_equal(catalog_world_route(x, 0, "b", "x.y"), "q");
    assert_string_equal(catalog_world_route(x, 0, "a", "y.y"), "");
}

static void alternate_takes_what_nobody_wanted(void **state)
{
    struct catalog_world *x = *state;
    uint8_t bytes[64];
    struct amqp_table_out o = {bytes, sizeof bytes, 0, false};
    struct mr_span table = table_text(&o, "alternate-exchange", "other");
    declare(x, "q");
    declare(x, "p");
    exchange_with(x, "x", EXCHANGE_DIRECT, (struct catalog_change){.arguments = table});
    pair(x, CATALOG_BIND, "q", "x", "k");
    assert_string_equal(catalog_world_route(x, 0, "x", "l"), ""); /* it need not be there */
    exchange(x, "other", EXCHANGE_FANOUT);
    pair(x, CATALOG_BIND, "p", "other", "");
    assert_string_equal(catalog_world_route(x, 0, "x", "k"), "q");
    assert_string_equal(catalog_world_route(x, 0, "x", "l"), "p");
}

/* -- the log ---------------------------------------------------------------------------------------------------------------------------------- */

static int entry_remove(const char *path, const struct stat *s, int kind, struct FTW *at)
{
    (void)s;
    (void)kind;
    (void)at;
    return remove(path);
}

static void durable_things_come_back_and_no_others(void **state)
{
    struct catalog_world x;
    char folder[] = "/tmp/queue-catalog-XXXXXX";
    (void)state;
    assert_non_null(mkdtemp(folder));
    catalog_world_init(&x);
    x.config.folder = folder;
    assert_int_equal(catalog_world_start(&x, 2), MR_OK);
    const struct catalog_change durable = {.durable = true};
    declare_with(&x, "q", durable);
    uint64_t id = last.queue_id;
    declare(&x, "transient");
    declare_with(&x, "gone", durable);
    queue_delete(&x, "gone");
    exchange_with(&x, "x", EXCHANGE_TOPIC, durable);
    exchange(&x, "y", EXCHANGE_TOPIC);
    pair(&x, CATALOG_BIND, "q", "x", "a.#");
    pair(&x, CATALOG_BIND, "q", "y", "a.#");
    pair(&x, CATALOG_BIND, "transient", "x", "a.#");
    uint64_t most = catalog_queue_find(x.b[0]->catalog, 0, span_of("transient"))->id;
    char *before = catalog_world_text(x.b[0]->catalog, true);
    catalog_world_check(&x);
    catalog_world_stop(&x);

    assert_int_equal(catalog_world_start(&x, 3), MR_OK);
    char *after = catalog_world_text(x.b[2]->catalog, true);
    assert_string_equal(before, after);
    assert_int_equal(catalog_queue_find(x.b[1]->catalog, 0, span_of("q"))->id, id);
    assert_null(catalog_queue_find(x.b[1]->catalog, 0, span_of("transient")));
    assert_null(catalog_queue_find(x.b[1]->catalog, 0, span_of("gone")));
    assert_false(there(&x, "y"));
    assert_string_equal(catalog_world_route(&x, 2, "x", "a.b"), "q");
    assert_int_equal(x.added[0] + x.added[1] + x.added[2], 1);
    declare(&x, "new");
    assert_true(last.queue_id > most);
    catalog_world_check(&x);
    catalog_world_stop(&x);

    x.config.vhost_count = 1; /* "other" has nothing durable: it may go; "/" may not */
    assert_int_equal(catalog_world_start(&x, 1), MR_OK);
    catalog_world_stop(&x);
    x.config.vhosts = x.vhosts + 1;
    assert_int_equal(catalog_world_start(&x, 1), MR_ERROR_INVALID);
    free(before);
    free(after);
    nftw(folder, entry_remove, 8, FTW_DEPTH | FTW_PHYS);
}

static void answered(struct catalog_change *change)
{
    *(bool *)change->context = true;
}

/* Not answered before the disk has it, though every worker knows it already; what is not durable does not wait. */
static void durable_change_is_answered_when_it_is_synced(void **state)
{
    struct catalog_world x;
    char folder[] = "/tmp/queue-catalog-XXXXXX";
    (void)state;
    assert_non_null(mkdtemp(folder));
    catalog_world_init(&x);
    x.config.folder = folder;
    assert_int_equal(catalog_world_start(&x, 2), MR_OK);
    fake_offload_refuse(x.w[0], true); /* no job writes */
    struct catalog_change durable = {
        .verb = CATALOG_QUEUE_DECLARE, .name = span_of("q"), .durable = true, .result = CATALOG_NOT_FOUND};
    struct catalog_change again = durable;
    bool done = false, done_again = false;
    durable.done = again.done = answered;
    durable.context = &done;
    again.context = &done_again;
    catalog_change(x.b[1], &durable);
    catalog_change(x.b[0], &again);
    for (unsigned i = 0; i < 10; i++) {
        fake_turn(x.w[0]);
        fake_turn(x.w[1]);
    }
    assert_non_null(catalog_queue_find(x.b[1]->catalog, 0, span_of("q")));
    assert_false(done || done_again);
    struct catalog_change transient = {.verb = CATALOG_QUEUE_DECLARE, .name = span_of("t")};
    bool done_transient = false;
    transient.done = answered;
    transient.context = &done_transient;
    catalog_change(x.b[1], &transient);
    for (unsigned i = 0; i < 10; i++) {
        fake_turn(x.w[0]);
        fake_turn(x.w[1]);
    }
    assert_true(done_transient);
    assert_false(done || done_again);
    fake_offload_refuse(x.w[0], false);
    fake_pass(x.w[0], MR_SECOND);
    catalog_world_settle(&x);
    assert_true(done && done_again);
    assert_true(durable.created != again.created); /* worker 0 has seen one of them first */
    catalog_world_check(&x);
    catalog_world_stop(&x);
    nftw(folder, entry_remove, 8, FTW_DEPTH | FTW_PHYS);
}

/* Mostly dead: rewritten at the next start, and the same afterwards. */
static void dead_log_is_rewritten_at_start(void **state)
{
    struct catalog_world x;
    char folder[] = "/tmp/queue-catalog-XXXXXX";
    (void)state;
    assert_non_null(mkdtemp(folder));
    catalog_world_init(&x);
    x.config.folder = folder;
    x.config.segment_bytes = 16 << 10;
    assert_int_equal(catalog_world_start(&x, 2), MR_OK);
    declare_with(&x, "q", (struct catalog_change){.durable = true});
    exchange_with(&x, "x", EXCHANGE_HEADERS, (struct catalog_change){.durable = true});
    for (unsigned i = 0; i < 1500; i++) {
        pair(&x, CATALOG_BIND, "q", "x", "k");
        if (i < 1499)
            pair(&x, CATALOG_UNBIND, "q", "x", "k");
    }
    char *before = catalog_world_text(x.b[0]->catalog, true);
    uint64_t next = qlog_next(x.b[0]->catalog->log);
    assert_true(next > 3000);
    catalog_world_stop(&x);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(catalog_world_start(&x, 2), MR_OK);
        char *after = catalog_world_text(x.b[1]->catalog, true);
        assert_string_equal(before, after);
        free(after);
        assert_true(qlog_begin(x.b[0]->catalog->log) > 2500); /* whole segments went */
        catalog_world_check(&x);
        catalog_world_stop(&x);
    }
    free(before);
    nftw(folder, entry_remove, 8, FTW_DEPTH | FTW_PHYS);
}

#define ON(test)       cmocka_unit_test_setup_teardown(test, setup, teardown)
#define ON_ALONE(test) cmocka_unit_test_setup_teardown(test, setup_alone, teardown)

/* -- headers ---------------------------------------------------------------------------------------------------------------------------------- */

/* Entries "0" ... of `count` numbers from `first` on, each with itself as value. */
static struct mr_span table_numbers(struct amqp_table_out *o, unsigned first, unsigned count)
{
    for (unsigned i = first; i < first + count; i++) {
        char name[12];
        snprintf(name, sizeof name, "%u", i);
        amqp_table_put_integer(o, name, i);
    }
    assert_false(o->failed);
    return (struct mr_span){o->data, o->used};
}

static unsigned headers_reach(struct catalog_world *x, struct mr_span headers)
{
    const struct catalog_queue *const *queues;
    struct catalog *c = x->b[0]->catalog;
    struct mr_span key = span_of("");
    return catalog_route(c, catalog_exchange_find(c, 0, span_of("amq.headers")), &key, 1, headers, &queues);
}

/* Many headers are found by an index: each of them, no other, and of two with one name the first. Thousands against thousands that have nothing in
 * common, a hundred times, would be four billion steps without it. */
static void many_headers_are_found_as_few_are(void **state)
{
    struct catalog_world *x = *state;
    static uint8_t bytes[60000], wanted[60000];
    struct amqp_table_out o = {bytes, sizeof bytes, 0, false}, w = {wanted, sizeof wanted, 0, false};
    struct mr_span headers;
    declare(x, "q");
    table_text(&w, "x-match", "any");
    last = (struct catalog_change){.verb = CATALOG_BIND,
                                   .name = span_of("q"),
                                   .source = span_of("amq.headers"),
                                   .arguments = table_numbers(&w, 5000, 2500)};
    assert_int_equal(catalog_world_change(x, 0, &last), CATALOG_OK);
    headers = table_numbers(&o, 1000, 2500);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(headers_reach(x, headers), 0);
    size_t used = o.used;
    assert_int_equal(headers_reach(x, table_numbers(&o, 6000, 1)), 1); /* the last of them */
    o.used = used;
    amqp_table_put_integer(&o, "6000", 1); /* another value */
    assert_int_equal(headers_reach(x, table_numbers(&o, 6000, 1)), 0);
    o.used = 0;
    assert_int_equal(headers_reach(x, table_numbers(&o, 7499, 100)), 1); /* the first of them */
    o.used = 0;
    assert_int_equal(headers_reach(x, table_numbers(&o, 7499, 1)), 1); /* too few for an index */
    assert_int_equal(headers_reach(x, (struct mr_span){NULL, 0}), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON(queue_declared_is_on_every_worker),
        ON_ALONE(queue_declared_is_on_every_worker),
        ON(queue_declared_otherwise_is_refused),
        ON(exclusive_queue_is_its_connections_alone),
        ON(many_headers_are_found_as_few_are),
        ON(declared_without_the_right_to_make_it_is_not_made),
        ON_ALONE(exclusive_queue_is_its_connections_alone),
        ON(exchange_declared_otherwise_is_refused),
        ON(names_of_the_broker_are_refused),
        ON(binding_what_is_not_there_is_refused),
        ON(auto_delete_exchange_goes_with_its_last_binding),
        ON(limits_are_resource_errors),
        ON(memory_that_runs_out_leaves_all_replicas_alike),
        ON(message_reaches_each_queue_once),
        ON(cycle_of_exchanges_ends),
        ON(alternate_takes_what_nobody_wanted),
        cmocka_unit_test(durable_things_come_back_and_no_others),
        cmocka_unit_test(durable_change_is_answered_when_it_is_synced),
        cmocka_unit_test(dead_log_is_rewritten_at_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
