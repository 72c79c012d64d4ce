/* Commands to the proxy: each good and each bad form, and that a change is made on all workers or on none. Over two workers of
 * fake_stream.h. */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_edit.h"
#include "config/config_tree.h"
#include "proxy/control/words.h"
#include "proxy/proxy.h"
#include "tests/support/service_group.h"

#define WORKERS 2

struct world {
    struct proxy_config config;
    struct service_group group;
    struct fake_control control;
    struct proxy_shared *shared;
    char *said; /* the last answer */
};

/* What the file would say, in words. */
static const char base[] = "add upstream app connect_timeout 3s\n"
                           "add backend app 10.0.0.1:8001 name b1\n"
                           "add backend app 10.0.0.2:8002 weight 5\n"
                           "add upstream spare balance maglev hash 'header X-User'\n"
                           "add backend spare 10.0.0.3:8003 name c1\n"
                           "add listener web 198.18.0.2:80 upstream app\n"
                           "add route first path /a/ upstream app\n"
                           "add route last host *.example upstream spare # of two\n";

static void config_make(struct proxy_config *config)
{
    char message[800] = "";
    struct config_edit edit = {proxy_keys, config, message, sizeof message};
    assert_true(config_tree_presets(proxy_keys, "", config));
    int count;
    char **words = control_words_split(base, &count, message, sizeof message);
    assert_non_null(words);
    for (int first = 0, end; first < count; first = end + 1) {
        for (end = first; end < count && strcmp(words[end], ";");)
            end++;
        if (!control_add(&edit, end - first, (const char *const *)words + first))
            fail_msg("%s", message);
    }
    free(words);
    config->limits.buffers = config->limits.sessions = config->limits.flows = 8;
    config->limits.connections = 8;
    config->limits.backends = 16;
    config->limits.upstreams = 8;
    assert_true(config_edit_complete(&edit));
    if (!proxy_config_check(config, message, sizeof message))
        fail_msg("%s", message);
}

static struct world *world_create(void)
{
    struct world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    config_make(&w->config);
    service_group_start(&w->group, &proxy_service, &w->config, WORKERS);
    fake_control_init(&w->control, w->group.w, WORKERS);
    w->shared = w->group.shared;
    return w;
}

static void world_free(struct world *w)
{
    service_group_stop(&w->group);
    service_group_turns(&w->group, 2);
    service_group_end(&w->group);
    config_tree_free(proxy_keys, &w->config);
    free(w->said);
    free(w);
}

static bool say_by(struct world *w, const struct mr_control *control, const char *line)
{
    char message[200];
    int count;
    bool good;
    char **words = control_words_split(line, &count, message, sizeof message);
    assert_non_null(words);
    free(w->said);
    w->said = proxy_command(w->shared, control, count, (const char *const *)words, &good);
    assert_non_null(w->said);
    free(words);
    return good;
}

static bool say(struct world *w, const char *line)
{
    return say_by(w, &w->control.control, line);
}

/* Every worker runs what the control thread takes for the newest, and nothing older is kept. */
static void assert_settled(struct world *w, uint64_t version)
{
    for (unsigned i = 0; i < WORKERS; i++)
        assert_ptr_equal(w->shared->instances[i]->plan, w->shared->plan);
    assert_int_equal(w->shared->plan->version, version);
    assert_int_equal(plan_sweep(w->shared), 0);
}

static const struct proxy_upstream_config *upstream(const struct world *w, unsigned i)
{
    return &w->shared->plan->config->upstreams[i];
}

/* -- every command --------------------------------------------------------------------------------------------------- */

