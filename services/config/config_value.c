#include "config/config_value.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct unit {
    const char *suffix;
    uint64_t factor;
};

static const struct unit no_units[] = {{"", 1}, {NULL, 0}};
static const struct unit size_units[] = {{"", 1},          {"B", 1},         {"KiB", 1 << 10},
                                         {"MiB", 1 << 20}, {"GiB", 1 << 30}, {NULL, 0}};
static const struct unit duration_units[] = {{"ns", 1},        {"us", MR_MICROSECOND}, {"ms", MR_MILLISECOND},
                                             {"s", MR_SECOND}, {"m", 60 * MR_SECOND},  {"h", 3600 * MR_SECOND},
                                             {NULL, 0}};
static const struct unit rate_units[] = {
    {"", 1}, {"bit", 1}, {"kbit", 1000}, {"Mbit", 1000 * 1000}, {"Gbit", 1000 * 1000 * 1000}, {NULL, 0}};

/* What a type is called, how it is described, its units and its size: stated once. */
static const struct type_description {
    const char *name, *phrase;
    const struct unit *units;
    size_t bytes;
} types[] = {
    [MR_CONFIG_BOOL] = {"boolean", "true or false", NULL, sizeof(bool)},
    [MR_CONFIG_UNSIGNED] = {"number", "a number", no_units, sizeof(uint64_t)},
    [MR_CONFIG_BYTES] = {"size", "a size such as 64KiB", size_units, sizeof(uint64_t)},
    [MR_CONFIG_DURATION] = {"duration", "a duration such as 100us, 5ms or 30s", duration_units, sizeof(mr_time)},
    [MR_CONFIG_STRING] = {"text", "text", NULL, sizeof(char *)},
    [MR_CONFIG_PATH] = {"path", "a path", NULL, sizeof(char *)},
    [MR_CONFIG_ENDPOINT] = {"endpoint", "an address and port such as 198.18.0.2:80, or :80", NULL,
                            sizeof(struct mr_endpoint)},
    [MR_CONFIG_ADDRESS] = {"address", "an address such as 198.18.0.1", NULL, sizeof(struct mr_address)},
    [MR_CONFIG_PREFIX] = {"prefix", "an address with its prefix length such as 198.18.0.2/24", NULL,
                          sizeof(struct mr_config_prefix)},
    [MR_CONFIG_CHOICE] = {"choice", NULL, NULL, sizeof(int)},
    [MR_CONFIG_FRACTION] = {"fraction", "a fraction from 0 to 1 such as 0.5% or 0.005", NULL, sizeof(double)},
    [MR_CONFIG_RATE] = {"rate", "a rate such as 100Mbit", rate_units, sizeof(uint64_t)},
    [MR_CONFIG_MAP] = {"mapping", "a mapping of keys", NULL,
                       0}, /* as large as its struct, which the table does not say */
    [MR_CONFIG_LIST] = {"list", "a list, each item after a dash", NULL, sizeof(void *)},
};

size_t config_value_bytes(enum mr_config_type type)
{
    return types[type].bytes;
}

const char *config_type_text(enum mr_config_type type)
{
    return types[type].name;
}

/* In the largest unit that divides it: 65536 is 64KiB. */
static void quantity_text(const struct unit *units, uint64_t value, char *text, size_t n)
{
    const struct unit *best = units;
    for (const struct unit *u = units; u->suffix; u++)
        if (value % u->factor == 0 && value >= u->factor && u->factor > best->factor)
            best = u;
    snprintf(text, n, "%" PRIu64 "%s", value / best->factor, best->suffix);
}

static void choices_text(const struct mr_config_key *key, char *text)
{
    size_t used = (size_t)snprintf(text, CONFIG_EXPECTED_MAX, "one of ");
    for (int i = 0; key->choices[i] && used < CONFIG_EXPECTED_MAX; i++)
        used += (size_t)snprintf(text + used, CONFIG_EXPECTED_MAX - used, "%s%s", i ? ", " : "", key->choices[i]);
}

