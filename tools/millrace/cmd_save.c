#include "tools/millrace/cmd_save.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tools/millrace/file_replace.h"

int save_configuration(const struct control_target *target, const char *output)
{
    int code = EXIT_GOOD;
    json_t *request = json_pack("{s:s,s:b}", "command", "save", "absolute", output != NULL);
    json_t *answer = control_ask(target, request, -1, &code);
    if (!answer)
        return code;
    const char *file = output ? output : json_string_value(json_object_get(answer, "file"));
    const char *text = json_string_value(json_object_get(answer, "text"));
    if (!strcmp(file, "-")) {
        fputs(text, stdout);
    } else if (file_replace(file, text)) {
        printf("saved to %s, %zu bytes\n", file, strlen(text));
    } else {
        fprintf(stderr, "millrace: %s cannot be written: %s\n", file, strerror(errno));
        code = EXIT_FAILED;
    }
    json_decref(answer);
    return code;
}

static int run(const struct command *self, int argc, char **argv)
{
    struct control_target target = {NULL, NULL};
    const char *output = NULL;
    for (int i = 1; i < argc; i++) {
        int n = control_target_option(&target, argc, argv, i);
        if (n < 0 || (!strcmp(argv[i], "--output") && i + 1 == argc))
            return command_usage(self, "%s needs a value", argv[i]);
        if (n > 0)
            i += n - 1;
        else if (!strcmp(argv[i], "--output"))
            output = argv[++i];
        else
            return command_usage(self, "unexpected '%s'", argv[i]);
    }
    return save_configuration(&target, output);
}

const struct command command_save = {
    "save", "[--output FILE]", "Writes the configuration as it runs, changes made by commands included.",
    "  --output FILE  another file than the one that the process was started with; - is standard "
    "output\n" CONTROL_OPTIONS_HELP
    "The file is replaced in one step and keeps its mode. It is written anew from what runs: keys in the order of the\n"
    "reference, presets left out, comments lost. With --output every path in it begins at the root.\n",
    run};
