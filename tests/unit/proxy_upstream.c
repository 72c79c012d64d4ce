/* Connections to backends: pool, queue, retries, ejection, slow start, over a fake stack. */
#include "tests/support/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/upstream/table.h"
#include "tests/support/proxy_words.h"

#define APP   "add upstream app\n"
#define B1    "add backend app 10.0.0.1:80 name b1\n"
#define B2    "add backend app 10.0.0.2:80 name b2\n"
#define B3    "add backend app 10.0.0.3:80 name b3\n"
#define FRONT "add listener front :8080 upstream app\n"

static struct proxy_words world;

/* Who asks: a session as far as upstreams know. */
struct asker {
    struct upstream_request q;
    struct proxy_plan *plan;
    unsigned ready, failed, closed, data;
    enum upstream_failure why;
    enum mr_close_reason reason;
    bool inside; /* a call of ours is under way: no event may come */
};

static struct asker *asker_of(struct upstream_request *q)
{
    return q->context;
}

static void on_ready(struct upstream_request *q)
{
    assert_false(asker_of(q)->inside);
    assert_non_null(q->connection);
    assert_non_null(q->backend);
    asker_of(q)->ready++;
}

static void on_failed(struct upstream_request *q, enum upstream_failure why)
{
    assert_false(asker_of(q)->inside);
    assert_null(q->connection);
    asker_of(q)->failed++;
    asker_of(q)->why = why;
}

static void on_data(struct upstream_request *q)
{
    asker_of(q)->data++;
}

static void on_close(struct upstream_request *q, enum mr_close_reason reason)
{
    assert_null(q->connection);
    asker_of(q)->closed++;
    asker_of(q)->reason = reason;
}

static const struct upstream_user user = {on_data, on_data, on_close};

static void asker_begin(struct asker *a)
{
    memset(a, 0, sizeof *a);
    a->plan = plan_hold(world.p);
    a->q = (struct upstream_request){.proxy = world.p,
                                     .upstream = &a->plan->upstreams[0],
                                     .user = &user,
                                     .ready = on_ready,
                                     .failed = on_failed,
                                     .context = a,
                                     .client = {mr_address_ip4(0xc6120005), 4000},
                                     .local = {mr_address_ip4(0xc6120001), 8080}};
}

static enum upstream_answer ask_again(struct asker *a)
{
    a->inside = true;
    enum upstream_answer answer = upstream_ask(&a->q);
    a->inside = false;
    return answer;
}

static enum upstream_answer ask(struct asker *a)
{
    asker_begin(a);
    return ask_again(a);
}

static bool retry(struct asker *a, enum upstream_answer *answer)
{
    a->inside = true;
    bool good = upstream_retry(&a->q, answer);
    a->inside = false;
    return good;
}

static void done(struct asker *a)
{
    plan_release(world.p, a->plan);
    a->plan = NULL;
}

static void give(struct asker *a)
{
    a->inside = true;
    upstream_give(&a->q);
    a->inside = false;
    done(a);
}

static void drop(struct asker *a, bool abort)
{
    a->inside = true;
    upstream_drop(&a->q, abort);
    a->inside = false;
    done(a);
}

static void turn(void)
{
    service_group_turns(&world.group, 2);
}

static struct mr_stream *last_connect(void)
{
    return fake_connected(world.w, fake_connect_count(world.w) - 1);
}

/* Asks, and has its connection accepted. */
static struct mr_stream *open_one(struct asker *a)
{
    assert_int_equal(ask(a), UPSTREAM_PENDING);
    fake_connect_accept(last_connect());
    assert_int_equal(a->ready, 1);
    return last_connect();
}

static struct upstream_backend *backend(const char *name)
{
    return &world.p->backends[proxy_words_backend(&world, "app", name)->slot];
}

static uint64_t counter(enum proxy_counter c)
{
    return world.group.counters[0][c];
}

static void start(const char *lines)
{
    proxy_words_start(&world, 1, lines);
}

/* Nothing is under way or counted at the end. */
static void end(void)
{
    proxy_words_stop(&world, 0);
    assert_int_equal(counter(PROXY_UPSTREAM_CONNECTIONS), 0);
    assert_int_equal(counter(PROXY_UPSTREAM_IDLE), 0);
}

/* -- the pool -------------------------------------------------------------------------------------------------------------- */

