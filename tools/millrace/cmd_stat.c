#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tools/millrace/cmd_service.h"
#include "tools/millrace/format.h"

struct options {
    struct control_target target;
    struct format_stat_options format;
    bool json, prometheus;
    uint64_t watch_s;
};

static int parse(const struct command *self, int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        int n = control_target_option(&o->target, argc, argv, i);
        if (n < 0)
            return command_usage(self, "%s needs a value", argv[i]);
        if (n > 0)
            i += n - 1;
        else if (!strcmp(argv[i], "--all"))
            o->format.zeros = true;
        else if (!strcmp(argv[i], "--json"))
            o->json = true;
        else if (!strcmp(argv[i], "--prometheus"))
            o->prometheus = true;
        else if (!strcmp(argv[i], "--watch")) {
            if (i + 1 >= argc || !command_number(argv[++i], 1, 3600, &o->watch_s))
                return command_usage(self, "--watch needs a number of seconds from 1 to 3600");
        } else if (argv[i][0] != '-' && !o->format.area)
            o->format.area = argv[i];
        else
            return command_usage(self, "unexpected '%s'", argv[i]);
    }
    return o->watch_s && (o->json || o->prometheus) ? command_usage(self, "--watch goes with text only") : EXIT_GOOD;
}

static json_t *ask(const struct options *o, int *code)
{
    return control_ask(&o->target, json_pack("{s:s}", "command", "stat"), -1, code);
}

/* Services that say more than counters do, by their command `stat`. */
static const struct details {
    const char *service;
    void (*prometheus)(const json_t *answer, FILE *out);
} details[] = {{"proxy", format_proxy_prometheus}, {"queue", format_queue_prometheus}};

static bool runs(const json_t *counters, const char *service)
{
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(counters, "counters"), i, row)
    {
        const char *area = json_string_value(json_object_get(row, "area"));
        if (area && !strcmp(area, service))
            return true;
    }
    return false;
}

/* Where it runs and was asked for; quietly nothing otherwise. */
static void print_details(const struct options *o, const json_t *counters, const struct details *d)
{
    int code;
    if (!(o->prometheus || o->format.area) || (o->format.area && strcmp(o->format.area, d->service)) ||
        !runs(counters, d->service))
        return;
    json_t *words = json_pack("[s]", "stat");
    json_t *answer = service_ask(&o->target, d->service, words, &code);
    json_decref(words);
    if (answer && o->prometheus)
        d->prometheus(answer, stdout);
    else if (answer)
        format_answer(answer, stdout);
    json_decref(answer);
}

/* With `before`, what moved since then. */
static void print(const struct options *o, const json_t *answer, const json_t *before)
{
    if (o->prometheus)
        format_prometheus(answer, stdout);
    else
        format_stat(answer, before, before ? (double)o->watch_s : 0, &o->format, stdout);
    for (size_t i = 0; i < sizeof details / sizeof *details; i++)
        print_details(o, answer, &details[i]);
}

/* Until the process goes, or the user interrupts. */
static int watch(const struct options *o, json_t *before)
{
    int code = EXIT_GOOD;
    for (;;) {
        sleep((unsigned)o->watch_s);
        json_t *now = ask(o, &code);
        if (!now)
            break;
        char when[16];
        time_t t = time(NULL);
        strftime(when, sizeof when, "%H:%M:%S", localtime(&t));
        printf("\n%s\n", when);
        print(o, now, before);
        fflush(stdout);
        json_decref(before);
        before = now;
    }
    json_decref(before);
    return code;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct options o = {0};
    int code = parse(self, argc, argv, &o);
    json_t *answer = code ? NULL : ask(&o, &code);
    if (!answer)
        return code;
    if (o.json) {
        json_dumpf(answer, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        print(&o, answer, NULL);
    }
    fflush(stdout);
    if (o.watch_s)
        return watch(&o, answer);
    json_decref(answer);
    return EXIT_GOOD;
}

const struct command command_stat = {
    "stat", "[AREA] [--all] [--json|--prometheus] [--watch SECONDS]", "Shows the counters of a running process.",
    "  AREA           only those of one area: tcp, ip4, link, http, cache, ...; proxy: its backends, too;\n"
    "                 queue: the fullest queues\n"
    "  --all          also those that are zero\n"
    "  --json         everything as JSON\n"
    "  --prometheus   everything in Prometheus' exposition format\n"
    "  --watch N      again every N seconds: what moved, and its rate\n" CONTROL_OPTIONS_HELP
    "Counters are summed; with several workers a column for each follows.\n",
    run};
