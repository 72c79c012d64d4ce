#include <stdio.h>
#include <string.h>

#include "tools/millrace/control_client.h"

static int run(const struct command *self, int argc, char **argv)
{
    struct control_target target = {NULL, NULL};
    uint64_t seconds = 30;
    for (int i = 1; i < argc; i++) {
        int n = control_target_option(&target, argc, argv, i);
        if (n < 0)
            return command_usage(self, "%s needs a value", argv[i]);
        if (n > 0)
            i += n - 1;
        else if (!strcmp(argv[i], "--seconds")) {
            if (i + 1 >= argc || !command_number(argv[++i], 0, 86400, &seconds))
                return command_usage(self, "--seconds needs a number from 0 to 86400");
        } else
            return command_usage(self, "unexpected '%s'", argv[i]);
    }
    int code;
    json_t *request = json_pack("{s:s,s:I}", "command", "drain", "seconds", (json_int_t)seconds);
    json_t *answer = control_ask(&target, request, -1, &code);
    if (!answer)
        return code;
    json_decref(answer);
    return EXIT_GOOD;
}

const struct command command_drain = {
    "drain", "[--seconds N]", "Lets a running process accept no more and end with its last connection.",
    "  --seconds N    connections that are left after this are reset (preset: 30)\n" CONTROL_OPTIONS_HELP, run};