static void given_back_is_taken_again_without_a_connect(void **state)
{
    struct asker a;
    start(APP B1 FRONT);
    struct mr_stream *s = open_one(&a);
    assert_false(a.q.reused);
    assert_int_equal(backend("b1")->active, 1);
    give(&a);
    assert_int_equal(backend("b1")->active, 0);
    assert_int_equal(backend("b1")->idle, 1);
    assert_int_equal(ask(&a), UPSTREAM_READY);
    assert_ptr_equal(a.q.connection->stream, s);
    assert_true(a.q.reused && a.q.connection->reused);
    assert_int_equal(counter(PROXY_REUSED), 1);
    assert_int_equal(fake_connect_count(world.w), 1);
    give(&a);
    end();
}

static void the_last_used_is_taken_first_and_the_oldest_closed_first(void **state)
{
    struct asker a, b;
    start(APP "set upstream app idle_timeout 10s\n" B1 FRONT);
    struct mr_stream *first = open_one(&a), *second = open_one(&b);
    give(&a);
    proxy_words_pass(&world, 5 * MR_SECOND);
    give(&b);
    assert_int_equal(ask(&a), UPSTREAM_READY);
    assert_ptr_equal(a.q.connection->stream, second);
    give(&a);
    proxy_words_pass(&world, 6 * MR_SECOND);
    assert_true(fake_closed(first));
    assert_false(fake_closed(second));
    proxy_words_pass(&world, 5 * MR_SECOND);
    assert_true(fake_closed(second));
    assert_int_equal(backend("b1")->open, 0);
    end();
}

static void no_more_than_idle_max_are_kept(void **state)
{
    struct asker a, b;
    start(APP "set upstream app idle_max 1\n" B1 FRONT);
    open_one(&a);
    struct mr_stream *second = open_one(&b);
    give(&a);
    give(&b);
    turn();
    assert_true(fake_closed(second));
    assert_int_equal(backend("b1")->idle, 1);
    assert_int_equal(backend("b1")->open, 1);
    end();
}

static void a_connection_ends_by_age_and_by_requests(void **state)
{
    struct asker a;
    start(APP "set upstream app age_max 10s requests_max 2 idle_timeout 1h\n" B1 FRONT);
    struct mr_stream *s = open_one(&a);
    give(&a);
    assert_int_equal(ask(&a), UPSTREAM_READY);
    give(&a); /* its second request was its last */
    turn();
    assert_true(fake_closed(s));
    s = open_one(&a);
    give(&a);
    proxy_words_pass(&world, 11 * MR_SECOND);
    assert_false(fake_closed(s));
    assert_int_equal(ask(&a), UPSTREAM_PENDING); /* too old: a new one is opened */
    assert_ptr_not_equal(last_connect(), s);
    upstream_cancel(&a.q);
    done(&a);
    turn();
    assert_true(fake_closed(s));
    end();
}

static void an_idle_one_is_closed_by_what_its_peer_says(void **state)
{
    struct asker a;
    start(APP B1 FRONT);
    struct mr_stream *s = open_one(&a);
    give(&a);
    fake_input(s, "HTTP/1.1 408 Request Timeout\r\n\r\n", 32);
    turn();
    assert_true(fake_closed(s));
    s = open_one(&a);
    give(&a);
    fake_end(s);
    turn();
    assert_true(fake_closed(s));
    s = open_one(&a);
    give(&a);
    fake_reset(s);
    assert_int_equal(backend("b1")->idle, 0);
    assert_int_equal(backend("b1")->open, 0);
    end();
}

static void what_has_unread_input_is_not_kept(void **state)
{
    struct asker a;
    start(APP B1 FRONT);
    struct mr_stream *s = open_one(&a);
    fake_input(s, "x", 1);
    assert_int_equal(a.data, 1);
    give(&a);
    turn();
    assert_true(fake_closed(s));
    end();
}

static void one_that_must_be_fresh_takes_no_idle_one(void **state)
{
    struct asker a;
    start(APP "set upstream app connections_max 1\n" B1 FRONT);
    struct mr_stream *s = open_one(&a);
    give(&a);
    asker_begin(&a);
    a.q.fresh = true;
    assert_int_equal(ask_again(&a), UPSTREAM_PENDING); /* the idle one makes way: the bound is one */
    assert_int_equal(fake_connect_count(world.w), 2);
    assert_int_equal(backend("b1")->open, 1);
    fake_connect_accept(last_connect());
    drop(&a, false);
    turn();
    assert_true(fake_closed(s));
    end();
}

