#include "tools/millrace/reference.h"

#include <jansson.h>
#include <string.h>

#include "drivers/dpdk/dpdk.h"
#include "services/config/config_tree.h"
#include "services/config/config_value.h"
#include "tools/millrace/config.h"

static void markdown_row(const struct mr_config_key *k, FILE *out)
{
    char expected[CONFIG_EXPECTED_MAX];
    const char *form = k->type == MR_CONFIG_MAP    ? "a mapping, see below"
                       : k->type == MR_CONFIG_LIST ? "a list, see below"
                                                   : config_value_expected(k, expected);
    fprintf(out, "| `%s` | %s%s%s%s | ", k->name, form, k->unit ? ", in " : "", k->unit ? k->unit : "",
            k->list_max && k->type != MR_CONFIG_LIST ? ", or a list" : "");
    if (k->preset)
        fprintf(out, "`%s`", k->preset);
    else if (k->type == MR_CONFIG_MAP)
        fputs(config_tree_required(k->keys) ? "required" : "as below", out);
    else
        fputs(k->optional ? "none" : "required", out);
    fprintf(out, " | %s |\n", k->sentence ? k->sentence : "");
}

/* A table, and after it one for each key that nests, under its whole name. */
static void markdown_keys(const struct mr_config_key *keys, const char *path, FILE *out)
{
    char inner[128];
    fputs("\n| key | value | preset | what it does |\n|---|---|---|---|\n", out);
    for (const struct mr_config_key *k = keys; k && k->name; k++)
        markdown_row(k, out);
    for (const struct mr_config_key *k = keys; k && k->name; k++) {
        if (!k->keys)
            continue;
        snprintf(inner, sizeof inner, "%s.%s", path, k->name);
        fprintf(out, "\n#### %s\n\n%s", inner, k->sentence ? k->sentence : "");
        if (k->type == MR_CONFIG_LIST)
            fprintf(out, "%sa list of at most %u items, each with", k->sentence ? ": " : "", k->list_max);
        fputc('\n', out);
        markdown_keys(k->keys, inner, out);
    }
}

static void markdown_drivers(FILE *out)
{
    fputs("\n### drivers\n\n| driver | what it needs | a command that tries it |\n|---|---|---|\n", out);
    for (unsigned i = 0; dpdk_kind_name(i); i++) {
        const char *kind = dpdk_kind_name(i);
        fprintf(out, "| `%s` | %s | `%s` |\n", kind, dpdk_kind_needs(kind), dpdk_kind_example(kind));
    }
}

static void markdown_section(const struct config_section *s, const char *path, const struct mr_service *const *services,
                             FILE *out)
{
    char inner[128];
    fprintf(out, "\n## %s\n\n%s%s\n", path, s->sentence, s->kind == CONFIG_LIST ? " A list." : "");
    if (s->kind == CONFIG_SERVICES) {
        for (; *services; services++) {
            fprintf(out, "\n### %s\n\n%s\n", (*services)->name, (*services)->sentence);
            markdown_keys((*services)->keys, (*services)->name, out);
        }
        return;
    }
    if (s->kind == CONFIG_PAIRS)
        return;
    markdown_keys(s->keys, path, out);
    if (!strcmp(s->name, "interfaces"))
        markdown_drivers(out);
    for (const struct config_section *n = s->sections; n && n->name; n++) {
        snprintf(inner, sizeof inner, "%s.%s", path, n->name);
        markdown_section(n, inner, services, out);
    }
}

void reference_markdown(const struct mr_service *const *services, FILE *out)
{
    fputs("# Configuration\n\nOne YAML file. A key that has a preset may be left out; an unknown key is an error. "
          "Sizes are\n"
          "written as 64KiB, 1MiB or 1000; durations as 100us, 5ms, 30s, 2m, 1h; rates as 64kbit, 100Mbit, 1Gbit; "
          "relative\n"
          "paths start at the folder of the file. `millrace check FILE` checks one; this page is what `millrace "
          "reference`\n"
          "prints, and `millrace reference --schema` prints the JSON Schema for editors.\n\n## the file itself\n",
          out);
    markdown_keys(config_root.keys, "", out);
    for (const struct config_section *s = config_root.sections; s->name; s++)
        markdown_section(s, s->name, services, out);
}

