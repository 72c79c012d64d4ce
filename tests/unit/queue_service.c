/* The queue as a service: what its configuration refuses and where, what is added to it, start and stop on several workers. */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "config/config_edit.h"
#include "config/config_tree.h"
#include "queue/amqp/server.h"
#include "queue/catalog/catalog.h"
#include "queue/core/queue.h"
#include "tests/support/queue_service_world.h"

#define SETTINGS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* -- configuration ---------------------------------------------------------------------------------------------------------- */

static void every_preset_is_within_its_bounds_and_passes_the_check(void **state)
{
    struct queue_config config;
    char message[400] = "";
    if (!service_world_config(&config, NULL, message, sizeof message))
        fail_msg("%s", message);
    assert_int_equal(config.listen.port, 5672);
    assert_int_equal(config.memory_max, 256 << 20);
    assert_int_equal(config.disk_free_min, 64 << 20);
    assert_int_equal(config.segment_bytes, 16 << 20);
    assert_int_equal(config.connections_max, 4096);
    assert_int_equal(config.channels_max, 2047);
    assert_int_equal(config.frame_bytes_max, 131072);
    assert_int_equal(config.message_bytes_max, 128 << 20);
    assert_int_equal(config.queues_max, 10000);
    assert_int_equal(config.unacknowledged_max, 65536);
    assert_true(config.heartbeat == 60 * MR_SECOND && config.handshake_timeout == 10 * MR_SECOND);
    assert_int_equal(config.durability, QUEUE_FSYNC);
    assert_null(config.folder);
    config_tree_free(queue_keys, &config);
}

#define TEXT_16    "0123456789abcdef"
#define TEXT_64    TEXT_16 TEXT_16 TEXT_16 TEXT_16
#define TEXT_256   TEXT_64 TEXT_64 TEXT_64 TEXT_64
#define USER(name) "+users", name, "users[0].password", "secret"

static const struct refusal {
    const char *settings[24];
    const char *message; /* begins so */
} refusals[] = {
    {{"+vhosts", TEXT_256},
     "virtual host '0123456789abcdef0123456789abcdef0123456789abcdef0123456789ab' has 256 bytes, expected 1 to"},
    {{"+vhosts", "a", "+vhosts", "b", "vhosts[1].name", "a"}, "virtual host 'a' stands twice"},
    {{"+users", "bob"}, "user 'bob' has no password, expected password or password_file"},
    {{USER("bob"), "users[0].password_file", "/tmp/x"}, "user 'bob' has password and password_file"},
    {{"+users", "bob", "users[0].password", TEXT_256}, "password of user 'bob' has 256 bytes, expected 1 to 255"},
    {{"+users", "bob", "users[0].password_file", "/there/is/none"},
     "password_file /there/is/none of user 'bob': No such file or directory"},
    {{USER("bob"), "+users", "eve", "users[1].password", "x", "users[1].name", "bob"}, "user 'bob' stands twice"},
    {{USER("bob"), "+users[0].permissions", "", "users[0].permissions[0].write", "a("},
     "write of user 'bob': 'a(' is no extended regular expression: "},
    {{USER("bob"), "+users[0].permissions", "", "users[0].permissions[0].read", "["},
     "read of user 'bob': '[' is no extended regular expression: "},
    {{USER("bob"), "+users[0].permissions", "", "users[0].permissions[0].vhost", "there"},
     "permissions of user 'bob': there is no virtual host 'there'"},
    {{USER("bob"), "+users[0].permissions", "", "+users[0].permissions", ""},
     "permissions of user 'bob' on virtual host '/' stand twice"},
    {{"folder", "/dev/null"}, "folder /dev/null: Not a directory"},
    {{"message_bytes_max", "200MiB"}, "message_bytes_max is more than half of memory_max"},
};

static void what_no_value_shows_alone_is_refused_with_its_place(void **state)
{
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        const struct refusal *r = &refusals[i];
        struct queue_config config = {0};
        char message[400] = "";
        const void *value = NULL;
        struct config_edit edit = {queue_keys, &config, message, sizeof message};
        assert_true(config_tree_presets(queue_keys, "", &config));
        for (const char *const *s = r->settings; *s; s += 2) {
            unsigned at;
            if (!(s[0][0] == '+' ? config_edit_add(&edit, s[0] + 1, *s[1] ? s[1] : NULL, NULL, &at)
                                 : config_edit_set(&edit, s[0], &s[1], 1)))
                fail_msg("%s: %s", s[0], message);
        }
        assert_false(queue_config_check(&config, &value, message, sizeof message));
        if (strncmp(message, r->message, strlen(r->message)))
            fail_msg("case %zu: expected '%s', got '%s'", i, r->message, message);
        assert_non_null(value);
        config_tree_free(queue_keys, &config);
    }
}

static void without_users_there_is_guest_and_without_hosts_the_slash(void **state)
{
    struct queue_config config, *complete;
    char message[400];
    assert_true(service_world_config(&config, NULL, message, sizeof message));
    complete = queue_config_complete(&config, 1);
    assert_non_null(complete);
    assert_int_equal(complete->vhost_count, 1);
    assert_string_equal(complete->vhosts[0].name, "/");
    assert_int_equal(complete->user_count, 1);
    assert_string_equal(complete->users[0].name, "guest");
    assert_string_equal(complete->users[0].password, "guest");
    assert_int_equal(config.user_count, 0);
    queue_config_free(complete);
    config_tree_free(queue_keys, &config);
}