static void a_full_table_closes_an_idle_one_of_another_backend(void **state)
{
    struct asker a[8], late;
    start(APP "add upstream other\nadd backend other 10.0.0.9:80 name o1\n" B1 FRONT);
    for (unsigned i = 0; i < 8; i++)
        open_one(&a[i]);
    give(&a[0]);
    asker_begin(&late);
    late.q.upstream = &late.plan->upstreams[1];
    assert_int_equal(ask_again(&late), UPSTREAM_PENDING);
    assert_int_equal(fake_connect_count(world.w), 8);
    turn();
    turn();
    assert_int_equal(fake_connect_count(world.w), 9);
    fake_connect_accept(last_connect());
    assert_int_equal(late.ready, 1);
    drop(&late, true);
    for (unsigned i = 1; i < 8; i++)
        drop(&a[i], true);
    turn();
    end();
}

static void a_proxy_header_goes_first_and_its_connection_is_not_shared(void **state)
{
    struct asker a;
    start(APP "set upstream app proxy_protocol v1\n" B1 FRONT);
    struct mr_stream *s = open_one(&a);
    assert_string_equal(fake_output(s, NULL), "PROXY TCP4 198.18.0.5 198.18.0.1 4000 8080\r\n");
    give(&a);
    turn();
    assert_true(fake_closed(s));
    end();
}

static void source_addresses_are_taken_in_turn(void **state)
{
    struct asker a[4];
    start(APP "set upstreams.app.sources 198.18.0.11 198.18.0.12\n" B1 FRONT);
    for (unsigned i = 0; i < 4; i++) {
        struct mr_endpoint local;
        mr_stream_local(open_one(&a[i]), &local);
        assert_int_equal(mr_address_to_ip4(&local.address), 0xc612000b + i % 2);
    }
    for (unsigned i = 0; i < 4; i++)
        drop(&a[i], true);
    turn();
    end();
}

/* -- the queue ------------------------------------------------------------------------------------------------------------- */

#define ONE "set upstream app connections_max 1 queue_max 2 queue_timeout 3s\n"

static void a_bound_makes_requests_wait_in_order(void **state)
{
    struct asker a, b, c, d;
    start(APP ONE B1 FRONT);
    struct mr_stream *s = open_one(&a);
    assert_int_equal(ask(&b), UPSTREAM_PENDING);
    assert_int_equal(ask(&c), UPSTREAM_PENDING);
    assert_int_equal(ask(&d), UPSTREAM_PENDING);
    assert_int_equal(world.p->upstreams[0].queued, 2);
    turn();
    assert_int_equal(d.failed, 1);
    assert_int_equal(d.why, UPSTREAM_QUEUE_FULL);
    done(&d);
    give(&a);
    assert_int_equal(b.ready, 0); /* not from inside */
    turn();
    assert_int_equal(b.ready, 1);
    assert_ptr_equal(b.q.connection->stream, s);
    assert_int_equal(c.ready, 0);
    drop(&b, true); /* its connection goes, so the next opens another */
    turn();
    assert_int_equal(fake_connect_count(world.w), 2);
    fake_connect_accept(last_connect());
    assert_int_equal(c.ready, 1);
    give(&c);
    assert_int_equal(world.p->upstreams[0].queued, 0);
    end();
}

static void who_waits_too_long_fails_and_who_cancels_is_forgotten(void **state)
{
    struct asker a, b, c;
    start(APP ONE B1 FRONT);
    open_one(&a);
    ask(&b);
    ask(&c);
    upstream_cancel(&b.q);
    done(&b);
    proxy_words_pass(&world, 2 * MR_SECOND);
    assert_int_equal(c.failed, 0);
    proxy_words_pass(&world, 2 * MR_SECOND);
    assert_int_equal(c.failed, 1);
    assert_int_equal(c.why, UPSTREAM_QUEUE_TIMEOUT);
    assert_int_equal(b.failed + b.ready, 0);
    done(&c);
    give(&a);
    end();
}

