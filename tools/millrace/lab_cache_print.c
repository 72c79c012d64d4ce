/* What was measured, as a table and as JSON. */
#include <inttypes.h>
#include <string.h>

#include <jansson.h>

#include "tools/millrace/lab_cache.h"

void lab_size_print(char text[32], const struct lab_cache *lab, const struct lab_size *size)
{
    double percent = size->share > 0 ? size->share * 100 : (double)size->entries * 100 / lab->trace.distinct;
    snprintf(text, 32, "%.3g%%", percent);
}

static int column_of(const struct cache_evict_policy *p)
{
    int width = (int)strlen(lab_policy_label(p));
    return width > 6 ? width : 6;
}

void lab_cache_print(const struct lab_cache *lab, FILE *out)
{
    fprintf(out, "trace %s, seed %" PRIu64 ": %" PRIu64 " requests for %" PRIu32 " distinct keys\n", lab->trace_name,
            lab->seed, lab->trace.requests, lab->trace.distinct);
    fputs("hit ratio in percent; size as a share of the distinct keys\n\n", out);
    fprintf(out, "%7s %9s", "size", "entries");
    for (unsigned p = 0; p < lab->policies_count; p++)
        fprintf(out, "  %*s", column_of(lab->policies[p]), lab_policy_label(lab->policies[p]));
    fputs("  belady\n", out);
    for (unsigned s = 0; s < lab->sizes_count; s++) {
        char text[32];
        lab_size_print(text, lab, &lab->sizes[s]);
        fprintf(out, "%7s %9" PRIu64, text, lab->sizes[s].entries);
        for (unsigned p = 0; p < lab->policies_count; p++)
            fprintf(out, "  %*.2f", column_of(lab->policies[p]), lab_ratio(lab, lab->hits[s][p]) * 100);
        fprintf(out, "  %6.2f\n", lab_ratio(lab, lab->belady[s]) * 100);
    }
}

static json_t *json_size(const struct lab_cache *lab, unsigned s)
{
    json_t *hits = json_object(), *ratios = json_object();
    for (unsigned p = 0; p < lab->policies_count; p++) {
        json_object_set_new(hits, lab->policies[p]->name, json_integer((json_int_t)lab->hits[s][p]));
        json_object_set_new(ratios, lab->policies[p]->name, json_real(lab_ratio(lab, lab->hits[s][p])));
    }
    json_object_set_new(hits, "belady", json_integer((json_int_t)lab->belady[s]));
    json_object_set_new(ratios, "belady", json_real(lab_ratio(lab, lab->belady[s])));
    return json_pack("{s:I, s:o, s:o}", "entries", (json_int_t)lab->sizes[s].entries, "hits", hits, "hit_ratio",
                     ratios);
}

void lab_cache_print_json(const struct lab_cache *lab, FILE *out)
{
    json_t *sizes = json_array();
    for (unsigned s = 0; s < lab->sizes_count; s++)
        json_array_append_new(sizes, json_size(lab, s));
    json_t *name = json_string(lab->trace_name); /* of a file, which need not be UTF-8 */
    json_t *all = json_pack("{s:o, s:I, s:I, s:I, s:o}", "trace", name ? name : json_null(), "seed",
                            (json_int_t)lab->seed, "requests", (json_int_t)lab->trace.requests, "distinct_keys",
                            (json_int_t)lab->trace.distinct, "sizes", sizes);
    json_dumpf(all, out, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    fputc('\n', out);
    json_decref(all);
}
