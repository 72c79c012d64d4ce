#include <inttypes.h>
#include <string.h>

#include "tools/millrace/format.h"

static const char *text_of(const json_t *row, const char *key)
{
    const char *text = json_string_value(json_object_get(row, key));
    return text ? text : "";
}

static uint64_t sum_of(const json_t *row)
{
    uint64_t sum = 0;
    size_t i;
    json_t *value;
    json_array_foreach(json_object_get(row, "values"), i, value) sum += (uint64_t)json_integer_value(value);
    return sum;
}

/* "tcp.accepted", "link[mr0].rx_packets", "http[1].requests" */
static const char *label_of(const json_t *row, char *text, size_t n)
{
    const char *of = text_of(row, "of");
    snprintf(text, n, *of ? "%s[%s].%s" : "%s%s.%s", text_of(row, "area"), of, text_of(row, "name"));
    return text;
}

static bool same_row(const json_t *a, const json_t *b)
{
    return !strcmp(text_of(a, "area"), text_of(b, "area")) && !strcmp(text_of(a, "name"), text_of(b, "name")) &&
           !strcmp(text_of(a, "of"), text_of(b, "of"));
}

static bool is_gauge(const json_t *row)
{
    return json_is_true(json_object_get(row, "gauge"));
}

static uint64_t sum_before(const json_t *before, const json_t *row)
{
    size_t i;
    json_t *other;
    json_array_foreach(json_object_get(before, "counters"), i, other) if (same_row(other, row)) return sum_of(other);
    return 0;
}

static void print_workers(const json_t *row, FILE *out)
{
    const json_t *values = json_object_get(row, "values");
    for (size_t i = 0; json_array_size(values) > 1 && i < json_array_size(values); i++)
        fprintf(out, " %12" JSON_INTEGER_FORMAT, json_integer_value(json_array_get(values, i)));
}

/* What follows from two rows of one area and instance; it is printed after the second. */
static const struct ratio {
    const char *area, *name, *part, *other;
    bool other_is_whole; /* part of other, else part of both together */
    const char *sentence;
} ratios[] = {
    {"cache", "hit_ratio", "hits", "misses", false, "of look-ups, those that found their key"},
    {"cache", "memory_filled", "memory_used", "memory_limit", true,
     "of the bytes that the keyspace may use, those in use"},
};

static const json_t *row_beside(const json_t *rows, const json_t *row, const char *name)
{
    size_t i;
    json_t *other;
    json_array_foreach(rows, i, other) if (!strcmp(text_of(other, "name"), name) &&
                                           !strcmp(text_of(other, "area"), text_of(row, "area")) &&
                                           !strcmp(text_of(other, "of"), text_of(row, "of"))) return other;
    return NULL;
}

static double percentage(const struct ratio *r, uint64_t part, uint64_t other)
{
    double whole = r->other_is_whole ? (double)other : (double)part + (double)other;
    return whole > 0 ? 100 * (double)part / whole : 0;
}

static uint64_t value_at(const json_t *row, size_t i)
{
    return (uint64_t)json_integer_value(json_array_get(json_object_get(row, "values"), i));
}

static void print_ratio(const struct ratio *r, const json_t *part, const json_t *other, const json_t *before, FILE *out)
{
    char label[96], of[64];
    uint64_t part_before = before && !is_gauge(part) ? sum_before(before, part) : 0;
    uint64_t other_before = before && !is_gauge(other) ? sum_before(before, other) : 0;
    uint64_t part_sum = sum_of(part) - part_before, other_sum = sum_of(other) - other_before;
    if (part_sum + other_sum == 0)
        return;
    snprintf(of, sizeof of, *text_of(part, "of") ? "[%s]" : "%s", text_of(part, "of"));
    snprintf(label, sizeof label, "%s%s.%s", r->area, of, r->name);
    fprintf(out, "%-32s %11.2f%%", label, percentage(r, part_sum, other_sum));
    size_t workers = json_array_size(json_object_get(part, "values"));
    for (size_t i = 0; workers > 1 && i < workers; i++)
        fprintf(out, " %11.2f%%", percentage(r, value_at(part, i), value_at(other, i)));
    fprintf(out, "  %s\n", r->sentence);
}