static void no_backend_is_told_later(void **state)
{
    struct asker a;
    start(APP "add backend app 10.0.0.1:80 name b1 state disabled\n" FRONT);
    assert_int_equal(ask(&a), UPSTREAM_PENDING);
    assert_int_equal(a.failed, 0);
    turn();
    assert_int_equal(a.failed, 1);
    assert_int_equal(a.why, UPSTREAM_NO_BACKEND);
    assert_int_equal(upstream_failure_status(a.why), 503);
    done(&a);
    end();
}

/* -- connects that fail, and retries --------------------------------------------------------------------------------------- */

static void refused_and_silent_backends_are_told_apart(void **state)
{
    struct asker a;
    start(APP "set upstream app connect_timeout 2s\n" B1 FRONT);
    ask(&a);
    fake_lose(last_connect(), MR_CLOSE_REFUSED);
    assert_int_equal(a.why, UPSTREAM_CONNECT_REFUSED);
    done(&a);
    ask(&a);
    proxy_words_pass(&world, 2100 * MR_MILLISECOND);
    assert_int_equal(a.failed, 1);
    assert_int_equal(a.why, UPSTREAM_CONNECT_TIMEOUT);
    assert_int_equal(upstream_failure_status(a.why), 504);
    assert_true(fake_aborted(last_connect()));
    done(&a);
    assert_int_equal(backend("b1")->connect_failures, 2);
    assert_int_equal(backend("b1")->failures_in_a_row, 2);
    fake_connect_error(world.w, MR_ERROR_NO_PORT);
    assert_int_equal(ask(&a), UPSTREAM_PENDING);
    turn();
    assert_int_equal(a.why, UPSTREAM_CONNECT_FAILED);
    assert_int_equal(backend("b1")->failures_in_a_row, 2); /* our own want is none of the backend's fault */
    fake_connect_error(world.w, MR_OK);
    done(&a);
    end();
}

static void a_retry_goes_elsewhere_so_often_as_allowed(void **state)
{
    struct asker a;
    enum upstream_answer answer;
    start(APP "set upstream app retries 2\n" B1 B2 B3 FRONT);
    ask(&a);
    uint32_t slots[3];
    for (unsigned i = 0; i < 3; i++) {
        slots[i] = a.q.slot;
        fake_lose(last_connect(), MR_CLOSE_REFUSED);
        assert_int_equal(a.failed, i + 1);
        assert_int_equal(retry(&a, &answer), i < 2);
    }
    assert_true(slots[0] != slots[1] && slots[1] != slots[2] && slots[0] != slots[2]);
    assert_int_equal(counter(PROXY_RETRIES), 2);
    done(&a);
    end();
}

static void retries_stay_within_their_budget(void **state)
{
    struct asker a;
    enum upstream_answer answer;
    unsigned good = 0;
    start(APP "set upstream app retries 8 retry_budget 0.125 ejection.failures 0\n" B1 FRONT);
    for (unsigned i = 0; i < 40; i++) { /* all in one instant: 40 requests earn 5, a second's floor is 10 */
        ask(&a);
        fake_lose(last_connect(), MR_CLOSE_REFUSED);
        good += retry(&a, &answer);
        upstream_cancel(&a.q);
        done(&a);
        turn();
    }
    assert_int_equal(good, 15);
    assert_int_equal(counter(PROXY_RETRIES_REFUSED), 25);
    proxy_words_pass(&world, MR_SECOND);
    for (unsigned i = good = 0; i < 20; i++) {
        ask(&a);
        fake_lose(last_connect(), MR_CLOSE_REFUSED);
        good += retry(&a, &answer);
        upstream_cancel(&a.q);
        done(&a);
        turn();
    }
    assert_in_range(good, 10, 13);
    end();
}

static void a_lost_race_is_tried_again_at_once_on_a_fresh_connection(void **state)
{
    struct asker a;
    enum upstream_answer answer;
    start(APP "set upstream app retries 0\n" B1 FRONT);
    struct mr_stream *s = open_one(&a);
    give(&a);
    assert_int_equal(ask(&a), UPSTREAM_READY);
    fake_reset(s); /* the backend closed it as we sent */
    assert_int_equal(a.closed, 1);
    assert_int_equal(a.reason, MR_CLOSE_RESET);
    upstream_failed(&a.q, UPSTREAM_RESET);
    assert_int_equal(backend("b1")->failures_in_a_row, 0);
    assert_true(retry(&a, &answer));
    assert_int_equal(answer, UPSTREAM_PENDING);
    fake_connect_accept(last_connect());
    assert_int_equal(a.ready, 1);
    fake_reset(last_connect());
    upstream_failed(&a.q, UPSTREAM_RESET);
    assert_int_equal(backend("b1")->failures_in_a_row, 1);
    assert_false(retry(&a, &answer)); /* this time it was none */
    done(&a);
    end();
}

