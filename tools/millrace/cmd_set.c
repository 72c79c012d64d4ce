#include <stdio.h>
#include <string.h>

#include "tools/millrace/control_client.h"

static int run(const struct command *self, int argc, char **argv)
{
    struct control_target target = {NULL, NULL};
    const char *words[2];
    int given = 0;
    for (int i = 1; i < argc; i++) {
        int n = control_target_option(&target, argc, argv, i);
        if (n < 0)
            return command_usage(self, "%s needs a value", argv[i]);
        if (n > 0)
            i += n - 1;
        else if (argv[i][0] != '-' && given < 2)
            words[given++] = argv[i];
        else
            return command_usage(self, "unexpected '%s'", argv[i]);
    }
    if (given < 2)
        return command_usage(self, "expected a name and a value");
    int code;
    json_t *request = json_pack("{s:s,s:s,s:s}", "command", "set", "name", words[0], "value", words[1]);
    json_t *answer = request ? control_ask(&target, request, -1, &code) : NULL;
    if (!request)
        return command_usage(self, "the value is not UTF-8");
    if (!answer)
        return code;
    json_decref(answer);
    return EXIT_GOOD;
}

const struct command command_set = {
    "set", "NAME VALUE", "Changes a setting of a running process.",
    "  log LEVEL      error, warning, info or debug\n"
    "  congestion ALGORITHM\n"
    "                 of new connections that choose none themselves\n" CONTROL_OPTIONS_HELP,
    run};
