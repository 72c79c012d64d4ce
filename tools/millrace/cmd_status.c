#include <stdio.h>
#include <string.h>

#include "tools/millrace/control_client.h"
#include "tools/millrace/format.h"

static int run(const struct command *self, int argc, char **argv)
{
    struct control_target target = {NULL, NULL};
    bool json = false;
    for (int i = 1, n; i < argc; i += n ? n : 1) {
        n = control_target_option(&target, argc, argv, i);
        if (n < 0)
            return command_usage(self, "%s needs a value", argv[i]);
        if (n == 0 && strcmp(argv[i], "--json"))
            return command_usage(self, "unexpected '%s'", argv[i]);
        json |= n == 0;
    }
    int code;
    json_t *answer = control_ask(&target, json_pack("{s:s}", "command", "status"), -1, &code);
    if (!answer)
        return code;
    if (json) {
        json_dumpf(answer, stdout, JSON_INDENT(2));
        putchar('\n');
    } else {
        format_status(answer, stdout);
    }
    json_decref(answer);
    return EXIT_GOOD;
}

const struct command command_status = {"status", "[--json]", "Shows what a running process does.",
                                       "  --json         the whole answer as JSON\n" CONTROL_OPTIONS_HELP, run};