/* Each is done upon the base alone; a change makes version 2. */
static const struct good_case {
    const char *line, *part; /* of the answer */
    bool changes;
} good_cases[] = {
    {"list", "\"upstream\":\"app\",\"name\":\"b1\",\"address\":\"10.0.0.1:8001\",\"state\":\"up\",\"weight\":1", false},
    {"list", "{\"name\":\"first\",\"listener\":\"-\",\"host\":\"-\",\"path\":\"/a/\"", false},
    {"version", "{\"version\":1,\"older\":[]}", false},
    {"stat", "\"upstream\":\"app\",\"backend\":\"10.0.0.2:8002\",\"state\":\"up\",\"weight\":5", false},
    {"help", "{\"command\":\"list\"", false},
    {"holds", "{\"holds\":[]}", false},
    {"holds app/b1", "{\"holds\":[]}", false},
    {"cut removed", "{\"workers\":2}", false},
    {"add backend app 10.0.0.9:80", "{\"version\":2,\"changes\":1}", true},
    {"add backend app 10.0.0.9:80 name b9 weight 0 state drain", "\"version\":2", true},
    {"add backend app 10.0.0.9:80 before b1 name b0", "\"version\":2", true},
    {"add backend app [2001:db8::1]:80", "\"version\":2", true},
    {"add upstream third", "\"version\":2", true},
    {"add upstream third balance maglev health.type tcp health.interval 500ms", "\"version\":2", true},
    {"add listener more :8080 mode tcp upstream spare", "\"version\":2", true},
    {"add route mid before last upstream app path /b", "\"version\":2", true},
    {"add route mid upstream app header 'X-A: 1, 2' header X-B", "\"version\":2", true},
    {"add forward.rules allow true destination 10.0.0.0/8", "\"version\":2", true},
    {"add upstreams name fourth", "\"version\":2", true},
    {"set backend app/b1 weight 3", "\"version\":2", true},
    {"set backend app/10.0.0.2:8002 weight 3 state drain", "\"version\":2", true},
    {"set upstream app connect_timeout 2s balance least_connections", "\"version\":2", true},
    {"set upstreams.app.connect_timeout 2s", "\"version\":2", true},
    {"set upstreams.app.backends.b1.weight 9", "\"version\":2", true},
    {"set routes[0].path /other", "\"version\":2", true},
    {"set route first header 'A: B'", "\"version\":2", true},
    {"set listener web connections_max 9", "\"version\":2", true},
    {"set drain_timeout 1s", "\"version\":2", true},
    {"set forward.connect_ports 443 8443", "\"version\":2", true},
    {"unset upstreams.app.connect_timeout", "\"version\":2", true},
    {"remove backend app/b1", "\"version\":2", true},
    {"remove route last ; remove upstream spare", "{\"version\":2,\"changes\":2}", true},
    {"remove routes[1]", "\"version\":2", true},
    {"add listener more :81 upstream app ; remove listener web", "\"version\":2", true},
    {"; ; set drain_timeout 1s ; ;", "{\"version\":2,\"changes\":1}", true},
    {"apply 'set drain_timeout 1s\n# why\nremove route first;remove route last\n'", "{\"version\":2,\"changes\":3}",
     true},
};

static void every_good_form_is_done(void **state)
{
    for (unsigned i = 0; i < sizeof good_cases / sizeof *good_cases; i++) {
        const struct good_case *c = &good_cases[i];
        struct world *w = world_create();
        if (!say(w, c->line) || !strstr(w->said, c->part))
            fail_msg("'%s' is answered '%s', expected '%s'", c->line, w->said, c->part);
        assert_settled(w, c->changes ? 2 : 1);
        world_free(w);
    }
}

