#include <stdio.h>

#include "tools/millrace/control_client.h"

static int run(const struct command *self, int argc, char **argv)
{
    struct control_target target = {NULL, NULL};
    for (int i = 1; i < argc; i++) {
        int n = control_target_option(&target, argc, argv, i);
        if (n < 0)
            return command_usage(self, "%s needs a value", argv[i]);
        if (n == 0)
            return command_usage(self, "unexpected '%s'", argv[i]);
        i += n - 1;
    }
    int code = EXIT_GOOD;
    json_t *answer = control_ask(&target, json_pack("{s:s}", "command", "reload"), -1, &code);
    if (!answer)
        return code;
    printf("%s is applied\n", json_string_value(json_object_get(answer, "file")));
    json_decref(answer);
    return EXIT_GOOD;
}

const struct command command_reload = {
    "reload", "", "Applies the configuration file as it is now, without losing a connection.",
    CONTROL_OPTIONS_HELP "All of it is applied, or nothing: then every error is printed with its place, and the exit "
                         "code is 3. The proxy changes as a\n"
                         "whole; log.level and congestion take effect at once; what else differs takes a restart and "
                         "is refused. SIGHUP does the same,\n"
                         "and says how it went in the log.\n",
    run};