/* A number in YAML needs no quotes, so quantities are either. */
static json_t *schema_value(const struct mr_config_key *k)
{
    switch (k->type) {
    case MR_CONFIG_BOOL:
        return json_pack("{s:s}", "type", "boolean");
    case MR_CONFIG_UNSIGNED: {
        json_t *v = json_pack("{s:s}", "type", "integer");
        json_object_set_new(v, "minimum", json_integer((json_int_t)k->minimum));
        if (k->maximum)
            json_object_set_new(v, "maximum", json_integer((json_int_t)k->maximum));
        return v;
    }
    case MR_CONFIG_CHOICE: {
        json_t *names = json_array();
        for (int i = 0; k->choices[i]; i++)
            json_array_append_new(names, json_string(k->choices[i]));
        return json_pack("{s:o}", "enum", names);
    }
    case MR_CONFIG_BYTES:
        return json_pack("{s:[s,s],s:s}", "type", "integer", "string", "pattern", "^[0-9]+ ?(B|KiB|MiB|GiB)?$");
    case MR_CONFIG_DURATION:
        return json_pack("{s:[s,s],s:s}", "type", "integer", "string", "pattern", "^([0-9]+ ?(ns|us|ms|s|m|h)|0)$");
    case MR_CONFIG_RATE:
        return json_pack("{s:[s,s],s:s}", "type", "integer", "string", "pattern", "^[0-9]+ ?(bit|kbit|Mbit|Gbit)?$");
    case MR_CONFIG_FRACTION:
        return json_pack("{s:[s,s],s:s}", "type", "number", "string", "pattern", "^[0-9.]+%?$");
    case MR_CONFIG_ENDPOINT:
        return json_pack("{s:[s,s]}", "type", "integer", "string");
    default:
        return json_pack("{s:s}", "type", "string");
    }
}

static json_t *schema_map(const struct mr_config_key *keys, const struct config_section *sections,
                          const struct mr_service *const *services);

static json_t *schema_array(json_t *items, unsigned minimum, unsigned maximum)
{
    return json_pack("{s:s,s:o,s:i,s:i}", "type", "array", "items", items, "minItems", (int)minimum, "maxItems",
                     (int)maximum);
}

static json_t *schema_key(const struct mr_config_key *k)
{
    json_t *v;
    unsigned least = k->optional ? 0 : 1;
    if (k->type == MR_CONFIG_MAP) {
        v = schema_map(k->keys, NULL, NULL);
    } else if (k->type == MR_CONFIG_LIST) {
        v = schema_array(schema_map(k->keys, NULL, NULL), least, k->list_max);
    } else {
        v = schema_value(k);
        if (k->list_max)
            v = json_pack("{s:[O,o]}", "oneOf", v, schema_array(v, least, k->list_max));
    }
    if (k->sentence)
        json_object_set_new(v, "description", json_string(k->sentence));
    if (k->preset)
        json_object_set_new(v, "default", json_string(k->preset));
    return v;
}

static json_t *schema_services(const struct mr_service *const *services)
{
    json_t *any = json_array();
    for (; *services; services++) {
        const char *name = (*services)->name;
        json_t *keys = schema_map((*services)->keys, NULL, NULL);
        json_object_set_new(keys, "description", json_string((*services)->sentence));
        json_t *or_null = json_pack("{s:[o,{s:s}]}", "anyOf", keys, "type", "null");
        json_array_append_new(any, json_pack("{s:s}", "const", name));
        json_array_append_new(any, json_pack("{s:s,s:{s:o},s:[s],s:b}", "type", "object", "properties", name, or_null,
                                             "required", name, "additionalProperties", 0));
    }
    return json_pack("{s:s,s:i,s:{s:o}}", "type", "array", "maxItems", WORKER_SERVICE_MAX, "items", "anyOf", any);
}

static json_t *schema_section(const struct config_section *s, const struct mr_service *const *services)
{
    if (s->kind == CONFIG_PAIRS)
        return json_pack("{s:s,s:i,s:s}", "type", "object", "maxProperties", (int)s->list_max, "description",
                         s->sentence);
    json_t *v = s->kind == CONFIG_SERVICES ? schema_services(services) : schema_map(s->keys, s->sections, services);
    if (s->kind == CONFIG_LIST)
        v = schema_array(v, 0, s->list_max);
    json_object_set_new(v, "description", json_string(s->sentence));
    return v;
}

static json_t *schema_map(const struct mr_config_key *keys, const struct config_section *sections,
                          const struct mr_service *const *services)
{
    json_t *properties = json_object(), *required = json_array();
    for (const struct mr_config_key *k = keys; k && k->name; k++) {
        json_object_set_new(properties, k->name, schema_key(k));
        if (config_tree_key_required(k))
            json_array_append_new(required, json_string(k->name));
    }
    for (const struct config_section *s = sections; s && s->name; s++)
        json_object_set_new(properties, s->name, schema_section(s, services));
    return json_pack("{s:s,s:o,s:o,s:b}", "type", "object", "properties", properties, "required", required,
                     "additionalProperties", 0);
}

void reference_schema(const struct mr_service *const *services, FILE *out)
{
    json_t *schema = schema_map(config_root.keys, config_root.sections, services);
    json_object_set_new(schema, "$schema", json_string("https://json-schema.org/draft/2020-12/schema"));
    json_object_set_new(schema, "title", json_string("Millrace configuration"));
    json_array_append_new(json_object_get(schema, "required"), json_string("interfaces"));
    json_dumpf(schema, out, JSON_INDENT(2));
    fputc('\n', out);
    json_decref(schema);
}
