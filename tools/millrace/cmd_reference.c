#include <stdio.h>
#include <string.h>

#include "services/services.h"
#include "tools/millrace/command.h"
#include "tools/millrace/reference.h"

static int run(const struct command *self, int argc, char **argv)
{
    if (argc == 1)
        reference_markdown(services_all, stdout);
    else if (argc == 2 && !strcmp(argv[1], "--schema"))
        reference_schema(services_all, stdout);
    else
        return command_usage(self, "expected nothing or --schema");
    return fflush(stdout) == 0 ? EXIT_GOOD : EXIT_FAILED;
}

const struct command command_reference = {"reference", "[--schema]",
                                          "Prints the reference of the configuration file as Markdown.",
                                          "  --schema  the JSON Schema instead, for editors\n", run};
