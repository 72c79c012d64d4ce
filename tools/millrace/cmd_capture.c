#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "services/config/config_value.h"
#include "tools/millrace/control_client.h"

struct options {
    struct control_target target;
    const char *file, *interface, *filter;
    uint64_t seconds, bytes, snap;
};

static const struct mr_config_key bytes_key = {.type = MR_CONFIG_BYTES, .minimum = 1024, .maximum = 1ull << 40};

static int parse(const struct command *self, int argc, char **argv, struct options *o)
{
    char why[CONFIG_EXPECTED_MAX];
    for (int i = 1; i < argc; i++) {
        int n = control_target_option(&o->target, argc, argv, i);
        bool option = !strncmp(argv[i], "--", 2);
        if (n < 0 || (n == 0 && option && i + 1 >= argc))
            return command_usage(self, "%s needs a value", argv[i]);
        const char *name = argv[i], *value = argv[i + (n > 0 || option)];
        i += n > 0 || option;
        if (n > 0)
            continue;
        if (!option && !o->file)
            o->file = name;
        else if (!strcmp(name, "--interface"))
            o->interface = value;
        else if (!strcmp(name, "--filter"))
            o->filter = value;
        else if (!strcmp(name, "--seconds")) {
            if (!command_number(value, 1, 86400, &o->seconds))
                return command_usage(self, "--seconds needs a number from 1 to 86400");
        } else if (!strcmp(name, "--snap")) {
            if (!command_number(value, 64, 65535, &o->snap))
                return command_usage(self, "--snap needs a number from 64 to 65535");
        } else if (!strcmp(name, "--bytes")) {
            if (!config_value_parse(&bytes_key, value, NULL, &o->bytes, why))
                return command_usage(self, "--bytes needs %s", why);
        } else
            return command_usage(self, "unexpected '%s'", name);
    }
    return o->file ? EXIT_GOOD : command_usage(self, "expected a file, or - for standard output");
}

static json_t *command(const char *name)
{
    return json_pack("{s:s}", "command", name);
}

static long long number(const json_t *answer, const char *key)
{
    return json_integer_value(json_object_get(answer, key));
}

/* Until it ends by itself or the user interrupts. True: it still runs. */
static bool wait_for_end(int socket, const sigset_t *signals, int *code)
{
    for (;;) {
        if (sigtimedwait(signals, NULL, &(struct timespec){.tv_nsec = 250000000}) > 0)
            return true;
        json_t *report = control_exchange(socket, command("capture_report"), -1, code);
        bool running = report && json_is_true(json_object_get(report, "running"));
        bool full = running && (number(report, "limited") > 0 || json_object_get(report, "failure"));
        json_decref(report);
        if (!running || full)
            return running;
    }
}

static int print_report(const json_t *r)
{
    const char *failure = json_string_value(json_object_get(r, "failure"));
    fprintf(stderr, "%lld packets, %lld bytes written", number(r, "written"), number(r, "bytes"));
    if (number(r, "overflowed"))
        fprintf(stderr, "; %lld lost, the disk was too slow", number(r, "overflowed"));
    if (number(r, "limited") && !failure)
        fprintf(stderr, "; %lld came after --bytes was reached", number(r, "limited"));
    fprintf(stderr, "%s%s\n", failure ? "; writing failed: " : "", failure ? failure : "");
    return failure ? EXIT_FAILED : EXIT_GOOD;
}

static int capture(int socket, int file, const struct options *o)
{
    sigset_t signals;
    int code = EXIT_GOOD;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    json_t *request = json_pack("{s:s,s:I,s:I,s:I,s:s*,s:s*}", "command", "capture", "seconds",
                                (json_int_t)(o->seconds ? o->seconds : 86400), "bytes", (json_int_t)o->bytes, "snap",
                                (json_int_t)o->snap, "interface", o->interface, "filter", o->filter);
    json_t *answer = control_exchange(socket, request, file, &code);
    if (!answer)
        return code;
    json_decref(answer);
    time_t until = time(NULL) + (time_t)(o->seconds ? o->seconds : 86400);
    fprintf(stderr, "capturing; interrupt to end\n");
    if (!wait_for_end(socket, &signals, &code)) {
        if (code == EXIT_GOOD && time(NULL) + 2 < until) {
            fprintf(stderr, "millrace: the capture was ended by somebody else\n");
            code = EXIT_FAILED;
        }
        return code;
    }
    answer = control_exchange(socket, command("capture_stop"), -1, &code);
    if (!answer)
        return code;
    code = print_report(answer);
    json_decref(answer);
    return code;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct options o = {.bytes = 1ull << 30, .snap = 65535};
    int code = parse(self, argc, argv, &o);
    if (code)
        return code;
    int socket = control_connect(&o.target);
    if (socket < 0)
        return EXIT_UNREACHABLE;
    int file = strcmp(o.file, "-") ? open(o.file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640) : STDOUT_FILENO;
    if (file < 0) {
        fprintf(stderr, "millrace: %s: %s\n", o.file, strerror(errno));
        close(socket);
        return EXIT_FAILED;
    }
    code = capture(socket, file, &o);
    close(socket);
    return code;
}

const struct command command_capture = {
    "capture", "FILE [--interface NAME] [--seconds N] [--bytes SIZE] [--snap N] [--filter WORDS]",
    "Writes the packets of a running process to a pcapng file, which Wireshark opens.",
    "  FILE           - is standard output: millrace capture - | wireshark -k -i -\n"
    "  --interface N  of one interface instead of all\n"
    "  --seconds N    end after this time; without it, when interrupted\n"
    "  --bytes SIZE   end at this size of the file (preset: 1GiB)\n"
    "  --snap N       bytes kept of each packet (preset: all)\n"
    "  --filter WORDS tcp, udp, icmp, arp, ip, `host ADDRESS`, `port NUMBER`, all of which must "
    "match\n" CONTROL_OPTIONS_HELP,
    run};