const char *config_value_expected(const struct mr_config_key *key, char *text)
{
    const struct type_description *t = &types[key->type];
    if (key->type == MR_CONFIG_CHOICE) {
        choices_text(key, text);
    } else if (t->units && (key->minimum || key->maximum)) {
        char low[32], high[32];
        quantity_text(t->units, key->minimum, low, sizeof low);
        quantity_text(t->units, key->maximum, high, sizeof high);
        snprintf(text, CONFIG_EXPECTED_MAX, "%s from %s to %s", t->phrase, low, high);
    } else if (config_value_is_string(key->type) && key->maximum) {
        snprintf(text, CONFIG_EXPECTED_MAX, "%s of %" PRIu64 " to %" PRIu64 " characters", t->phrase, key->minimum,
                 key->maximum);
    } else {
        snprintf(text, CONFIG_EXPECTED_MAX, "%s", t->phrase);
    }
    return text;
}

static bool in_bounds(const struct mr_config_key *key, uint64_t value)
{
    return (!key->minimum && !key->maximum) || (value >= key->minimum && value <= key->maximum);
}

/* Digits, then one of the suffixes; nothing else, and no overflow. */
static bool quantity_parse(const struct unit *units, const char *text, uint64_t *out)
{
    uint64_t value = 0;
    const char *p = text;
    for (; isdigit((unsigned char)*p); p++)
        if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, (uint64_t)(*p - '0'), &value))
            return false;
    if (p == text)
        return false;
    if (*p == ' ')
        p++;
    for (const struct unit *u = units; u->suffix; u++)
        if (!strcmp(p, u->suffix))
            return !__builtin_mul_overflow(value, u->factor, out);
    return value == 0 && !*p && (*out = 0, true); /* zero needs no unit */
}

static bool bool_parse(const char *text, bool *out)
{
    static const char *const words[] = {"false", "true", "no", "yes", "off", "on"};
    for (int i = 0; i < 6; i++)
        if (!strcmp(text, words[i])) {
            *out = i & 1;
            return true;
        }
    return false;
}

static bool fraction_parse(const char *text, double *out)
{
    if (!isdigit((unsigned char)*text) && *text != '.')
        return false;
    char *end;
    double value = strtod(text, &end);
    if (*end == '%') {
        value /= 100;
        end++;
    }
    if (end == text || *end || !(value >= 0 && value <= 1))
        return false;
    *out = value;
    return true;
}

/* "255.255.255.0" as 24. A typo such as 255.255.225.0 has a hole in its bits, and is told apart from all else because
 * it is the commonest way to lose an afternoon. */
static bool netmask_parse(const char *text, unsigned *bits, char *why)
{
    struct mr_address mask;
    if (!mr_address_parse(text, &mask) || !mr_address_is_ip4(&mask))
        return false;
    uint32_t m = mr_address_to_ip4(&mask);
    unsigned leading = m == UINT32_MAX ? 32 : (unsigned)__builtin_clz(~m);
    unsigned ones = (unsigned)__builtin_popcount(m);
    if (leading != ones) {
        snprintf(why, CONFIG_EXPECTED_MAX,
                 "a netmask whose one bits stand together (%s has a hole after bit %u), or a prefix length such as /24",
                 text, leading);
        return false;
    }
    *bits = ones;
    return true;
}

static bool prefix_parse(const char *text, struct mr_config_prefix *out, char *why)
{
    if (!strcmp(text, "default")) {
        *out = (struct mr_config_prefix){mr_address_ip4(0), 0};
        return true;
    }
    const char *slash = strchr(text, '/');
    char address[MR_ADDRESS_TEXT_MAX];
    if (slash && strchr(slash, '.') && slash - text < (ptrdiff_t)sizeof address) {
        struct mr_config_prefix p;
        memcpy(address, text, (size_t)(slash - text));
        address[slash - text] = 0;
        if (!mr_address_parse(address, &p.address) || !mr_address_is_ip4(&p.address) ||
            !netmask_parse(slash + 1, &p.bits, why))
            return false;
        *out = p;
        return true;
    }
    return mr_prefix_parse(text, &out->address, &out->bits);
}

static bool string_parse(const struct mr_config_key *key, const char *text, const char *folder, char **out)
{
    if (!in_bounds(key, strlen(text)) || !*text)
        return false;
    if (key->type == MR_CONFIG_PATH && text[0] != '/' && folder && *folder)
        return asprintf(out, "%s/%s", folder, text) >= 0;
    char *copy = strdup(text);
    if (!copy)
        return false;
    *out = copy;
    return true;
}

