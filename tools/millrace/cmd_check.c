#include <stdio.h>

#include "services/services.h"
#include "tools/millrace/command.h"
#include "tools/millrace/config.h"

static int run(const struct command *self, int argc, char **argv)
{
    if (argc != 2)
        return command_usage(self, "expected one configuration file");
    struct config_report report;
    config_report_init(&report, argv[1]);
    struct config *c = config_load(argv[1], services_all, &report);
    if (!c) {
        config_report_print(&report, stderr);
        return EXIT_CONFIGURATION;
    }
    printf("%s: good: %lu worker%s, %u interface%s, %u route%s, %u service%s\n", argv[1],
           (unsigned long)c->workers.count, c->workers.count == 1 ? "" : "s", c->interface_count,
           c->interface_count == 1 ? "" : "s", c->route_count, c->route_count == 1 ? "" : "s", c->service_count,
           c->service_count == 1 ? "" : "s");
    config_free(c);
    return EXIT_GOOD;
}

const struct command command_check = {
    "check", "CONFIG", "Checks a configuration file and reports every error in it.",
    "Each error is one line on standard error: FILE:LINE:COLUMN: what is wrong, what was expected.\n"
    "The system is not touched; `millrace doctor CONFIG` looks at that too.\n"
    "Exit code 0 when the file is good, 3 when it is not.\n",
    run};
