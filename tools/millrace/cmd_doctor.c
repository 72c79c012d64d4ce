#include <stdio.h>

#include "services/services.h"
#include "tools/millrace/command.h"
#include "tools/millrace/config.h"
#include "tools/millrace/doctor.h"

static int run(const struct command *self, int argc, char **argv)
{
    if (argc > 2)
        return command_usage(self, "expected at most one configuration file");
    struct config *c = NULL;
    bool good = true;
    if (argc == 2) {
        struct config_report report;
        config_report_init(&report, argv[1]);
        c = config_load(argv[1], services_all, &report);
        good = c != NULL;
        printf("%s configuration: %s\n", good ? "ok  " : "fail", good ? argv[1] : "what follows has to be corrected");
        config_report_print(&report, stdout);
    }
    good &= doctor_examine(c, stdout);
    config_free(c);
    return good ? EXIT_GOOD : EXIT_FAILED;
}

const struct command command_doctor = {
    "doctor", "[CONFIG]", "Looks for what keeps Millrace from running well here, and says what to do.",
    "Prints a line for each thing looked at: ok, warn (it works, less well) or fail, and the remedy.\n"
    "With a configuration file, also what that needs. Nothing is changed.\n"
    "Exit code 0 without a fail, else 1.\n",
    run};