static void a_password_file_gives_its_first_line(void **state)
{
    char path[] = "/tmp/queue-password-XXXXXX", message[400];
    struct queue_config config, *complete;
    int file = mkstemp(path);
    assert_int_equal(write(file, "s3cret word\r\nmore\n", 18), 18);
    close(file);
    assert_true(service_world_config(&config, SETTINGS("+users", "bob", "users[0].password_file", path), message,
                                     sizeof message));
    complete = queue_config_complete(&config, 1);
    assert_non_null(complete);
    assert_string_equal(complete->users[0].password, "s3cret word");
    queue_config_free(complete);
    assert_int_equal(truncate(path, 0), 0);
    assert_null(queue_config_complete(&config, 1));
    assert_int_equal(unlink(path), 0);
    config_tree_free(queue_keys, &config);
}

static void a_message_is_at_most_half_of_what_a_worker_has(void **state)
{
    struct queue_config config, *complete;
    char message[400];
    assert_true(service_world_config(&config, NULL, message, sizeof message));
    complete = queue_config_complete(&config, 4);
    assert_int_equal(complete->message_bytes_max, 32 << 20);
    queue_config_free(complete);
    config_tree_free(queue_keys, &config);
}

/* -- life ---------------------------------------------------------------------------------------------------------------------- */

static void instances_start_and_stop_on_any_number_of_workers(void **state)
{
    for (unsigned workers = 1; workers <= SERVICE_GROUP_MAX; workers++) {
        struct service_world *w = service_world_create(workers, false, NULL);
        for (unsigned i = 0; i < workers; i++) {
            struct broker *b = service_world_broker(w, i);
            assert_int_equal(b->index, i);
            assert_int_equal(b->workers, workers);
            assert_ptr_equal(b->shared->instance[i], b);
            assert_int_equal(b->memory.limit, (256u << 20) / workers);
            assert_non_null(catalog_exchange_find(b->catalog, 0, (struct mr_span){(const uint8_t *)"amq.topic", 9}));
            catalog_check(b->catalog);
            queue_set_check(b);
            amqp_server_check(b);
        }
        service_world_pass(w, 3 * MR_SECOND);
        service_world_free(w);
    }
}

static void a_durable_queue_is_there_after_a_restart_and_another_is_not(void **state)
{
    struct service_world *w = service_world_create(2, true, NULL);
    assert_true(service_world_say(w, "declare kept"));
    assert_true(service_world_say(w, "declare passing durable=no"));
    service_world_restart(w);
    assert_true(service_world_say(w, "show kept"));
    assert_false(service_world_say(w, "show passing"));
    service_world_free(w);
}

static void a_folder_in_use_fails_the_start(void **state)
{
    struct service_world *w = service_world_create(1, true, NULL);
    void *shared = NULL;
    pid_t child = fork(); /* the lock is of a process */
    if (child == 0)
        _exit(queue_service.open(&w->config, 1, &shared) == MR_OK ? 0 : 7);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 7);
    service_world_free(w);
}

/* The wall clock is followed by the turns: what is published is dated by it. */
static void time_goes_by_the_wall_clock(void **state)
{
    struct service_world *w = service_world_create(1, false, NULL);
    struct broker *b = service_world_broker(w, 0);
    uint64_t before = broker_unix_ms(b), now = (uint64_t)time(NULL) * 1000;
    assert_in_range(before, now - 5000, now + 5000);
    service_world_pass(w, 10 * MR_SECOND);
    assert_in_range(broker_unix_ms(b), before + 9900, before + 10500);
    service_world_free(w);
}

static void a_listener_that_cannot_be_opened_fails_the_start(void **state)
{
    struct queue_config config;
    char message[400];
    uint64_t counters[QUEUE_COUNTERS] = {0};
    struct mr_worker *worker = fake_worker_create();
    void *shared = NULL, *instance;
    assert_true(service_world_config(&config, NULL, message, sizeof message));
    fake_group(&worker, 1);
    assert_int_equal(queue_service.open(&config, 1, &shared), MR_OK);
    fake_listen_error(worker, MR_ERROR_IN_USE);
    instance = shared;
    assert_int_equal(queue_service.start(worker, &config, counters, &instance), MR_ERROR_IN_USE);
    queue_service.close(shared);
    fake_worker_free(worker);
    config_tree_free(queue_keys, &config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_preset_is_within_its_bounds_and_passes_the_check),
        cmocka_unit_test(what_no_value_shows_alone_is_refused_with_its_place),
        cmocka_unit_test(without_users_there_is_guest_and_without_hosts_the_slash),
        cmocka_unit_test(a_password_file_gives_its_first_line),
        cmocka_unit_test(a_message_is_at_most_half_of_what_a_worker_has),
        cmocka_unit_test(instances_start_and_stop_on_any_number_of_workers),
        cmocka_unit_test(a_durable_queue_is_there_after_a_restart_and_another_is_not),
        cmocka_unit_test(a_folder_in_use_fails_the_start),
        cmocka_unit_test(time_goes_by_the_wall_clock),
        cmocka_unit_test(a_listener_that_cannot_be_opened_fails_the_start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
