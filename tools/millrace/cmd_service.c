/* Commands of services: `millrace proxy ...`, `millrace queue ...`, and of any service `millrace service NAME ...`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/millrace/cmd_save.h"
#include "tools/millrace/cmd_service.h"
#include "tools/millrace/control_request.h"
#include "tools/millrace/format.h"

struct options {
    struct control_target target;
    bool json;
    json_t *words;
};

/* What stands on standard input, for `apply -`; NULL: it is too long. */
static json_t *read_input(void)
{
    char *text = malloc(CONTROL_REQUEST_BYTES_MAX + 1);
    size_t n = text ? fread(text, 1, CONTROL_REQUEST_BYTES_MAX + 1, stdin) : 0;
    json_t *word = text && n <= CONTROL_REQUEST_BYTES_MAX ? json_stringn(text, n) : NULL;
    free(text);
    return word;
}

static int parse(const struct command *self, int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc; i++) {
        int n = control_target_option(&o->target, argc, argv, i);
        if (n < 0)
            return command_usage(self, "%s needs a value", argv[i]);
        if (n > 0) {
            i += n - 1;
        } else if (!strcmp(argv[i], "--json")) {
            o->json = true;
        } else {
            bool input = !strcmp(argv[i], "-") && json_array_size(o->words) == 1 &&
                         !strcmp(json_string_value(json_array_get(o->words, 0)), "apply");
            if (json_array_append_new(o->words, input ? read_input() : json_string(argv[i])))
                return command_usage(self, "'%s' is not UTF-8, or longer than %d bytes", argv[i],
                                     CONTROL_REQUEST_BYTES_MAX);
        }
    }
    return EXIT_GOOD;
}

json_t *service_ask(const struct control_target *target, const char *service, json_t *words, int *code)
{
    json_t *request = json_pack("{s:s,s:s,s:O}", "command", "service", "name", service, "words", words);
    return control_ask(target, request, -1, code);
}

int service_say(const struct control_target *target, const char *service, json_t *words, bool json)
{
    int code = EXIT_GOOD;
    json_t *answer = service_ask(target, service, words, &code);
    if (!answer)
        return code;
    if (json) {
        json_dumpf(answer, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        format_answer(answer, stdout);
    }
    json_decref(answer);
    return EXIT_GOOD;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct options o = {.words = json_array()};
    int code = parse(self, argc, argv, &o);
    if (code == EXIT_GOOD)
        code = service_say(&o.target, self->name, o.words, o.json);
    json_decref(o.words);
    return code;
}

/* Of the proxy alone: what was changed can be saved. */
static int run_proxy(const struct command *self, int argc, char **argv)
{
    struct options o = {.words = json_array()};
    int code = parse(self, argc, argv, &o);
    const char *first = json_string_value(json_array_get(o.words, 0));
    if (code == EXIT_GOOD && first && !strcmp(first, "save") && json_array_size(o.words) == 1)
        code = save_configuration(&o.target, NULL);
    else if (code == EXIT_GOOD)
        code = service_say(&o.target, self->name, o.words, o.json);
    json_decref(o.words);
    return code;
}

/* The first word is the service's name. */
static int run_named(const struct command *self, int argc, char **argv)
{
    struct options o = {.words = json_array()};
    int code = parse(self, argc, argv, &o);
    const char *name = json_string_value(json_array_get(o.words, 0));
    if (code == EXIT_GOOD && !name)
        code = command_usage(self, "expected the name of a service");
    if (code == EXIT_GOOD) {
        json_t *service = json_incref(json_array_get(o.words, 0));
        json_array_remove(o.words, 0);
        code = service_say(&o.target, json_string_value(service), o.words, o.json);
        json_decref(service);
    }
    json_decref(o.words);
    return code;
}

const struct command command_proxy = {
    "proxy", "COMMAND [ARGUMENTS]... [--json]", "Looks at the proxy of a running process, and changes it.",
    "  help           every command with its arguments\n"
    "  list, stat     what there is, and how it does\n"
    "  set backend UPSTREAM/NAME weight 3, add ..., remove ...\n"
    "                 one change; several with ';' between them are made together or not at all\n"
    "  apply -        changes from standard input, one a line, all or none\n"
    "  save           as `millrace save`\n"
    "  --json         the answer as JSON\n" CONTROL_OPTIONS_HELP
    "Exit code 1 when the command is refused; then nothing has changed.\n",
    run_proxy};

const struct command command_queue = {
    "queue", "COMMAND [ARGUMENTS]... [--vhost NAME] [--json]", "Looks at the queues of a running process, and helps.",
    "  help           every command with its arguments\n"
    "  list, show NAME, stat, connections, exchanges, bindings\n"
    "                 what there is, and how it does\n"
    "  declare NAME [KEY=VALUE]..., delete NAME, purge NAME\n"
    "  peek NAME [N]  the first messages, without taking them\n"
    "  move FROM TO [N]\n"
    "                 ready messages to another queue, as after their consumer was mended\n"
    "  --vhost NAME   the virtual host; without it /, and for lists all\n"
    "  --json         the answer as JSON\n" CONTROL_OPTIONS_HELP "Exit code 1 when the command is refused.\n",
    run};

const struct command command_service = {
    "service", "NAME COMMAND [ARGUMENTS]... [--json]", "Gives a command to any service of a running process.",
    "  NAME           of a service that takes commands: proxy, queue\n"
    "  COMMAND        `help` tells which there are\n"
    "  --json         the answer as JSON\n" CONTROL_OPTIONS_HELP "Exit code 1 when the command is refused.\n",
    run_named};
