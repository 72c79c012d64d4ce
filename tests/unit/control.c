/* The control socket with a back end that is a script: requests, limits, clients that misbehave, descriptors. */
#include "tests/support/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tools/millrace/control_client.h"
#include "tools/millrace/control_server.h"

struct fixture {
    char folder[64], path[96];
    struct control_server *server;
    pthread_t thread;
    atomic_bool ending;
    atomic_uint requests, gone;
    size_t answer_bytes; /* of padding in each answer */
};

static json_t *fake_request(void *self, const struct control_request *r, unsigned client, int *descriptor)
{
    struct fixture *f = self;
    atomic_fetch_add(&f->requests, 1);
    if (r->command == CONTROL_SET)
        return !strcmp(r->name, "log") ? json_pack("{s:b,s:s}", "ok", 1, "value", r->value)
                                       : control_error("no such setting");
    if (*descriptor >= 0) {
        ssize_t n = write(*descriptor, "here\n", 5);
        close(*descriptor);
        *descriptor = -1;
        return json_pack("{s:b,s:I,s:I}", "ok", 1, "bytes", (json_int_t)n, "seconds", (json_int_t)r->seconds);
    }
    char *padding = malloc(f->answer_bytes + 1);
    memset(padding, 'x', f->answer_bytes);
    padding[f->answer_bytes] = 0;
    json_t *answer = json_pack("{s:b,s:i,s:s}", "ok", 1, "command", (int)r->command, "padding", padding);
    free(padding);
    return answer;
}

static void fake_gone(void *self, unsigned client)
{
    atomic_fetch_add(&((struct fixture *)self)->gone, 1);
}

static void *serve(void *argument)
{
    struct fixture *f = argument;
    while (!atomic_load(&f->ending))
        control_server_step(f->server, 1000);
    return NULL;
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    strcpy(f->folder, "/tmp/millrace-control-XXXXXX");
    assert_non_null(mkdtemp(f->folder));
    snprintf(f->path, sizeof f->path, "%s/sub/x.sock", f->folder);
    struct control_backend backend = {f, fake_request, fake_gone};
    char why[CONTROL_WHY_MAX];
    f->server = control_server_create(f->path, &backend, why);
    assert_non_null(f->server);
    pthread_create(&f->thread, NULL, serve, f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    char sub[96];
    atomic_store(&f->ending, true);
    control_server_wake(f->server);
    pthread_join(f->thread, NULL);
    control_server_destroy(f->server);
    assert_int_not_equal(access(f->path, F_OK), 0); /* the socket is removed */
    snprintf(sub, sizeof sub, "%s/sub", f->folder);
    rmdir(sub);
    rmdir(f->folder);
    free(f);
    return 0;
}

static int dial(const struct fixture *f)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct timeval wait = {.tv_sec = 10};
    snprintf(a.sun_path, sizeof a.sun_path, "%s", f->path);
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(s, (struct sockaddr *)&a, sizeof a), 0);
    setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    return s;
}

static void send_text(int s, const char *text, size_t n)
{
    assert_int_equal(send(s, text, n, MSG_NOSIGNAL), n);
}

/* One line without its newline; "" at the end of the connection. */
static const char *receive_text(int s, char *line, size_t bytes)
{
    size_t n = 0;
    while (n + 1 < bytes && recv(s, line + n, 1, 0) == 1 && line[n] != '\n')
        n++;
    line[n] = 0;
    return line;
}

static const char *exchange(int s, const char *request, char *line, size_t bytes)
{
    send_text(s, request, strlen(request));
    send_text(s, "\n", 1);
    return receive_text(s, line, bytes);
}

