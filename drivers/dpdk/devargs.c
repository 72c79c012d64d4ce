/* Checking a port's parameters against its kind, and writing them as device arguments ("iface=mr0,qpairs=2"). */
#include <limits.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <millrace/error.h>

#include "drivers/dpdk/kinds.h"

#define MTU_MIN         68   /* RFC 791: every link carries this much */
#define MTU_MAX         9600 /* the largest frame that common cards take */
#define DESCRIPTORS_MAX 32768

__attribute__((format(printf, 3, 4))) static int complain(struct dpdk_complaint *c, const char *key, const char *format,
                                                          ...)
{
    va_list arguments;
    va_start(arguments, format);
    snprintf(c->key, sizeof c->key, "%s", key);
    vsnprintf(c->text, sizeof c->text, format, arguments);
    va_end(arguments);
    return MR_ERROR_INVALID;
}

/* The driver's word for `value` in "yes=1|no=0"; NULL when it is none of the choices. */
static const char *choice_find(const char *choices, const char *value, size_t *length)
{
    size_t n = strlen(value);
    for (const char *c = choices; c; c = strchr(c, '|') ? strchr(c, '|') + 1 : NULL) {
        if (n > 0 && strncmp(c, value, n) == 0 && c[n] == '=') {
            *length = strcspn(c + n + 1, "|");
            return c + n + 1;
        }
    }
    return NULL;
}

/* "yes or no" out of "yes=1|no=0" */
static void choice_words(const char *choices, char *out, size_t size)
{
    size_t used = 0;
    for (const char *c = choices; c && used < size; c = strchr(c, '|') ? strchr(c, '|') + 1 : NULL) {
        int n = snprintf(out + used, size - used, "%s%.*s", used ? " or " : "", (int)strcspn(c, "="), c);
        used += (size_t)n;
    }
}

static bool number_parse(const char *text, uint32_t min, uint32_t max)
{
    char *end;
    if (*text < '0' || *text > '9')
        return false;
    unsigned long long value = strtoull(text, &end, 10);
    return *end == 0 && value >= min && value <= max;
}

/* rte_kvargs splits at these. */
static bool text_fits_devargs(const char *text)
{
    return *text && strlen(text) < PATH_MAX && !strpbrk(text, ",=[]\"");
}

static int text_check(const struct kind_parameter *p, const char *value, struct dpdk_complaint *c)
{
    if (strcmp(p->name, "interface") == 0 && (strlen(value) >= IF_NAMESIZE || !*value || strpbrk(value, "/ ")))
        return complain(c, p->name, "'%.32s' is no interface name: expected 1 to %d characters without / or blank",
                        value, IF_NAMESIZE - 1);
    if (!text_fits_devargs(value))
        return complain(c, p->name, "'%.80s': expected a text without , = [ ] or \"", value);
    return MR_OK;
}

static int parameter_check(const struct kind_parameter *p, const char *value, struct dpdk_complaint *c)
{
    char words[64];
    size_t length;
    switch (p->type) {
    case PARAMETER_TEXT:
        return text_check(p, value, c);
    case PARAMETER_NUMBER:
        if (number_parse(value, p->min, p->max))
            return MR_OK;
        return complain(c, p->name, "'%.32s': expected a number from %u to %u", value, p->min, p->max);
    case PARAMETER_CHOICE:
        if (choice_find(p->choices, value, &length))
            return MR_OK;
        choice_words(p->choices, words, sizeof words);
        return complain(c, p->name, "'%.32s': expected %s", value, words);
    }
    return MR_OK;
}

const char *kind_value(const struct dpdk_port_config *config, const char *name)
{
    for (unsigned i = 0; i < config->parameter_count; i++) {
        if (strcmp(config->parameters[i].name, name) == 0)
            return config->parameters[i].value;
    }
    return NULL;
}

static const struct kind_parameter *parameter_find(const struct kind *kind, const char *name)
{
    for (const struct kind_parameter *p = kind->parameters; p->name; p++) {
        if (strcmp(p->name, name) == 0)
            return p;
    }
    return NULL;
}

