#include <string.h>

#include "tools/millrace/format.h"

static long long number(const json_t *row, const char *key)
{
    return json_integer_value(json_object_get(row, key));
}

static const char *text(const json_t *row, const char *key)
{
    const char *t = json_string_value(json_object_get(row, key));
    return t ? t : "";
}

static void print_joined(const json_t *list, FILE *out)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        fprintf(out, " %s", json_string_value(json_array_get(list, i)));
}

void format_status(const json_t *answer, FILE *out)
{
    size_t i;
    json_t *row;
    fprintf(out, "%s: %s, process %lld, version %s, up %lld s\n", text(answer, "name"), text(answer, "state"),
            number(answer, "process"), text(answer, "version"), number(answer, "uptime_s"));
    const json_t *reloads = json_object_get(answer, "reloads");
    if (number(reloads, "applied") + number(reloads, "refused")) {
        fprintf(out, "configuration reloaded %lld times, refused %lld times", number(reloads, "applied"),
                number(reloads, "refused"));
        if (json_object_get(reloads, "last_s"))
            fprintf(out, ", last applied %lld s ago", number(reloads, "last_s"));
        fputc('\n', out);
    }
    json_array_foreach(json_object_get(answer, "workers"), i, row)
    {
        fprintf(out, "worker %zu: %s, packets held %lld of %lld, buffers free %lld of %lld", i, text(row, "state"),
                number(row, "packets_held"), number(row, "packets_held_max"), number(row, "buffers_free"),
                number(row, "buffers"));
        fprintf(out, ", turns %lld\n", number(row, "turns"));
    }
    json_array_foreach(json_object_get(answer, "interfaces"), i, row)
    {
        fprintf(out, "interface %s: %s, %s, mtu %lld,", text(row, "name"), text(row, "driver"), text(row, "mac"),
                number(row, "mtu"));
        print_joined(json_object_get(row, "addresses"), out);
        fputc('\n', out);
    }
    json_array_foreach(json_object_get(answer, "services"), i, row)
    {
        fprintf(out, "service %s:", text(row, "name"));
        print_joined(json_object_get(row, "listen"), out);
        fputc('\n', out);
    }
}