/* -- ejection, checks, slow start ------------------------------------------------------------------------------------------ */

static void fail_one(const char *name, unsigned times)
{
    struct asker a;
    for (unsigned i = 0; i < times; i++) {
        do {
            ask(&a);
            if (a.q.slot == backend(name)->plan->slot)
                break;
            upstream_cancel(&a.q);
            done(&a);
        } while (true);
        fake_lose(last_connect(), MR_CLOSE_REFUSED);
        done(&a);
    }
    turn();
}

#define EJECT "set upstream app ejection.failures 3 ejection.duration 10s ejection.share_max 0.5\n"

static void failures_in_a_row_eject_for_a_time_that_doubles(void **state)
{
    start(APP EJECT B1 B2 FRONT);
    const mr_time expected[] = {10, 20, 40, 80, 100, 100};
    for (unsigned i = 0; i < 6; i++) {
        fail_one("b1", 2);
        assert_true(backend_is_usable(backend("b1")));
        fail_one("b1", 1);
        assert_false(backend_is_usable(backend("b1")));
        assert_int_equal(backend("b1")->ejected_until - mr_now(world.w), expected[i] * MR_SECOND);
        proxy_words_pass(&world, (expected[i] - 1) * MR_SECOND);
        assert_false(backend_is_usable(backend("b1")));
        proxy_words_pass(&world, 2 * MR_SECOND);
        assert_true(backend_is_usable(backend("b1")));
    }
    assert_int_equal(counter(PROXY_EJECTIONS), 6);
    proxy_words_pass(&world, 200 * MR_SECOND); /* it was good for long: the next is the first again */
    fail_one("b1", 3);
    assert_int_equal(backend("b1")->ejected_until - mr_now(world.w), 10 * MR_SECOND);
    end();
}

static void no_more_than_the_share_is_ejected(void **state)
{
    start(APP EJECT B1 B2 FRONT);
    fail_one("b1", 3);
    fail_one("b2", 7);
    assert_true(backend_is_usable(backend("b2")));
    assert_int_equal(world.p->upstreams[0].ejected, 1);
    end();
}

static void a_gateway_error_counts_and_an_answer_clears(void **state)
{
    struct asker a;
    start(APP EJECT B1 B2 FRONT);
    open_one(&a);
    struct upstream_backend *b = &world.p->backends[a.q.slot];
    upstream_succeeded(&a.q, 503, mr_now(world.w) + 5);
    upstream_succeeded(&a.q, 502, mr_now(world.w) + 5);
    assert_int_equal(b->failures_in_a_row, 2);
    upstream_succeeded(&a.q, 500, mr_now(world.w) + 5);
    assert_int_equal(b->responses[5], 3);
    assert_int_equal(b->latency, 5);
    upstream_give(&a.q);
    assert_int_equal(b->failures_in_a_row, 0);
    done(&a);
    turn();
    end();
}

static void an_answer_that_is_cut_short_is_no_answer(void **state)
{
    struct asker a;
    start(APP EJECT B1 B2 FRONT);
    for (unsigned i = 0; i < 2; i++) {
        do {
            ask(&a);
            if (a.q.slot == backend("b1")->plan->slot)
                break;
            upstream_cancel(&a.q);
            done(&a);
        } while (true);
        fake_connect_accept(last_connect());
        upstream_succeeded(&a.q, 200, mr_now(world.w));
        upstream_failed(&a.q, i ? UPSTREAM_TIMEOUT : UPSTREAM_ENDED);
        drop(&a, true);
        assert_int_equal(backend("b1")->failures_in_a_row, i + 1);
    }
    assert_int_equal(backend("b1")->timeouts, 1);
    turn();
    end();
}

