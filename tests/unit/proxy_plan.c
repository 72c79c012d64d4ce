/* Plans: replaced under connections, on two workers; slots that are another's only when nothing is left; what drains and is cut. */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/plan_hash.h"
#include "tests/support/proxy_words.h"

#define BASE                                  \
    "add upstream app\n"                      \
    "add backend app 10.0.0.1:80 name b1\n"   \
    "add upstream other\n"                    \
    "add backend other 10.0.0.9:80 name o1\n" \
    "add listener front :8080 mode tcp upstream app\n"

static struct proxy_words world;

static void start(const char *lines)
{
    proxy_words_start(&world, 2, lines);
}

static void turns(void)
{
    service_group_turns(&world.group, 4);
}

static void end(mr_time drain)
{
    proxy_words_stop(&world, drain);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(world.group.counters[i][PROXY_SESSIONS], 0);
}

static void say(const char *line)
{
    if (!proxy_words_say(&world, line))
        fail_msg("%s: %s", line, world.said);
}

static struct mr_stream *client(unsigned worker, const char *local)
{
    struct mr_endpoint at, from = {mr_address_ip4(0xc6120005), 4000};
    assert_true(mr_endpoint_parse(local, &at));
    return fake_open_from(world.group.w[worker], &at, &from);
}

/* A client at layer 4 whose backend has accepted. */
static struct mr_stream *joined(unsigned worker, const char *local, struct mr_stream **backend)
{
    struct mr_stream *s = client(worker, local);
    assert_non_null(s);
    turns();
    struct mr_worker *w = world.group.w[worker];
    *backend = fake_connected(w, fake_connect_count(w) - 1);
    fake_connect_accept(*backend);
    turns();
    return s;
}

static void assert_passes(struct mr_stream *from, struct mr_stream *to)
{
    fake_output_clear(to);
    fake_input(from, "hello", 5);
    turns();
    assert_string_equal(fake_output(to, NULL), "hello");
}

static uint32_t slot_of(const char *upstream, const char *name)
{
    return proxy_words_backend(&world, upstream, name)->slot;
}

/* -- versions -------------------------------------------------------------------------------------------------------------- */

static void every_worker_has_the_newest_and_old_ones_are_freed(void **state)
{
    start(BASE);
    for (unsigned i = 0; i < 5; i++) {
        char line[64];
        snprintf(line, sizeof line, "set backend app/b1 weight %u", i + 2);
        say(line);
        assert_int_equal(world.shared->plan->version, i + 2);
        for (unsigned w = 0; w < 2; w++)
            assert_ptr_equal(proxy_words_on(&world, w)->plan, world.shared->plan);
        assert_int_equal(plan_sweep(world.shared), 0);
    }
    end(0);
}

static void a_plan_lives_as_long_as_a_session_that_began_with_it(void **state)
{
    struct mr_stream *backend[2], *s[2];
    start(BASE);
    for (unsigned w = 0; w < 2; w++)
        s[w] = joined(w, ":8080", &backend[w]);
    say("set backend app/b1 weight 2");
    say("set backend app/b1 weight 3");
    assert_int_equal(plan_sweep(world.shared), 1); /* version 1 has sessions, version 2 nobody */
    for (unsigned w = 0; w < 2; w++) {
        assert_passes(s[w], backend[w]);
        fake_reset(s[w]);
        turns();
        assert_int_equal(plan_sweep(world.shared), 1 - w);
    }
    end(0);
}

static void each_policy_and_a_cookie_are_built(void **state)
{
    static const char *const policies[] = {"round_robin", "weighted", "least_connections", "two_choices", "maglev"};
    start(BASE);
    say("add backend app 10.0.0.2:80 name b2");
    for (unsigned i = 0; i < sizeof policies / sizeof *policies; i++) {
        char line[80];
        snprintf(line, sizeof line, "set upstream app balance %s", policies[i]);
        say(line);
        const struct plan_upstream *u = proxy_words_upstream(&world, "app");
        for (unsigned w = 0; w < 2; w++) {
            struct balance_query q = {0};
            u->balance[w]->policy->check(u->balance[w]);
            assert_int_equal(u->balance[w]->fit, 2);
            assert_in_range(balance_choose(u->balance[w], &q), 0, 1);
        }
        for (unsigned k = 0; k < 2; k++)
            assert_ptr_equal(plan_backend_sticky(u, u->backends[k].sticky), &u->backends[k]);
        assert_null(plan_backend_sticky(u, "0000000000000000"));
        assert_null(plan_backend_sticky(u, "GGGGGGGGGGGGGGGG"));
    }
    end(0);
}

/* The paper's appendix A: key 00..0f, input 00..0e. */
static void the_hash_is_siphash_2_4(void **state)
{
    static const uint64_t key[2] = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};
    uint8_t text[15];
    for (unsigned i = 0; i < sizeof text; i++)
        text[i] = (uint8_t)i;
    assert_true(plan_hash(key, text, sizeof text) == 0xa129ca6149be45e5u);
}

