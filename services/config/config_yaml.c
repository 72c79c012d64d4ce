#include "config/config_yaml.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/config_tree.h"
#include "config/config_value.h"

static void line_begin(struct config_yaml *y, unsigned indent)
{
    if (!y->in_item)
        fprintf(y->out, "%*s", (int)indent, "");
    y->in_item = false;
}

/* The names of mappings come out with the first thing inside. */
static void names_write(struct config_yaml *y)
{
    for (; y->written < y->depth; y->written++) {
        line_begin(y, y->open[y->written].indent);
        fprintf(y->out, "%s:\n", y->open[y->written].name);
    }
}

void config_yaml_map_begin(struct config_yaml *y, const char *name)
{
    assert(y->depth < CONFIG_YAML_DEPTH_MAX);
    y->open[y->depth].name = name;
    y->open[y->depth++].indent = y->indent;
    y->indent += 2;
}

bool config_yaml_map_end(struct config_yaml *y)
{
    bool written = y->written == y->depth;
    y->depth--;
    if (written)
        y->written--;
    y->indent -= 2;
    return written;
}

void config_yaml_item_begin(struct config_yaml *y)
{
    names_write(y);
    line_begin(y, y->indent);
    fputs("- ", y->out);
    y->in_item = true;
    y->indent += 2;
}

void config_yaml_item_end(struct config_yaml *y)
{
    if (y->in_item)
        fputs("{}\n", y->out);
    y->in_item = false;
    y->indent -= 2;
}