static void one_found_down_takes_nothing_until_it_is_up(void **state)
{
    struct asker a;
    start(APP B1 FRONT);
    struct mr_stream *s = open_one(&a);
    give(&a);
    upstream_health_changed(world.p, backend("b1")->plan->slot, HEALTH_DOWN);
    turn();
    assert_true(fake_closed(s));
    ask(&a);
    turn();
    assert_int_equal(a.why, UPSTREAM_NO_BACKEND);
    done(&a);
    upstream_health_changed(world.p, backend("b1")->plan->slot, HEALTH_UP);
    open_one(&a);
    upstream_health_changed(world.p, backend("b1")->plan->slot, HEALTH_DOWN);
    give(&a); /* under way it went on, but it is not kept */
    turn();
    assert_int_equal(backend("b1")->open, 0);
    end();
}

static uint32_t weight_of(const char *name)
{
    struct upstream_backend *b = backend(name);
    return b->balance->members[b->member].weight;
}

static void one_that_comes_back_grows_from_a_tenth(void **state)
{
    start(APP "set upstream app slow_start 10s\n" B1 "add backend app 10.0.0.2:80 name b2 weight 10\n" FRONT);
    assert_int_equal(weight_of("b2"), 10 * PLAN_WEIGHT_UNIT); /* all begin together: there is nothing to spare them */
    upstream_health_changed(world.p, backend("b2")->plan->slot, HEALTH_DOWN);
    upstream_health_changed(world.p, backend("b2")->plan->slot, HEALTH_UP);
    assert_int_equal(weight_of("b2"), PLAN_WEIGHT_UNIT);
    uint32_t before = weight_of("b2");
    for (unsigned i = 0; i < 9; i++) {
        proxy_words_pass(&world, MR_SECOND);
        assert_true(weight_of("b2") > before);
        before = weight_of("b2");
    }
    assert_in_range(before, 10 * PLAN_WEIGHT_UNIT * 80 / 100, 10 * PLAN_WEIGHT_UNIT - 1);
    proxy_words_pass(&world, 2 * MR_SECOND);
    assert_int_equal(weight_of("b2"), 10 * PLAN_WEIGHT_UNIT);
    assert_true(proxy_words_say(&world, "add backend app 10.0.0.3:80 name b3"));
    assert_int_equal(weight_of("b3"), PLAN_WEIGHT_UNIT / 10);
    assert_int_equal(weight_of("b2"), 10 * PLAN_WEIGHT_UNIT);
    end();
}

/* -- who sticks ------------------------------------------------------------------------------------------------------------ */

static void a_cookie_leads_to_its_backend_even_when_it_drains(void **state)
{
    struct asker a;
    char sticky[17];
    start(APP "set upstream app sticky_cookie route\n" B1 B2 B3 FRONT);
    memcpy(sticky, proxy_words_backend(&world, "app", "b2")->sticky, 17);
    assert_int_equal(strlen(sticky), 16);
    for (unsigned i = 0; i < 5; i++) {
        asker_begin(&a);
        a.q.sticky = sticky;
        ask_again(&a);
        assert_int_equal(a.q.slot, backend("b2")->plan->slot);
        upstream_cancel(&a.q);
        done(&a);
        if (i == 2)
            assert_true(proxy_words_say(&world, "set backend app/b2 state drain"));
    }
    for (unsigned i = 0; i < 6; i++) {
        ask(&a);
        assert_true(a.q.slot != backend("b2")->plan->slot); /* nobody new */
        upstream_cancel(&a.q);
        done(&a);
    }
    assert_true(proxy_words_say(&world, "set backend app/b2 state disabled"));
    asker_begin(&a);
    a.q.sticky = sticky;
    ask_again(&a);
    assert_true(a.q.slot != backend("b2")->plan->slot);
    upstream_cancel(&a.q);
    done(&a);
    asker_begin(&a);
    a.q.sticky = "0123456789abcdeX";
    assert_int_equal(ask_again(&a), UPSTREAM_PENDING);
    upstream_cancel(&a.q);
    done(&a);
    turn();
    end();
}

/* -- plans change under requests ------------------------------------------------------------------------------------------- */