static const struct bad_case {
    const char *line, *part; /* of what is said */
} bad_cases[] = {
    {"lost", "there is no command 'lost', expected one of list, version"},
    {"list all", "expected: list"},
    {"version 3", "expected: version"},
    {"add", "expected: add backend UPSTREAM ADDRESS"},
    {"add backend app", "expected: add backend UPSTREAM ADDRESS [KEY VALUE]..."},
    {"add backend none 10.0.0.9:80", "upstreams has no element 'none.backends'"},
    {"add backend app here", "address is 'here', expected an address and port"},
    {"add backend app 10.0.0.9:80 weight", "'weight' has no value"},
    {"add backend app 10.0.0.9:80 wait 3", "there is no key 'wait'"},
    {"add backend app 10.0.0.9:80 weight 70000", "expected a number from 0 to 65535"},
    {"add backend app 10.0.0.9:80 weight 1 weight 2", "takes 1 value, 2 given"},
    {"add backend app 10.0.0.9:80 name b1", "'b1' of upstream 'app' stands twice"},
    {"add backend app 10.0.0.9:80 before none", "has no element 'none'"},
    {"add backend app 10.0.0.9:0", "port"},
    {"add upstream app", "upstreams has 'app' already"},
    {"add upstream third balance roulette", "expected one of round_robin"},
    {"add listener", "expected: add listener NAME ADDRESS"},
    {"add listener more :80", "web"},
    {"add listener more :81 mode tcp", "expected `upstream`"},
    {"add route mid", "routes.mid.upstream is missing"},
    {"add route mid upstream none", "there is no upstream 'none'"},
    {"add route mid upstream app path b", "begin with '/'"},
    {"add drain_timeout", "is no list"},
    {"add nothing", "there is no key 'nothing'"},
    {"set drain_timeout", "expected: set backend"},
    {"set backend app/b1", "expected: set backend NAME KEY VALUE"},
    {"set backend app/b1 weight", "expected: set backend NAME KEY VALUE"},
    {"set backend b1 weight 3", "expected UPSTREAM/NAME instead of 'b1'"},
    {"set backend app/none weight 3", "has no element 'none.weight'"},
    {"set backend app/b1 state gone", "expected one of enabled, drain, disabled"},
    {"set upstreams.app.connect_timeout 2", "expected a duration"},
    {"set upstreams.app.connect_timeout 2s 3s", "takes 1 value, 2 given"},
    {"set upstreams.app 2s", "is a list"},
    {"set limits.sessions 100", "limits.sessions cannot change while it runs"},
    {"set cache.bytes 1MiB", "cache.bytes cannot change while it runs"},
    {"unset listeners.web.listen", "must be given"},
    {"unset upstreams", "no single value"},
    {"remove backend app/none", "has no element 'none'"},
    {"remove server app/b1", "expected backend, upstream, listener or route instead of 'server'"},
    {"remove upstream spare", "there is no upstream 'spare'"},
    {"remove upstream app", "there is no upstream 'app'"},
    {"remove listener web", "no listeners"},
    {"remove drain_timeout", "no element of a list"},
    {"list ; set drain_timeout 1s", "'list' is no change"},
    {"set drain_timeout 1s ; set drain_timeout soon", "change 2 (set drain_timeout soon): drain_timeout is 'soon'"},
    {"set drain_timeout 1s ; lost", "change 2 (lost): there is no command 'lost'"},
    {"apply ;", "expected: apply TEXT"},
    {"apply '; # x'", "no change was given"},
    {"apply 'set via \"x'", "line 1: a quote does not end"},
    {"apply 'apply x'", "'apply' is no change"},
    {"holds app", "expected UPSTREAM/NAME"},
    {"holds app/none", "there is no backend 'app/none'"},
    {"cut app/b1", "takes new connections"},
    {"cut app/none", "there is no backend"},
    {"purge", "expected: purge url URL"},
    {"purge page x", "expected: purge url URL"},
    {"purge all hard", "expected: purge url URL"},
    {"purge url /page", "expected a whole URL"},
    {"purge url http:///page", "expected a whole URL"},
    {"purge url http://a/ firm", "expected: purge url URL"},
    {"purge tag ''", "expected a tag"},
};

static void every_bad_form_says_why_and_changes_nothing(void **state)
{
    struct world *w = world_create();
    struct proxy_config before;
    struct config_tree_difference difference;
    assert_true(config_tree_copy(proxy_keys, sizeof before, &before, w->shared->plan->config));
    for (unsigned i = 0; i < sizeof bad_cases / sizeof *bad_cases; i++) {
        const struct bad_case *c = &bad_cases[i];
        if (say(w, c->line) || !strstr(w->said, c->part))
            fail_msg("'%s' is answered '%s', expected '%s'", c->line, w->said, c->part);
        assert_null(strchr(w->said, '\n'));
        assert_true(config_tree_equal(proxy_keys, &before, proxy_configuration(w->shared), &difference));
    }
    assert_settled(w, 1);
    config_tree_free(proxy_keys, &before);
    world_free(w);
}

static void a_change_is_what_the_configuration_then_says(void **state)
{
    struct world *w = world_create();
    assert_true(say(w, "add backend app 10.0.0.9:80 before b1 ; set backend app/b1 weight 7 ; set via other"));
    assert_int_equal(upstream(w, 0)->backend_count, 3);
    assert_string_equal(upstream(w, 0)->backends[0].name, "10.0.0.9:80");
    assert_int_equal(upstream(w, 0)->backends[1].weight, 7);
    assert_int_equal(upstream(w, 0)->connect_timeout, 3 * MR_SECOND);
    assert_string_equal(w->shared->plan->config->via, "other");
    assert_ptr_equal(proxy_configuration(w->shared), w->shared->plan->config);
    world_free(w);
}