/* -- listeners ------------------------------------------------------------------------------------------------------------- */

static void listeners_come_and_go(void **state)
{
    struct mr_stream *backend, *s;
    start(BASE);
    assert_null(client(0, ":9090"));
    say("add listener second :9090 mode tcp upstream other");
    s = joined(1, ":9090", &backend);
    assert_passes(s, backend);
    say("remove listener second");
    assert_null(client(0, ":9090"));
    assert_null(client(1, ":9090"));
    assert_passes(s, backend); /* what was accepted goes on */
    fake_reset(s);
    turns();
    assert_int_equal(plan_sweep(world.shared), 0);
    end(0);
}

static void a_listener_is_renamed_and_moved_in_one_step(void **state)
{
    struct mr_stream *backend, *s;
    start(BASE);
    s = joined(0, ":8080", &backend);
    say("apply 'remove listener front ; add listener door :8080 mode tcp upstream other'");
    assert_passes(s, backend);
    struct mr_stream *again_backend, *again = joined(0, ":8080", &again_backend);
    struct mr_endpoint remote;
    mr_stream_remote(again_backend, &remote);
    assert_int_equal(mr_address_to_ip4(&remote.address), 0x0a000009);
    say("set listener door listen :9999");
    assert_null(client(0, ":8080"));
    assert_passes(again, again_backend);
    fake_reset(s);
    fake_reset(again);
    turns();
    end(0);
}

static void one_that_cannot_be_opened_changes_nothing_anywhere(void **state)
{
    struct mr_stream *backend, *s;
    start(BASE);
    struct proxy_plan *before = world.shared->plan;
    fake_listen_error(world.group.w[1], MR_ERROR_IN_USE);
    assert_false(proxy_words_say(&world,
                                 "apply 'add backend app 10.0.0.2:80 name b2 ; add listener more :9090 mode tcp "
                                 "upstream app'"));
    assert_non_null(strstr(world.said, "more"));
    fake_listen_error(world.group.w[1], MR_OK);
    assert_ptr_equal(world.shared->plan, before);
    for (unsigned w = 0; w < 2; w++) {
        assert_ptr_equal(proxy_words_on(&world, w)->plan, before);
        assert_null(client(w, ":9090"));
        s = joined(w, ":8080", &backend);
        assert_passes(s, backend);
        fake_reset(s);
        turns();
    }
    assert_int_equal(plan_sweep(world.shared), 0);
    say("add listener more :9090 mode tcp upstream app");
    s = joined(1, ":9090", &backend);
    fake_reset(s);
    turns();
    end(0);
}

static void a_full_listener_refuses_and_counts(void **state)
{
    struct mr_stream *backend, *s, *refused;
    start("add upstream app\nadd backend app 10.0.0.1:80\n"
          "add listener front :8080 mode tcp upstream app connections_max 1\n");
    s = joined(0, ":8080", &backend);
    refused = client(0, ":8080");
    turns();
    assert_true(fake_closed(refused));
    assert_int_equal(world.group.counters[0][PROXY_REFUSED_FULL], 1);
    assert_int_equal(world.group.counters[0][PROXY_SESSIONS], 1);
    fake_reset(s);
    turns();
    assert_int_equal(world.group.counters[0][PROXY_SESSIONS], 0);
    assert_int_equal(world.group.counters[0][PROXY_ACCEPTED], 1);
    end(0);
}

/* -- slots ----------------------------------------------------------------------------------------------------------------- */

static void who_stays_keeps_its_slot_and_who_returns_finds_its_numbers(void **state)
{
    start(BASE);
    uint32_t b1 = slot_of("app", "b1"), o1 = slot_of("other", "o1");
    struct upstream_backend *b = &proxy_words_on(&world, 0)->backends[b1];
    b->requests = 7;
    say("add backend app 10.0.0.2:80 before b1 name b0");
    assert_int_equal(slot_of("app", "b1"), b1);
    assert_int_equal(slot_of("other", "o1"), o1);
    say("remove backend app/b1");
    assert_null(b->plan);
    say("add backend app 10.0.0.1:80 name b1");
    assert_int_equal(slot_of("app", "b1"), b1);
    assert_int_equal(b->requests, 7);
    say("set backend app/b1 address 10.0.0.7:80"); /* another one by the same name */
    assert_int_not_equal(slot_of("app", "b1"), b1);
    assert_int_equal(proxy_words_on(&world, 0)->backends[slot_of("app", "b1")].requests, 0);
    end(0);
}