static const struct {
    const char *request, *answer;
} malformed[] = {
    {"", "{\"ok\":false,\"error\":\"not JSON: '[' or '{' expected near end of file at column 0\"}"},
    {"{", "{\"ok\":false,\"error\":\"not JSON: string or '}' expected near end of file at column 1\"}"},
    {"[]", "{\"ok\":false,\"error\":\"expected an object with \\\"command\\\": a name; \\\"help\\\" lists them\"}"},
    {"{\"command\":7}",
     "{\"ok\":false,\"error\":\"expected an object with \\\"command\\\": a name; \\\"help\\\" lists them\"}"},
    {"{\"command\":\"fly\"}", "{\"ok\":false,\"error\":\"unknown command 'fly'; \\\"help\\\" lists them\"}"},
    {"{\"command\":\"stat\",\"all\":1}", "{\"ok\":false,\"error\":\"command 'stat' takes no argument 'all'\"}"},
    {"{\"command\":\"conns\",\"limit\":0}",
     "{\"ok\":false,\"error\":\"argument 'limit' is '0', expected a number from 1 to 100000\"}"},
    {"{\"command\":\"conns\",\"limit\":-5}",
     "{\"ok\":false,\"error\":\"argument 'limit' has the wrong type, expected a number from 1 to 100000\"}"},
    {"{\"command\":\"conns\",\"limit\":{}}",
     "{\"ok\":false,\"error\":\"argument 'limit' has the wrong type, expected a number from 1 to 100000\"}"},
    {"{\"command\":\"set\",\"name\":\"log\"}",
     "{\"ok\":false,\"error\":\"argument 'value' is missing, expected text of 1 to 64 characters\"}"},
    {"{\"command\":\"set\",\"name\":\"x\",\"value\":\"y\"}", "{\"ok\":false,\"error\":\"no such setting\"}"},
};

static void malformed_requests_are_refused_and_the_client_stays(void **state)
{
    struct fixture *f = *state;
    char line[1024];
    int s = dial(f);
    for (unsigned i = 0; i < sizeof malformed / sizeof *malformed; i++)
        assert_string_equal(exchange(s, malformed[i].request, line, sizeof line), malformed[i].answer);
    assert_string_equal(exchange(s, "{\"command\":\"set\",\"name\":\"log\",\"value\":\"debug\"}", line, sizeof line),
                        "{\"ok\":true,\"value\":\"debug\"}");
    close(s);
}

static void requests_in_one_write_are_answered_in_order(void **state)
{
    struct fixture *f = *state;
    static const char two[] = "{\"command\":\"stat\"}\n{\"command\":\"status\"}\n";
    char line[1024];
    int s = dial(f);
    send_text(s, two, sizeof two - 1);
    assert_string_equal(receive_text(s, line, sizeof line), "{\"ok\":true,\"command\":1,\"padding\":\"\"}");
    assert_string_equal(receive_text(s, line, sizeof line), "{\"ok\":true,\"command\":0,\"padding\":\"\"}");
    close(s);
}

static void a_request_split_at_every_byte_is_answered(void **state)
{
    struct fixture *f = *state;
    static const char request[] = "{\"command\":\"status\"}\n";
    char line[1024];
    int s = dial(f);
    for (size_t i = 0; i < sizeof request - 1; i++)
        send_text(s, request + i, 1);
    assert_string_equal(receive_text(s, line, sizeof line), "{\"ok\":true,\"command\":0,\"padding\":\"\"}");
    close(s);
}

static void a_request_beyond_the_limit_ends_the_client(void **state)
{
    struct fixture *f = *state;
    char line[1024], *long_text = malloc(CONTROL_REQUEST_BYTES_MAX + 1);
    memset(long_text, ' ', CONTROL_REQUEST_BYTES_MAX + 1);
    int s = dial(f);
    send_text(s, long_text, CONTROL_REQUEST_BYTES_MAX + 1);
    assert_string_equal(receive_text(s, line, sizeof line),
                        "{\"ok\":false,\"error\":\"a request is longer than 65536 bytes\"}");
    assert_string_equal(receive_text(s, line, sizeof line), "");
    assert_int_equal(atomic_load(&f->requests), 0);
    free(long_text);
    close(s);
}

static void an_answer_larger_than_the_socket_takes_arrives_whole(void **state)
{
    struct fixture *f = *state;
    f->answer_bytes = 3 << 20;
    char *line = malloc(4 << 20);
    int s = dial(f), other = dial(f);
    send_text(s, "{\"command\":\"stat\"}\n", 19);
    /* Nobody reads yet: another client is served meanwhile. */
    char small[256];
    assert_string_equal(exchange(other, "{\"command\":\"set\",\"name\":\"log\",\"value\":\"i\"}", small, sizeof small),
                        "{\"ok\":true,\"value\":\"i\"}");
    size_t n = 0;
    for (ssize_t got; n == 0 || line[n - 1] != '\n'; n += (size_t)got) {
        got = recv(s, line + n, (4 << 20) - n, 0);
        assert_true(got > 0);
    }
    assert_int_equal(n, (3 << 20) + strlen("{\"ok\":true,\"command\":1,\"padding\":\"\"}\n"));
    free(line);
    close(s);
    close(other);
}

