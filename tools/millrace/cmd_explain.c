#include <string.h>

#include "tools/millrace/cmd_proxy.h"

struct options {
    struct control_target target;
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
        } else if (argv[i][0] == '-' || json_array_append_new(o->words, json_string(argv[i]))) {
            return command_usage(self, "unexpected '%s'", argv[i]);
        }
    }
    return json_array_size(o->words) < 3 ? command_usage(self, "expected a method and a URL") : EXIT_GOOD;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct options o = {.words = json_pack("[s]", "explain")};
    int code = parse(self, argc, argv, &o);
    if (code == EXIT_GOOD)
        code = proxy_say(&o.target, o.words, o.json);
    json_decref(o.words);
    return code;
}

const struct command command_explain = {
    "explain", "METHOD URL [-H 'NAME: VALUE']... [--from ADDRESS] [--listener NAME] [--json]",
    "Says what the proxy of a running process would do with a request, and why.",
    "  -H 'NAME: VALUE'  a field of the request\n"
    "  --from ADDRESS    the client's address, which maglev may hash\n"
    "  --listener NAME   when several could take it\n"
    "  --json            the answer as JSON\n" CONTROL_OPTIONS_HELP
    "Routes, balancers and what is sent are those of the server itself; nothing is sent.\n",
    run};