static void a_backend_keeps_its_slot_through_changes(void **state)
{
    struct world *w = world_create();
    uint32_t slot = w->shared->plan->upstreams[0].backends[1].slot;
    assert_true(say(w, "remove backend app/b1"));
    assert_int_equal(w->shared->plan->upstreams[0].backends[0].slot, slot);
    assert_true(say(w, "add backend app 10.0.0.1:8001 name b1"));
    assert_true(say(w, "version"));
    assert_settled(w, 3);
    world_free(w);
}

/* -- all or nothing ---------------------------------------------------------------------------------------------------- */

static void when_one_worker_refuses_the_others_go_back(void **state)
{
    struct world *w = world_create();
    fake_listen_error(w->group.w[1], MR_ERROR_IN_USE);
    assert_false(say(w, "add listener more :8080 upstream app"));
    assert_non_null(strstr(w->said, "listener more: worker 1: "));
    assert_non_null(strstr(w->said, "nothing has changed"));
    assert_settled(w, 1);
    fake_listen_error(w->group.w[1], MR_OK);
    assert_true(say(w, "add listener more :8080 upstream app"));
    assert_settled(w, w->shared->version);
    world_free(w);
}

/* A control thread whose worker `silent` answers only when it is told to. */
struct late_control {
    struct mr_control control;
    struct world *world;
    unsigned silent, full, count;
    struct {
        mr_message_fn fn;
        void *argument;
    } late[8];
};

static int late_ask(const struct mr_control *control, unsigned worker, mr_message_fn fn, void *argument)
{
    struct late_control *l = (struct late_control *)control;
    if (worker != l->silent) {
        fn(l->world->group.w[worker], argument);
        return MR_OK;
    }
    if (l->full && l->full--)
        return MR_ERROR_NO_MEMORY;
    if (l->count == 8)
        return MR_ERROR_NO_MEMORY;
    l->late[l->count].fn = fn;
    l->late[l->count++].argument = argument;
    return MR_ERROR_SILENT;
}

static void late_deliver(struct late_control *l)
{
    for (unsigned i = 0; i < l->count; i++) {
        l->late[i].fn(l->world->group.w[l->silent], l->late[i].argument);
        free(l->late[i].argument);
    }
    l->count = 0;
}

static void a_worker_that_comes_late_ends_with_the_old_version(void **state)
{
    struct world *w = world_create();
    struct late_control late = {{WORKERS, late_ask}, w, .silent = 1};
    assert_false(say_by(w, &late.control, "set backend app/b1 weight 3"));
    assert_non_null(strstr(w->said, "worker 1: "));
    assert_int_equal(late.count, 2); /* the new one, and the old one again */
    assert_ptr_equal(w->shared->instances[0]->plan, w->shared->plan);
    assert_int_equal(plan_sweep(w->shared), 1); /* the message holds the new one */
    late_deliver(&late);
    assert_settled(w, 1);
    assert_true(say(w, "set backend app/b1 weight 3"));
    assert_int_equal(upstream(w, 0)->backends[0].weight, 3);
    world_free(w);
}

static void a_full_mailbox_is_tried_again(void **state)
{
    struct world *w = world_create();
    struct late_control late = {{WORKERS, late_ask}, w, .silent = 1, .full = 3};
    assert_false(say_by(w, &late.control, "set drain_timeout 3s"));
    assert_int_equal(late.full, 0);
    assert_int_equal(late.count, 2);
    late_deliver(&late);
    assert_settled(w, 1);
    world_free(w);
}

static void a_silent_worker_is_named_where_its_part_is_missing(void **state)
{
    struct world *w = world_create();
    struct late_control late = {{WORKERS, late_ask}, w, .silent = 0};
    assert_true(say_by(w, &late.control, "list"));
    assert_non_null(strstr(w->said, "1 of 2 workers did not answer"));
    assert_true(say_by(w, &late.control, "holds"));
    assert_non_null(strstr(w->said, "1 of 2 workers did not answer"));
    late_deliver(&late);
    world_free(w);
}

/* -- reload ------------------------------------------------------------------------------------------------------------ */

static void another_file_takes_the_place_of_the_first(void **state)
{
    struct world *w = world_create();
    struct proxy_config next;
    char message[400] = "";
    assert_true(config_tree_copy(proxy_keys, sizeof next, &next, &w->config));
    next.upstreams[0].backends[0].weight = 11;
    assert_true(proxy_reconfigure(w->shared, &w->control.control, &next, false, message, sizeof message));
    assert_settled(w, 1);
    assert_true(proxy_reconfigure(w->shared, &w->control.control, &next, true, message, sizeof message));
    assert_settled(w, 2);
    assert_int_equal(upstream(w, 0)->backends[0].weight, 11);
    next.limits.flows++;
    assert_false(proxy_reconfigure(w->shared, &w->control.control, &next, false, message, sizeof message));
    assert_string_equal(message, "limits.flows cannot change while it runs: restart for it");
    assert_settled(w, 2);
    config_tree_free(proxy_keys, &next);
    world_free(w);
}

