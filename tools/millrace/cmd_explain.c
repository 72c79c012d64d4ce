#include <stdlib.h>
#include <string.h>

#include "services/services.h"
#include "tools/millrace/cmd_service.h"
#include "tools/millrace/config.h"
#include "tools/millrace/format.h"

struct options {
    struct control_target target;
    const char *file; /* NULL: a running process is asked */
    bool json;
    json_t *words;
};

static int parse(const struct command *self, int argc, char **argv, struct options *o)
{
    static const struct {
        const char *option, *word;
    } taken[] = {{"-H", "header"}, {"--from", "from"}, {"--listener", "listener"}};
    for (int i = 1; i < argc; i++) {
        int n = control_target_option(&o->target, argc, argv, i);
        if (n < 0)
            return command_usage(self, "%s needs a value", argv[i]);
        const char *word = NULL;
        for (size_t k = 0; k < sizeof taken / sizeof *taken; k++)
            if (!strcmp(argv[i], taken[k].option))
                word = taken[k].word;
        if (word && i + 1 == argc)
            return command_usage(self, "%s needs a value", argv[i]);
        if (n > 0) {
            i += n - 1;
        } else if (word) {
            json_array_append_new(o->words, json_string(word));
            json_array_append_new(o->words, json_string(argv[++i]));
        } else if (!strcmp(argv[i], "--json")) {
            o->json = true;
        } else if (!strcmp(argv[i], "--config")) {
            if (++i == argc)
                return command_usage(self, "--config needs a file");
            o->file = argv[i];
        } else if (argv[i][0] == '-' || json_array_append_new(o->words, json_string(argv[i]))) {
            return command_usage(self, "unexpected '%s'", argv[i]);
        }
    }
    return json_array_size(o->words) < 3 ? command_usage(self, "expected a method and a URL") : EXIT_GOOD;
}

/* The service as it would be at its start: opened, asked, closed; no worker runs, so every backend is as the file has it. */
static char *ask_service(const struct config_service *s, const json_t *words, bool *good)
{
    const struct mr_control nobody = {.workers = 0};
    size_t count = json_array_size(words);
    const char **argv = calloc(count + 1, sizeof *argv);
    void *shared;
    *good = false;
    if (!argv || s->service->open(s->values, 1, &shared) != MR_OK) {
        free(argv);
        return NULL;
    }
    for (size_t i = 0; i < count; i++)
        argv[i] = json_string_value(json_array_get(words, i));
    char *text = s->service->command(shared, &nobody, (int)count, argv, good);
    s->service->close(shared);
    free(argv);
    return text;
}

static int print_text(const char *text, bool json)
{
    json_t *answer = json_loads(text, 0, NULL);
    if (!answer)
        return EXIT_FAILED;
    if (json) {
        json_dumpf(answer, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        format_answer(answer, stdout);
    }
    json_decref(answer);
    return EXIT_GOOD;
}

static int explain_config(const struct config *c, const struct options *o)
{
    unsigned i = 0;
    bool good;
    while (i < c->service_count && strcmp(c->service[i].service->name, "proxy"))
        i++;
    if (i == c->service_count) {
        fprintf(stderr, "millrace: %s has no service proxy\n", o->file);
        return EXIT_FAILED;
    }
    char *text = ask_service(&c->service[i], o->words, &good);
    int code = good ? print_text(text, o->json) : EXIT_FAILED;
    if (!good)
        fprintf(stderr, "millrace: %s\n", text ? text : "the proxy cannot be made of this file, see above");
    free(text);
    return code;
}

static int explain_file(const struct options *o)
{
    struct config_report report;
    config_report_init(&report, o->file);
    struct config *c = config_load(o->file, services_all, &report);
    if (!c) {
        config_report_print(&report, stderr);
        return EXIT_CONFIGURATION;
    }
    int code = explain_config(c, o);
    config_free(c);
    return code;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct options o = {.words = json_pack("[s]", "explain")};
    int code = parse(self, argc, argv, &o);
    if (code == EXIT_GOOD)
        code = o.file ? explain_file(&o) : service_say(&o.target, "proxy", o.words, o.json);
    json_decref(o.words);
    return code;
}

const struct command command_explain = {
    "explain", "METHOD URL [-H 'NAME: VALUE']... [--from ADDRESS] [--listener NAME] [--config FILE] [--json]",
    "Says what the proxy of a running process, or of a file, would do with a request, and why.",
    "  -H 'NAME: VALUE'  a field of the request\n"
    "  --from ADDRESS    the client's address, which maglev may hash\n"
    "  --listener NAME   when several could take it\n"
    "  --config FILE     as this file says, without any process: every backend counts as up\n"
    "  --json            the answer as JSON\n" CONTROL_OPTIONS_HELP
    "Routes, balancers and what is sent are those of the server itself; nothing is sent.\n",
    run};