/* Would YAML, or another reader of it, take the text for something else than text? */
static bool is_other_type(const char *text)
{
    static const char *const words[] = {"null", "true", "false", "yes", "no", "on", "off", "y", "n", ".inf", ".nan"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (!strcasecmp(text, words[i]))
            return true;
    return strchr("0123456789+.", *text) && !text[strspn(text, "0123456789abcdefABCDEFxXoO+-._")];
}

/* Only what is plain in every context, inside brackets too. */
static bool is_plain(const char *text, bool as_text)
{
    static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./+-%@";
    return *text && !text[strspn(text, safe)] && !strchr("-%@+", *text) && !(as_text && is_other_type(text));
}

/* One character of UTF-8 and its length; 0 where it is none. */
static unsigned character(const unsigned char *p, uint32_t *code)
{
    unsigned n = *p < 0x80 ? 1 : *p >> 5 == 6 ? 2 : *p >> 4 == 14 ? 3 : *p >> 3 == 30 ? 4 : 0;
    *code = n == 1 ? *p : *p & (0x7fu >> n);
    for (unsigned i = 1; i < n; i++) {
        if (p[i] >> 6 != 2)
            return 0;
        *code = *code << 6 | (p[i] & 0x3f);
    }
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    return n && *code >= least[n] && *code <= 0x10ffff && *code >> 11 != 0x1b ? n : 0;
}

/* YAML 1.1, 5.1: what may stand there as it is; of that not what ends a line. */
static bool is_printable(uint32_t c)
{
    return (c >= 0x20 && c < 0x7f) || (c >= 0xa0 && c < 0xd800 && c != 0x2028 && c != 0x2029) ||
           (c >= 0xe000 && c <= 0xfffd && c != 0xfeff) || c >= 0x10000;
}

/* Between double quotes; a byte that is no UTF-8 cannot be written and becomes U+FFFD. */
static void quoted(const char *text, FILE *out)
{
    fputc('"', out);
    for (const unsigned char *p = (const unsigned char *)text; *p;) {
        uint32_t code = 0xfffd;
        unsigned n = character(p, &code);
        if (*p == '"' || *p == '\\')
            fprintf(out, "\\%c", *p);
        else if (n && is_printable(code))
            fwrite(p, 1, n, out);
        else
            fprintf(out, code > 0xffff ? "\\U%08X" : "\\u%04X", n ? code : 0xfffd);
        p += n ? n : 1;
    }
    fputc('"', out);
}

static void scalar(const char *text, bool as_text, FILE *out)
{
    if (is_plain(text, as_text))
        fputs(text, out);
    else
        quoted(text, out);
}

/* Relative to where it will be read from, if it can be; else from the root. */
static void path_scalar(const struct config_yaml *y, const char *path)
{
    size_t n = y->folder ? strlen(y->folder) : 0;
    char *whole = NULL;
    const char *text = path;
    if (n && !strncmp(path, y->folder, n) && path[n] == '/' && path[n + 1] && path[n + 1] != '/')
        text = path + n + 1;
    else if (*path != '/' && (n || !y->folder) && y->current && asprintf(&whole, "%s/%s", y->current, path) >= 0)
        text = whole;
    scalar(text, true, y->out);
    free(whole);
}

static void value(const struct config_yaml *y, const struct mr_config_key *k, const void *at)
{
    char *text = NULL;
    size_t bytes;
    if (k->type == MR_CONFIG_PATH) {
        path_scalar(y, *(char *const *)at);
        return;
    }
    FILE *f = open_memstream(&text, &bytes);
    if (!f)
        return;
    config_value_print(k, at, f);
    fclose(f);
    scalar(text, k->type == MR_CONFIG_STRING || k->type == MR_CONFIG_CHOICE, y->out);
    free(text);
}

union any_value {
    uint64_t number;
    char *text;
    struct mr_endpoint endpoint;
    struct mr_config_prefix prefix;
};

/* Would the value be the same if nothing were written? */
static bool goes_without_saying(const struct config_yaml *y, const struct mr_config_key *k, const char *at, unsigned n)
{
    union any_value absent = {0};
    char why[CONFIG_EXPECTED_MAX];
    if (k->list_max && n != (k->preset ? 1 : 0))
        return false;
    if (!k->preset)
        return k->optional && (k->list_max || config_value_equal(k->type, at, &absent));
    if ((k->type == MR_CONFIG_PATH && !y->folder) || !config_value_parse(k, k->preset, y->folder, &absent, why))
        return false;
    bool same = config_value_equal(k->type, at, &absent);
    if (config_value_is_string(k->type))
        free(absent.text);
    return same;
}

static void values(struct config_yaml *y, const struct mr_config_key *k, const char *base)
{
    const char *at = base + k->offset;
    unsigned n = k->list_max ? *(const unsigned *)(base + k->count_offset) : 1;
    if (goes_without_saying(y, k, at, n) || (config_value_is_string(k->type) && n && !*(char *const *)at))
        return;
    names_write(y);
    line_begin(y, y->indent);
    fprintf(y->out, "%s: %s", k->name, n == 1 ? "" : "[");
    for (unsigned i = 0; i < n; i++) {
        fputs(i ? ", " : "", y->out);
        value(y, k, at + i * config_value_bytes(k->type));
    }
    fputs(n == 1 ? "\n" : "]\n", y->out);
}

static void list(struct config_yaml *y, const struct mr_config_key *k, const char *base)
{
    const char *elements = *(char *const *)(base + k->offset);
    unsigned n = *(const unsigned *)(base + k->count_offset);
    config_yaml_map_begin(y, k->name);
    for (unsigned i = 0; i < n; i++) {
        config_yaml_item_begin(y);
        config_yaml_keys(y, k->keys, elements + i * k->element_bytes);
        config_yaml_item_end(y);
    }
    config_yaml_map_end(y);
}

void config_yaml_keys(struct config_yaml *y, const struct mr_config_key *keys, const void *base)
{
    for (const struct mr_config_key *k = keys; k && k->name; k++) {
        if (k->type == MR_CONFIG_MAP) {
            config_yaml_map_begin(y, k->name);
            config_yaml_keys(y, k->keys, (const char *)base + k->offset);
            config_yaml_map_end(y);
        } else if (k->type == MR_CONFIG_LIST) {
            list(y, k, base);
        } else {
            values(y, k, base);
        }
    }
}

void config_yaml_pair(struct config_yaml *y, const char *name, const char *text)
{
    names_write(y);
    line_begin(y, y->indent);
    scalar(name, true, y->out);
    fputs(": ", y->out);
    scalar(text, true, y->out);
    fputc('\n', y->out);
}

void config_yaml_word(struct config_yaml *y, const char *text)
{
    names_write(y);
    line_begin(y, y->indent);
    scalar(text, true, y->out);
    fputc('\n', y->out);
}