static bool choice_parse(const struct mr_config_key *key, const char *text, int *out)
{
    for (int i = 0; key->choices[i]; i++)
        if (!strcmp(key->choices[i], text)) {
            *out = i;
            return true;
        }
    return false;
}

static bool quantity_value(const struct mr_config_key *key, const char *text, uint64_t *out)
{
    uint64_t value;
    if (!quantity_parse(types[key->type].units, text, &value) || !in_bounds(key, value))
        return false;
    *out = value;
    return true;
}

bool config_value_parse(const struct mr_config_key *key, const char *text, const char *folder, void *out, char *why)
{
    config_value_expected(key, why);
    switch (key->type) {
    case MR_CONFIG_BOOL:
        return bool_parse(text, out);
    case MR_CONFIG_UNSIGNED:
    case MR_CONFIG_BYTES:
    case MR_CONFIG_DURATION:
    case MR_CONFIG_RATE:
        return quantity_value(key, text, out);
    case MR_CONFIG_STRING:
    case MR_CONFIG_PATH:
        return string_parse(key, text, folder, out);
    case MR_CONFIG_ENDPOINT:
        return mr_endpoint_parse(text, out);
    case MR_CONFIG_ADDRESS:
        return mr_address_parse(text, out);
    case MR_CONFIG_PREFIX:
        return prefix_parse(text, out, why);
    case MR_CONFIG_CHOICE:
        return choice_parse(key, text, out);
    case MR_CONFIG_FRACTION:
        return fraction_parse(text, out);
    case MR_CONFIG_MAP:
    case MR_CONFIG_LIST:
        return false; /* no single value */
    }
    return false;
}

static void fraction_print(double value, FILE *out)
{
    char text[40];
    snprintf(text, sizeof text, "%.15g", value);
    if (strtod(text, NULL) != value)
        snprintf(text, sizeof text, "%.17g", value); /* always enough to read the same number again */
    fputs(text, out);
}

void config_value_print(const struct mr_config_key *key, const void *value, FILE *out)
{
    char text[64];
    const struct mr_config_prefix *prefix = value;
    switch (key->type) {
    case MR_CONFIG_BOOL:
        fputs(*(const bool *)value ? "true" : "false", out);
        break;
    case MR_CONFIG_UNSIGNED:
    case MR_CONFIG_BYTES:
    case MR_CONFIG_DURATION:
    case MR_CONFIG_RATE:
        quantity_text(types[key->type].units, *(const uint64_t *)value, text, sizeof text);
        fputs(text, out);
        break;
    case MR_CONFIG_STRING:
    case MR_CONFIG_PATH:
        fputs(*(char *const *)value ? *(char *const *)value : "", out);
        break;
    case MR_CONFIG_ENDPOINT:
        fputs(mr_endpoint_text(value, text), out);
        break;
    case MR_CONFIG_ADDRESS:
        fputs(mr_address_text(value, text), out);
        break;
    case MR_CONFIG_PREFIX:
        fprintf(out, "%s/%u", mr_address_text(&prefix->address, text), prefix->bits);
        break;
    case MR_CONFIG_CHOICE:
        fputs(key->choices[*(const int *)value], out);
        break;
    case MR_CONFIG_FRACTION:
        fraction_print(*(const double *)value, out);
        break;
    case MR_CONFIG_MAP:
    case MR_CONFIG_LIST:
        break; /* no single value */
    }
}

static bool strings_equal(const char *a, const char *b)
{
    return a && b ? !strcmp(a, b) : a == b;
}

bool config_value_equal(enum mr_config_type type, const void *a, const void *b)
{
    const struct mr_endpoint *ea = a, *eb = b;
    const struct mr_config_prefix *pa = a, *pb = b;
    switch (type) {
    case MR_CONFIG_STRING:
    case MR_CONFIG_PATH:
        return strings_equal(*(char *const *)a, *(char *const *)b);
    case MR_CONFIG_ENDPOINT:
        return ea->port == eb->port && mr_address_equal(&ea->address, &eb->address);
    case MR_CONFIG_PREFIX:
        return pa->bits == pb->bits && mr_address_equal(&pa->address, &pb->address);
    default:
        return !memcmp(a, b, types[type].bytes);
    }
}