static int parameters_check(const struct kind *kind, const struct dpdk_port_config *config, struct dpdk_complaint *c)
{
    for (unsigned i = 0; i < config->parameter_count; i++) {
        const struct kind_parameter *p = parameter_find(kind, config->parameters[i].name);
        if (!p)
            return complain(c, config->parameters[i].name, "a port of kind %s has no such parameter", kind->name);
        int result = parameter_check(p, config->parameters[i].value, c);
        if (result != MR_OK)
            return result;
    }
    for (const struct kind_parameter *p = kind->parameters; p->name; p++) {
        if (p->required && !kind_value(config, p->name))
            return complain(c, p->name, "missing: a port of kind %s needs it (%s)", kind->name, p->sentence);
    }
    return MR_OK;
}

static int numbers_check(const struct kind *kind, const struct dpdk_port_config *config, struct dpdk_complaint *c)
{
    if (config->queues > DPDK_QUEUES_MAX)
        return complain(c, "queues", "%u: expected 1 to %d", config->queues, DPDK_QUEUES_MAX);
    if (config->queues > 1 && !(kind->flags & KIND_PCI) && !kind->queues_devarg && strcmp(kind->name, "tap") != 0)
        return complain(c, "queues", "%u: a port of kind %s has one queue", config->queues, kind->name);
    if (config->rx_descriptors > DESCRIPTORS_MAX)
        return complain(c, "rx_descriptors", "%u: expected at most %d", config->rx_descriptors, DESCRIPTORS_MAX);
    if (config->tx_descriptors > DESCRIPTORS_MAX)
        return complain(c, "tx_descriptors", "%u: expected at most %d", config->tx_descriptors, DESCRIPTORS_MAX);
    if (config->mtu && (config->mtu < MTU_MIN || config->mtu > MTU_MAX))
        return complain(c, "mtu", "%u: expected %d to %d bytes", config->mtu, MTU_MIN, MTU_MAX);
    if (config->mac[0] & 1)
        return complain(c, "mac", "a group address: expected one whose first byte is even");
    return MR_OK;
}

static int kind_complain(const char *name, struct dpdk_complaint *c)
{
    char known[128] = "";
    const char *each;
    for (unsigned i = 0; (each = dpdk_kind_name(i)) != NULL; i++)
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i ? ", " : "", each);
    return complain(c, "kind", "'%.32s' is no kind of port: expected one of %s", name ? name : "", known);
}

int dpdk_port_check(const struct dpdk_port_config *config, struct dpdk_complaint *complaint)
{
    const struct kind *kind = config->kind ? kind_find(config->kind) : NULL;
    if (!kind)
        return kind_complain(config->kind, complaint);
    if (!config->name || !*config->name)
        return complain(complaint, "name", "missing: a port needs a name");
    if (config->parameter_count > DPDK_PARAMETERS_MAX)
        return complain(complaint, "parameters", "%u: expected at most %d", config->parameter_count,
                        DPDK_PARAMETERS_MAX);
    int result = parameters_check(kind, config, complaint);
    return result == MR_OK ? numbers_check(kind, config, complaint) : result;
}

/* One "key=value" for `p` at out + used; the new length, beyond `size` when it does not fit. */
static size_t devarg_write(const struct kind_parameter *p, const char *value, char *out, size_t used, size_t size)
{
    size_t length = strlen(value);
    if (p->type == PARAMETER_CHOICE)
        value = choice_find(p->choices, value, &length);
    if (!value || used >= size)
        return size;
    return used +
           (size_t)snprintf(out + used, size - used, "%s%s=%.*s", used ? "," : "", p->devarg, (int)length, value);
}

bool kind_devargs(const struct kind *kind, const struct dpdk_port_config *config, char *out, size_t size)
{
    size_t used = 0;
    out[0] = 0;
    for (const struct kind_parameter *p = kind->parameters; p->name; p++) {
        const char *value = kind_value(config, p->name);
        if (!value)
            value = p->preset;
        if (value && p->devarg)
            used = devarg_write(p, value, out, used, size);
    }
    if (kind->queues_devarg && used < size)
        used += (size_t)snprintf(out + used, size - used, "%s%s=%u", used ? "," : "", kind->queues_devarg,
                                 config->queues ? config->queues : 1);
    return used < size;
}
