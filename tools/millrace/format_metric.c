#include "tools/millrace/format_metric.h"

void format_metric_head(const char *of, const char *name, const char *sentence, bool gauge, FILE *out)
{
    const char *suffix = gauge ? "" : "_total";
    fprintf(out, "# HELP millrace_%s_%s%s %s\n", of, name, suffix, sentence);
    fprintf(out, "# TYPE millrace_%s_%s%s %s\n", of, name, suffix, gauge ? "gauge" : "counter");
}

/* As format_stat.c: backslash, quote and newline of a label's value. */
void format_metric_label(const char *name, const char *value, const char *separator, FILE *out)
{
    fprintf(out, "%s%s=\"", separator, name);
    for (; value && *value; value++) {
        if (*value == '\n')
            fputs("\\n", out);
        else
            fprintf(out, "%s%c", *value == '\\' || *value == '"' ? "\\" : "", *value);
    }
    fputc('"', out);
}

void format_metric_value(const json_t *value, FILE *out)
{
    if (json_is_integer(value))
        fprintf(out, " %" JSON_INTEGER_FORMAT "\n", json_integer_value(value));
    else
        fprintf(out, " %.10g\n", json_number_value(value));
}
