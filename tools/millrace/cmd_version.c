#include <rte_version.h>
#include <stdio.h>

#include "tools/millrace/command.h"

static int run(const struct command *self, int argc, char **argv)
{
    if (argc != 1)
        return command_usage(self, "expected no arguments");
    printf("millrace %s, %s\n", MILLRACE_VERSION, rte_version());
    return EXIT_GOOD;
}

const struct command command_version = {"version", "", "Prints the versions of Millrace and of DPDK.", "", run};
