#include <stdio.h>
#include <string.h>

#include "tools/millrace/control_client.h"
#include "tools/millrace/format.h"

static int run(const struct command *self, int argc, char **argv)
{
    struct control_target target = {NULL, NULL};
    bool json = false;
    uint64_t limit = 1000;
    for (int i = 1; i < argc; i++) {
        int n = control_target_option(&target, argc, argv, i);
        if (n < 0)
            return command_usage(self, "%s needs a value", argv[i]);
        if (n > 0)
            i += n - 1;
        else if (!strcmp(argv[i], "--json"))
            json = true;
        else if (!strcmp(argv[i], "--limit")) {
            if (i + 1 >= argc || !command_number(argv[++i], 1, 100000, &limit))
                return command_usage(self, "--limit needs a number from 1 to 100000");
        } else
            return command_usage(self, "unexpected '%s'", argv[i]);
    }
    int code;
    json_t *request = json_pack("{s:s,s:I}", "command", "conns", "limit", (json_int_t)limit);
    json_t *answer = control_ask(&target, request, -1, &code);
    if (!answer)
        return code;
    if (json) {
        json_dumpf(answer, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        format_conns(answer, stdout);
    }
    code = json_array_size(json_object_get(answer, "silent")) ? EXIT_FAILED : EXIT_GOOD;
    json_decref(answer);
    return code;
}

const struct command command_conns = {"conns", "[--limit N] [--json]",
                                      "Shows every TCP connection of a running process, as `ss -tin` does.",
                                      "  --limit N      most connections of each worker (preset: 1000)\n"
                                      "  --json         everything as JSON\n" CONTROL_OPTIONS_HELP
                                      "Exit code 1 when a worker does not answer; the others are shown.\n",
                                      run};