static void a_slot_is_not_anothers_while_something_is_connected(void **state)
{
    struct mr_stream *backend, *s;
    start(BASE);
    s = joined(1, ":8080", &backend);
    uint32_t busy = slot_of("app", "b1");
    say("add backend app 10.0.1.0:80 name n0");
    say("remove backend app/b1");
    for (unsigned i = 1; i < 14; i++) { /* limits.backends is 16: with o1 and the one that drains, all are taken */
        char line[64];
        snprintf(line, sizeof line, "add backend app 10.0.1.%u:80 name n%u", i, i);
        say(line);
        snprintf(line, sizeof line, "n%u", i);
        assert_int_not_equal(slot_of("app", line), busy);
    }
    assert_false(proxy_words_say(&world, "add backend app 10.0.2.1:80 name late"));
    assert_non_null(strstr(world.said, "backends"));
    assert_passes(s, backend);
    uint64_t generation = proxy_words_on(&world, 1)->backends[busy].generation;
    fake_reset(s);
    turns();
    say("add backend app 10.0.2.1:80 name late");
    assert_int_equal(slot_of("app", "late"), busy);
    assert_int_equal(proxy_words_on(&world, 1)->backends[busy].generation, generation + 1);
    assert_int_equal(proxy_words_on(&world, 1)->backends[busy].requests, 0);
    end(0);
}

/* -- limits ---------------------------------------------------------------------------------------------------------------- */

static void what_sizes_no_table_changes_while_running(void **state)
{
    start(BASE);
    say("apply 'set limits.header_timeout 3s ; set limits.line_bytes 300 ; set limits.header_count 7'");
    for (unsigned w = 0; w < 2; w++) {
        const struct proxy *p = proxy_words_on(&world, w);
        assert_true(p->limits.header_timeout == 3 * MR_SECOND);
        assert_int_equal(p->wire_limits.line_bytes, 300);
        assert_int_equal(p->wire_limits.fields, 7);
    }
    assert_false(proxy_words_say(&world, "set limits.sessions 9"));
    assert_non_null(strstr(world.said, "limits.sessions"));
    end(0);
}

/* -- draining -------------------------------------------------------------------------------------------------------------- */

static void what_is_removed_has_its_time_and_is_cut_then(void **state)
{
    struct mr_stream *backend, *s, *other_backend, *other;
    start(BASE "add listener second :9090 mode tcp upstream other\nset drain_timeout 10s\n");
    s = joined(0, ":8080", &backend);
    other = joined(0, ":9090", &other_backend);
    say("add backend app 10.0.0.2:80 name b2");
    say("remove backend app/b1");
    proxy_words_pass(&world, 9 * MR_SECOND);
    assert_passes(s, backend);
    proxy_words_pass(&world, 2 * MR_SECOND);
    assert_true(fake_closed(s) && fake_reset_seen(s) && fake_reset_seen(backend));
    assert_passes(other, other_backend); /* older than the plan, too, but nothing of it was removed */
    say("remove listener second");
    proxy_words_pass(&world, 11 * MR_SECOND);
    assert_true(fake_closed(other));
    assert_int_equal(plan_sweep(world.shared), 0);
    end(0);
}

static void a_disabled_backend_drains_and_one_that_returns_in_time_does_not(void **state)
{
    struct mr_stream *backend, *s;
    start(BASE "add backend app 10.0.0.2:80 name b2 weight 0\nset drain_timeout 10s\n");
    s = joined(0, ":8080", &backend);
    say("set backend app/b1 state disabled");
    proxy_words_pass(&world, 5 * MR_SECOND);
    say("set backend app/b1 state enabled");
    proxy_words_pass(&world, 20 * MR_SECOND);
    assert_passes(s, backend);
    say("set backend app/b1 state disabled");
    proxy_words_pass(&world, 11 * MR_SECOND);
    assert_true(fake_closed(s));
    end(0);
}

static void a_stop_drains_as_a_removal_does(void **state)
{
    struct mr_stream *backend, *s;
    start(BASE "set drain_timeout 10s\n");
    s = joined(0, ":8080", &backend);
    service_group_stop(&world.group);
    turns();
    assert_null(client(0, ":8080"));
    assert_passes(s, backend);
    proxy_words_pass(&world, 9 * MR_SECOND);
    assert_false(fake_closed(s));
    proxy_words_pass(&world, 2 * MR_SECOND);
    assert_true(fake_closed(s));
    turns();
    service_group_end(&world.group);
    proxy_words_free(&world);
}

/* A request at layer 7 whose answer does not come. */
static struct mr_stream *asking(const char *local)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    struct mr_worker *w = world.group.w[0];
    struct mr_stream *s = client(0, local);
    assert_non_null(s);
    fake_input(s, request, sizeof request - 1);
    turns();
    fake_connect_accept(fake_connected(w, fake_connect_count(w) - 1));
    turns();
    assert_false(fake_closed(s));
    return s;
}