static void print_ratios(const json_t *rows, const json_t *row, const json_t *before, FILE *out)
{
    for (size_t i = 0; i < sizeof ratios / sizeof *ratios; i++) {
        bool ends_here =
            !strcmp(text_of(row, "name"), ratios[i].other) && !strcmp(text_of(row, "area"), ratios[i].area);
        const json_t *part = ends_here ? row_beside(rows, row, ratios[i].part) : NULL;
        if (part)
            print_ratio(&ratios[i], part, row, before, out);
    }
}

static void print_row(const json_t *row, uint64_t sum, uint64_t moved, double seconds, FILE *out)
{
    char label[96];
    fprintf(out, "%-32s %12" PRIu64, label_of(row, label, sizeof label), sum);
    print_workers(row, out);
    if (seconds > 0 && !is_gauge(row))
        fprintf(out, " %12.1f/s", (double)moved / seconds);
    fprintf(out, "  %s\n", text_of(row, "sentence"));
}

void format_stat(const json_t *answer, const json_t *before, double seconds, const struct format_stat_options *o,
                 FILE *out)
{
    size_t i;
    json_t *row;
    json_array_foreach(json_object_get(answer, "counters"), i, row)
    {
        uint64_t sum = sum_of(row), moved = before ? sum - sum_before(before, row) : sum;
        if (o->area && strcmp(o->area, text_of(row, "area")))
            continue;
        if (moved || o->zeros)
            print_row(row, sum, moved, before ? seconds : 0, out);
        print_ratios(json_object_get(answer, "counters"), row, before, out);
    }
}

static bool same_metric(const json_t *a, const json_t *b)
{
    return !strcmp(text_of(a, "area"), text_of(b, "area")) && !strcmp(text_of(a, "name"), text_of(b, "name"));
}

/* A metric name is [a-zA-Z_:][a-zA-Z0-9_:]*; a service may be called otherwise. */
static void print_metric_name(const json_t *row, FILE *out)
{
    char name[128];
    snprintf(name, sizeof name, "millrace_%s_%s%s", text_of(row, "area"), text_of(row, "name"),
             is_gauge(row) ? "" : "_total");
    for (char *c = name; *c; c++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_:", *c))
            *c = '_';
    fputs(name, out);
}

/* Escapes as the format asks: backslash and newline everywhere, the quote in label values. */
static void print_escaped(const char *text, bool label, FILE *out)
{
    for (; *text; text++) {
        if (*text == '\n')
            fputs("\\n", out);
        else {
            if (*text == '\\' || (label && *text == '"'))
                fputc('\\', out);
            fputc(*text, out);
        }
    }
}

static void print_samples(const json_t *row, FILE *out)
{
    const char *of = text_of(row, "of");
    size_t i;
    json_t *value;
    json_array_foreach(json_object_get(row, "values"), i, value)
    {
        print_metric_name(row, out);
        fprintf(out, "{worker=\"%zu\"", i);
        if (*of) {
            fprintf(out, ",%s=\"", strcmp(text_of(row, "area"), "link") ? "instance" : "interface");
            print_escaped(of, true, out);
            fputc('"', out);
        }
        fprintf(out, "} %" JSON_INTEGER_FORMAT "\n", json_integer_value(value));
    }
}

void format_prometheus(const json_t *answer, FILE *out)
{
    const json_t *rows = json_object_get(answer, "counters");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const json_t *row = json_array_get(rows, i);
        size_t first = 0;
        while (first < i && !same_metric(json_array_get(rows, first), row))
            first++;
        if (first < i)
            continue; /* printed with its group */
        fputs("# HELP ", out);
        print_metric_name(row, out);
        fputc(' ', out);
        print_escaped(text_of(row, "sentence"), false, out);
        fputs("\n# TYPE ", out);
        print_metric_name(row, out);
        fputs(is_gauge(row) ? " gauge\n" : " counter\n", out);
        for (size_t j = i; j < json_array_size(rows); j++)
            if (same_metric(json_array_get(rows, j), row))
                print_samples(json_array_get(rows, j), out);
    }
}
