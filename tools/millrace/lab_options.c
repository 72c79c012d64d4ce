/* The command line of `millrace lab cache`: a table of options, each with the function that reads its value. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "tools/millrace/lab_cache.h"

/* As command_number, which belongs to the binary. */
static bool number(const char *text, uint64_t minimum, uint64_t maximum, uint64_t *out)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)*text) || *end || value < minimum || value > maximum || strlen(text) > 19)
        return false;
    *out = value;
    return true;
}

static bool read_trace(struct lab_cache *lab, const char *value)
{
    lab->trace_name = value;
    return *value;
}

static bool read_svg(struct lab_cache *lab, const char *value)
{
    lab->svg = value;
    return *value;
}

static bool read_seed(struct lab_cache *lab, const char *value)
{
    return number(value, 0, UINT64_MAX, &lab->seed);
}

static bool read_requests(struct lab_cache *lab, const char *value)
{
    return number(value, 1, LAB_REQUESTS_MAX, &lab->requests);
}

static bool read_keys(struct lab_cache *lab, const char *value)
{
    uint64_t keys = 0;
    bool good = number(value, 1, LAB_KEYS_MAX, &keys);
    lab->keys = (uint32_t)keys;
    return good;
}

static bool add_policy(struct lab_cache *lab, const char *name)
{
    const struct cache_evict_policy *p = cache_evict_find(name);
    if (!p || p == cache_evict_find("noeviction") || lab->policies_count == LAB_POLICIES_MAX)
        return false;
    lab->policies[lab->policies_count++] = p;
    return true;
}

static bool add_size(struct lab_cache *lab, const char *text)
{
    struct lab_size size = {0};
    char *end = "";
    if (strchr(text, '%')) {
        size.share = strtod(text, &end) / 100;
        if (strcmp(end, "%") || !(size.share > 0 && size.share <= 1))
            return false;
    } else if (!number(text, 1, LAB_KEYS_MAX, &size.entries)) {
        return false;
    }
    if (lab->sizes_count == LAB_SIZES_MAX)
        return false;
    lab->sizes[lab->sizes_count++] = size;
    return true;
}

static bool each_of_list(struct lab_cache *lab, const char *list, bool (*add)(struct lab_cache *, const char *))
{
    char *copy = strdup(list), *rest = copy;
    bool good = copy;
    for (char *item; good && (item = strsep(&rest, ","));)
        good = add(lab, item);
    free(copy);
    return good;
}

static bool read_policies(struct lab_cache *lab, const char *value)
{
    lab->policies_count = 0;
    return each_of_list(lab, value, add_policy);
}

static bool read_sizes(struct lab_cache *lab, const char *value)
{
    lab->sizes_count = 0;
    return each_of_list(lab, value, add_size);
}

static const struct option {
    const char *name, *expected;
    bool (*read)(struct lab_cache *lab, const char *value);
} options[] = {
    {"--trace", "zipf:SKEW, scan, loop, shift, mixed or a file", read_trace},
    {"--policies", "names of policies that evict, such as s3fifo,lru", read_policies},
    {"--sizes", "shares of the distinct keys or numbers of entries, such as 0.1%,1%,500", read_sizes},
    {"--requests", "a number from 1 to 500000000", read_requests},
    {"--keys", "a number from 1 to 100000000", read_keys},
    {"--seed", "a number", read_seed},
    {"--svg", "a file to write", read_svg},
};

static const struct option *option_find(const char *name)
{
    for (unsigned i = 0; i < sizeof options / sizeof *options; i++)
        if (!strcmp(options[i].name, name))
            return &options[i];
    return NULL;
}

static bool wrong(char *error, size_t error_bytes, const char *before, const char *what, const char *after)
{
    snprintf(error, error_bytes, "%s%s%s", before, what, after);
    return false;
}

bool lab_cache_parse(struct lab_cache *lab, int argc, char **argv, char *error, size_t error_bytes)
{
    *lab = (struct lab_cache){.trace_name = "zipf:0.99", .seed = 1, .requests = 1000000, .keys = 100000};
    read_policies(lab, "s3fifo,sieve,lru,lfu,tinylfu,random,ttl");
    read_sizes(lab, "0.1%,0.3%,1%,3%,10%,30%");
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--json")) {
            lab->json = true;
            continue;
        }
        const struct option *o = option_find(argv[i]);
        if (!o)
            return wrong(error, error_bytes, "unexpected '", argv[i], "'");
        if (i + 1 == argc || !o->read(lab, argv[++i]))
            return wrong(error, error_bytes, o->name, " needs ", o->expected);
    }
    return true;
}