#define WEB                                             \
    "add listener web :9090 mode http upstream other\n" \
    "add listener next :9091 mode http upstream other\n"

static void each_listener_that_is_removed_has_its_own_time(void **state)
{
    start(BASE WEB "set drain_timeout 10s\n");
    struct mr_stream *first = asking(":9090"), *second = asking(":9091");
    say("remove listener web");
    proxy_words_pass(&world, 5 * MR_SECOND);
    say("remove listener next");
    proxy_words_pass(&world, 6 * MR_SECOND);
    assert_true(fake_closed(first));
    assert_false(fake_closed(second));
    proxy_words_pass(&world, 5 * MR_SECOND);
    assert_true(fake_closed(second));
    end(0);
}

static void a_stop_gives_its_time_whatever_was_removed_before(void **state)
{
    struct mr_stream *backend;
    start(BASE WEB "set drain_timeout 10s\n");
    struct mr_stream *removed = asking(":9090"), *web = asking(":9091"), *s = joined(0, ":8080", &backend);
    say("remove listener web");
    proxy_words_pass(&world, 5 * MR_SECOND);
    service_group_stop(&world.group);
    proxy_words_pass(&world, 6 * MR_SECOND);
    assert_true(fake_closed(removed));
    assert_false(fake_closed(web));
    assert_false(fake_closed(s));
    proxy_words_pass(&world, 5 * MR_SECOND);
    assert_true(fake_closed(web) && fake_closed(s));
    turns();
    service_group_end(&world.group);
    proxy_words_free(&world);
}

/* Both what came through a listener and what goes to a backend that is in no plan any more. */
static void cut_removed_ends_the_time_of_all_that_was_removed(void **state)
{
    struct mr_stream *backend, *s, *other_backend, *other;
    start(BASE WEB "add listener second :9092 mode tcp upstream other\nset drain_timeout 10s\n");
    struct mr_stream *web = asking(":9090"), *next = asking(":9091");
    s = joined(0, ":8080", &backend);
    other = joined(0, ":9092", &other_backend);
    say("cut removed");
    turns();
    assert_false(fake_closed(web) || fake_closed(s) || fake_closed(other) || fake_closed(next));
    say("add backend app 10.0.0.2:80 name b2 ; remove backend app/b1 ; remove listener web ; remove listener second");
    say("cut removed");
    turns();
    assert_true(fake_closed(s) && fake_closed(web) && fake_closed(other));
    assert_false(fake_closed(next));
    assert_int_equal(proxy_words_on(&world, 0)->counters[PROXY_SESSIONS], 1);
    fake_reset(next);
    turns();
    end(0);
}

/* -- what sessions take ---------------------------------------------------------------------------------------------------- */

static void buffers_end_at_their_limit(void **state)
{
    struct proxy_buffer *b[8];
    start(BASE);
    struct proxy *p = proxy_words_on(&world, 0);
    for (unsigned i = 0; i < 8; i++) {
        assert_non_null(b[i] = proxy_buffer_take(p));
        memset(b[i]->bytes, (int)i, p->buffer_bytes);
    }
    assert_null(proxy_buffer_take(p));
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(b[i]->bytes[p->buffer_bytes - 1], i);
    proxy_buffer_give(p, b[3]);
    assert_ptr_equal(proxy_buffer_take(p), b[3]);
    for (unsigned i = 0; i < 8; i++)
        proxy_buffer_give(p, b[i]);
    end(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_worker_has_the_newest_and_old_ones_are_freed),
        cmocka_unit_test(a_plan_lives_as_long_as_a_session_that_began_with_it),
        cmocka_unit_test(each_policy_and_a_cookie_are_built),
        cmocka_unit_test(the_hash_is_siphash_2_4),
        cmocka_unit_test(listeners_come_and_go),
        cmocka_unit_test(a_listener_is_renamed_and_moved_in_one_step),
        cmocka_unit_test(one_that_cannot_be_opened_changes_nothing_anywhere),
        cmocka_unit_test(a_full_listener_refuses_and_counts),
        cmocka_unit_test(who_stays_keeps_its_slot_and_who_returns_finds_its_numbers),
        cmocka_unit_test(a_slot_is_not_anothers_while_something_is_connected),
        cmocka_unit_test(what_sizes_no_table_changes_while_running),
        cmocka_unit_test(what_is_removed_has_its_time_and_is_cut_then),
        cmocka_unit_test(a_disabled_backend_drains_and_one_that_returns_in_time_does_not),
        cmocka_unit_test(a_stop_drains_as_a_removal_does),
        cmocka_unit_test(each_listener_that_is_removed_has_its_own_time),
        cmocka_unit_test(a_stop_gives_its_time_whatever_was_removed_before),
        cmocka_unit_test(cut_removed_ends_the_time_of_all_that_was_removed),
        cmocka_unit_test(buffers_end_at_their_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