static void clients_beyond_the_limit_are_told_so(void **state)
{
    struct fixture *f = *state;
    int s[CONTROL_CLIENTS_MAX];
    char line[256];
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        s[i] = dial(f);
        exchange(s[i], "{\"command\":\"set\",\"name\":\"log\",\"value\":\"i\"}", line, sizeof line); /* it is in */
    }
    int extra = dial(f);
    assert_string_equal(receive_text(extra, line, sizeof line),
                        "{\"ok\": false, \"error\": \"too many clients at the control socket\"}");
    close(extra);
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        close(s[i]);
    for (unsigned wait = 0; atomic_load(&f->gone) < CONTROL_CLIENTS_MAX && wait < 5000; wait++)
        usleep(1000);
    assert_int_equal(atomic_load(&f->gone), CONTROL_CLIENTS_MAX);
}

static void a_descriptor_comes_with_a_request(void **state)
{
    struct fixture *f = *state;
    struct control_target target = {.socket = f->path};
    char file[96], text[8] = "";
    snprintf(file, sizeof file, "%s/out", f->folder);
    int code, out = open(file, O_RDWR | O_CREAT, 0600);
    json_t *request = json_pack("{s:s,s:i}", "command", "capture", "seconds", 9);
    json_t *answer = control_ask(&target, request, out, &code);
    assert_non_null(answer);
    assert_int_equal(json_integer_value(json_object_get(answer, "bytes")), 5);
    assert_int_equal(json_integer_value(json_object_get(answer, "seconds")), 9);
    json_decref(answer);
    assert_int_equal(pread(out, text, sizeof text, 0), 5);
    assert_string_equal(text, "here\n");
    close(out);
    unlink(file);
}

static void help_names_every_command(void **state)
{
    struct fixture *f = *state;
    struct control_target target = {.socket = f->path};
    int code;
    json_t *answer = control_ask(&target, json_pack("{s:s}", "command", "help"), -1, &code);
    assert_int_equal(json_array_size(json_object_get(answer, "commands")), CONTROL_COMMANDS);
    json_decref(answer);
}

static void the_socket_is_its_owners_alone(void **state)
{
    struct fixture *f = *state;
    struct stat s;
    assert_int_equal(stat(f->path, &s), 0);
    assert_int_equal(s.st_mode & 0777, 0600);
}

static void a_living_socket_is_not_taken_over(void **state)
{
    struct fixture *f = *state;
    struct control_backend backend = {f, fake_request, NULL};
    char why[CONTROL_WHY_MAX];
    assert_null(control_server_create(f->path, &backend, why));
    assert_non_null(strstr(why, "another process answers there"));
}

static void a_stale_socket_is_replaced_and_a_file_is_not(void **state)
{
    struct fixture *f = *state;
    struct control_backend backend = {f, fake_request, NULL};
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    char why[CONTROL_WHY_MAX];
    snprintf(a.sun_path, sizeof a.sun_path, "%s/stale", f->folder);
    int s = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(s, (struct sockaddr *)&a, sizeof a), 0);
    close(s); /* the name stays: its owner died */
    struct control_server *again = control_server_create(a.sun_path, &backend, why);
    assert_non_null(again);
    control_server_destroy(again);
    close(open(a.sun_path, O_WRONLY | O_CREAT, 0600));
    assert_null(control_server_create(a.sun_path, &backend, why));
    assert_int_equal(access(a.sun_path, F_OK), 0);
    unlink(a.sun_path);
}

static void nobody_there_is_exit_code_4(void **state)
{
    struct control_target target = {.socket = "/nonexistent/millrace.sock"};
    int code = 0;
    assert_null(control_ask(&target, json_pack("{s:s}", "command", "stat"), -1, &code));
    assert_int_equal(code, EXIT_UNREACHABLE);
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SERVER(malformed_requests_are_refused_and_the_client_stays),
        WITH_SERVER(requests_in_one_write_are_answered_in_order),
        WITH_SERVER(a_request_split_at_every_byte_is_answered),
        WITH_SERVER(a_request_beyond_the_limit_ends_the_client),
        WITH_SERVER(an_answer_larger_than_the_socket_takes_arrives_whole),
        WITH_SERVER(clients_beyond_the_limit_are_told_so),
        WITH_SERVER(a_descriptor_comes_with_a_request),
        WITH_SERVER(help_names_every_command),
        WITH_SERVER(the_socket_is_its_owners_alone),
        WITH_SERVER(a_living_socket_is_not_taken_over),
        WITH_SERVER(a_stale_socket_is_replaced_and_a_file_is_not),
        cmocka_unit_test(nobody_there_is_exit_code_4),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