/* -- words ------------------------------------------------------------------------------------------------------------- */

static const struct split_case {
    const char *text, *words; /* joined by '|'; NULL: refused */
} split_cases[] = {
    {"", ""},
    {" \n ; \n", ""},
    {"a b", "a|b"},
    {"a\nb", "a|;|b"},
    {"a;b", "a|;|b"},
    {"a ; ; \n b", "a|;|b"},
    {"a 'b c' \"d e\"", "a|b c|d e"},
    {"a'b'\"c\"d", "abcd"},
    {"'a;b' 'c#d'", "a;b|c#d"},
    {"a # b\nc", "a|;|c"},
    {"a#b", "a#b"},
    {"a\\ b \\\"c \"d\\\"e\" 'f\\g'", "a b|\"c|d\"e|f\\g"},
    {"''", ""},
    {"a '' b", "a||b"},
    {"\\", "\\"},
    {"a\t\r\nb", "a|;|b"},
    {"'a", NULL},
    {"\"a\\\"", NULL},
};

static void text_is_split_to_words(void **state)
{
    for (unsigned i = 0; i < sizeof split_cases / sizeof *split_cases; i++) {
        const struct split_case *c = &split_cases[i];
        char message[100] = "", joined[100] = "";
        int count = 0;
        char **words = control_words_split(c->text, &count, message, sizeof message);
        for (int k = 0; words && k < count; k++)
            sprintf(joined + strlen(joined), "%s%s", k ? "|" : "", words[k]);
        free(words);
        if (!words != !c->words || (words && strcmp(joined, c->words)))
            fail_msg("'%s' is split '%s', expected '%s'", c->text, joined, c->words ? c->words : "not at all");
    }
}

static void more_words_than_the_most_are_refused(void **state)
{
    static char text[3 * CONTROL_WORDS_MAX];
    char message[100];
    int count;
    memset(text, 'a', sizeof text - 1);
    for (unsigned i = 1; i < sizeof text - 1; i += 2)
        text[i] = ' ';
    assert_null(control_words_split(text, &count, message, sizeof message));
    assert_non_null(strstr(message, "more than 4096 words"));
}

static void bytes_that_are_no_characters_are_shown_as_such(void **state)
{
    static const struct {
        const char *bytes, *text;
    } cases[] = {
        {"a\"b\\c", "\"a\\\"b\\\\c\""},
        {"\x01\n\x7f", "\"\\u0001\\u000a\\u007f\""},
        {"\xc3\xa4", "\"\xc3\xa4\""},
        {"\xc3", "\"\\uFFFD\""},
        {"\xc0\x80", "\"\\uFFFD\\uFFFD\""},
        {"\xed\xa0\x80", "\"\\uFFFD\\uFFFD\\uFFFD\""},
        {"\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\""},
        {"\xf4\x90\x80\x80", "\"\\uFFFD\\uFFFD\\uFFFD\\uFFFD\""},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct control_answer a = {0};
        control_answer_text(&a, NULL, cases[i].bytes);
        char *text = control_answer_end(&a);
        assert_string_equal(text, cases[i].text);
        free(text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_good_form_is_done),
        cmocka_unit_test(every_bad_form_says_why_and_changes_nothing),
        cmocka_unit_test(a_change_is_what_the_configuration_then_says),
        cmocka_unit_test(a_backend_keeps_its_slot_through_changes),
        cmocka_unit_test(when_one_worker_refuses_the_others_go_back),
        cmocka_unit_test(a_worker_that_comes_late_ends_with_the_old_version),
        cmocka_unit_test(a_full_mailbox_is_tried_again),
        cmocka_unit_test(a_silent_worker_is_named_where_its_part_is_missing),
        cmocka_unit_test(another_file_takes_the_place_of_the_first),
        cmocka_unit_test(text_is_split_to_words),
        cmocka_unit_test(more_words_than_the_most_are_refused),
        cmocka_unit_test(bytes_that_are_no_characters_are_shown_as_such),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