static void a_removed_backend_loses_its_idle_connections_and_keeps_the_others(void **state)
{
    struct asker a, b;
    start(APP B1 FRONT);
    struct mr_stream *busy = open_one(&a), *idle = open_one(&b);
    uint32_t slot = a.q.slot;
    give(&b);
    assert_true(proxy_words_say(&world, "add backend app 10.0.0.2:80 name b2"));
    assert_true(proxy_words_say(&world, "remove backend app/b1"));
    turn();
    assert_true(fake_closed(idle));
    assert_false(fake_closed(busy));
    assert_null(world.p->backends[slot].plan);
    fake_input(busy, "x", 1);
    assert_int_equal(a.data, 1);
    mr_stream_consume(busy, 1);
    ask(&b);
    assert_int_equal(b.q.slot, backend("b2")->plan->slot);
    fake_connect_accept(last_connect());
    give(&b);
    give(&a); /* nobody wants it any more */
    turn();
    assert_true(fake_closed(busy));
    assert_int_equal(world.p->backends[slot].open, 0);
    end();
}

static void who_waits_for_an_upstream_that_is_removed_is_served(void **state)
{
    struct asker a, b;
    start("add upstream app connections_max 1\n" B1 "add upstream other\nadd backend other 10.0.0.9:80\n" FRONT);
    open_one(&a);
    ask(&b);
    assert_true(proxy_words_say(&world, "set listener front upstream other"));
    assert_true(proxy_words_say(&world, "remove upstream app"));
    turn();
    assert_int_equal(b.ready + b.failed, 0);
    give(&a);
    turn();
    assert_int_equal(fake_connect_count(world.w), 2);
    fake_connect_accept(last_connect());
    assert_int_equal(b.ready, 1);
    give(&b);
    turn();
    assert_int_equal(plan_sweep(world.shared), 0);
    end();
}

static void a_retry_after_a_change_goes_by_the_new_plan(void **state)
{
    struct asker a;
    enum upstream_answer answer;
    start(APP B1 FRONT);
    ask(&a);
    assert_true(proxy_words_say(&world, "add backend app 10.0.0.2:80 name b2"));
    assert_true(proxy_words_say(&world, "remove backend app/b1"));
    fake_lose(last_connect(), MR_CLOSE_REFUSED);
    assert_true(retry(&a, &answer));
    assert_int_equal(a.q.slot, backend("b2")->plan->slot);
    fake_connect_accept(last_connect());
    assert_string_equal(a.q.backend->config->name, "b2");
    give(&a);
    assert_int_equal(plan_sweep(world.shared), 0);
    end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(given_back_is_taken_again_without_a_connect),
        cmocka_unit_test(the_last_used_is_taken_first_and_the_oldest_closed_first),
        cmocka_unit_test(no_more_than_idle_max_are_kept),
        cmocka_unit_test(a_connection_ends_by_age_and_by_requests),
        cmocka_unit_test(an_idle_one_is_closed_by_what_its_peer_says),
        cmocka_unit_test(what_has_unread_input_is_not_kept),
        cmocka_unit_test(one_that_must_be_fresh_takes_no_idle_one),
        cmocka_unit_test(a_full_table_closes_an_idle_one_of_another_backend),
        cmocka_unit_test(a_proxy_header_goes_first_and_its_connection_is_not_shared),
        cmocka_unit_test(source_addresses_are_taken_in_turn),
        cmocka_unit_test(a_bound_makes_requests_wait_in_order),
        cmocka_unit_test(who_waits_too_long_fails_and_who_cancels_is_forgotten),
        cmocka_unit_test(no_backend_is_told_later),
        cmocka_unit_test(refused_and_silent_backends_are_told_apart),
        cmocka_unit_test(a_retry_goes_elsewhere_so_often_as_allowed),
        cmocka_unit_test(retries_stay_within_their_budget),
        cmocka_unit_test(a_lost_race_is_tried_again_at_once_on_a_fresh_connection),
        cmocka_unit_test(failures_in_a_row_eject_for_a_time_that_doubles),
        cmocka_unit_test(no_more_than_the_share_is_ejected),
        cmocka_unit_test(a_gateway_error_counts_and_an_answer_clears),
        cmocka_unit_test(an_answer_that_is_cut_short_is_no_answer),
        cmocka_unit_test(one_found_down_takes_nothing_until_it_is_up),
        cmocka_unit_test(one_that_comes_back_grows_from_a_tenth),
        cmocka_unit_test(a_cookie_leads_to_its_backend_even_when_it_drains),
        cmocka_unit_test(a_removed_backend_loses_its_idle_connections_and_keeps_the_others),
        cmocka_unit_test(who_waits_for_an_upstream_that_is_removed_is_served),
        cmocka_unit_test(a_retry_after_a_change_goes_by_the_new_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
