/* Experiments with the project's own code, away from the network. Each is a word behind `lab`. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/millrace/command.h"
#include "tools/millrace/lab_cache.h"

static int write_svg(const struct lab_cache *lab)
{
    FILE *out = fopen(lab->svg, "w");
    if (out)
        lab_cache_print_svg(lab, out);
    bool failed = !out || ferror(out);
    if ((out && fclose(out)) || failed) {
        fprintf(stderr, "millrace lab: cannot write %s: %s\n", lab->svg, strerror(errno));
        return EXIT_FAILED;
    }
    return EXIT_GOOD;
}

static int run_cache(const struct command *self, int argc, char **argv)
{
    char error[256];
    struct lab_cache *lab = malloc(sizeof *lab);
    if (!lab)
        return EXIT_FAILED;
    int code = lab_cache_parse(lab, argc, argv, error, sizeof error) ? lab_cache_measure(lab, error, sizeof error)
                                                                     : EXIT_USAGE;
    if (code == EXIT_USAGE)
        command_usage(self, "cache: %s", error);
    else if (code != EXIT_GOOD)
        fprintf(stderr, "millrace lab cache: %s\n", error);
    else if (lab->json)
        lab_cache_print_json(lab, stdout);
    else
        lab_cache_print(lab, stdout);
    if (code == EXIT_GOOD && lab->svg)
        code = write_svg(lab);
    free(lab);
    return code;
}

static const struct experiment {
    const char *name;
    int (*run)(const struct command *self, int argc, char **argv);
} experiments[] = {
    {"cache", run_cache},
};

static int run(const struct command *self, int argc, char **argv)
{
    if (argc < 2)
        return command_usage(self, "which experiment?");
    for (unsigned i = 0; i < sizeof experiments / sizeof *experiments; i++)
        if (!strcmp(experiments[i].name, argv[1]))
            return experiments[i].run(self, argc - 1, argv + 1);
    return command_usage(self, "there is no experiment '%s'", argv[1]);
}

const struct command command_lab = {
    "lab", "cache [OPTIONS]", "Experiments: the cache's eviction policies over traces.",
    "cache: the hit ratio of each policy at each size, beside Belady's optimum, which no policy can pass. The policies "
    "are\n"
    "the very code that the cache service runs; all objects have the same size.\n\n"
    "  --trace zipf:SKEW  popularity by Zipf's law; the default is zipf:0.99\n"
    "          scan       zipf on half of the keys, interrupted by runs through the others in order\n"
    "          loop       all keys in order, again and again\n"
    "          shift      zipf on a tenth of the keys, on another one in each tenth of the time\n"
    "          mixed      zipf, a loop and a run through the rest, interleaved\n"
    "          FILE       a key a line; --requests and --keys do not apply\n"
    "  --policies A,B     names as maxmemory-policy takes them, or short; the default is\n"
    "                     s3fifo,sieve,lru,lfu,tinylfu,random,ttl (with equal times to live ttl is first in, first "
    "out)\n"
    "  --sizes A,B        shares of the distinct keys or numbers of entries; the default is 0.1%,0.3%,1%,3%,10%,30%\n"
    "  --requests N       length of the trace; the default is 1000000\n"
    "  --keys N           how many keys there are; the default is 100000\n"
    "  --seed N           the same seed gives the same output; the default is 1\n"
    "  --svg FILE         also writes a plot\n"
    "  --json             JSON instead of the table\n",
    run};
