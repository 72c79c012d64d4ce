#include "tools/millrace/config_save.h"

#include <stdlib.h>
#include <unistd.h>

#include "services/config/config_yaml.h"

static void section_text(struct config_yaml *y, const struct config *c, const struct config_section *s,
                         const char *base, const void *const *values);

static void services_text(struct config_yaml *y, const struct config *c, const void *const *values)
{
    for (unsigned i = 0; i < c->service_count; i++) {
        const struct config_service *s = &c->service[i];
        config_yaml_item_begin(y);
        config_yaml_map_begin(y, s->service->name);
        config_yaml_keys(y, s->service->keys, values ? values[i] : s->values);
        if (!config_yaml_map_end(y))
            config_yaml_word(y, s->service->name);
        config_yaml_item_end(y);
    }
}

static void inside_text(struct config_yaml *y, const struct config *c, const struct config_section *s, const char *base,
                        const void *const *values)
{
    config_yaml_keys(y, s->keys, base);
    for (const struct config_section *n = s->sections; n && n->name; n++) {
        config_yaml_map_begin(y, n->name);
        section_text(y, c, n, base, values);
        config_yaml_map_end(y);
    }
}

static void section_text(struct config_yaml *y, const struct config *c, const struct config_section *s,
                         const char *base, const void *const *values)
{
    const char *at = base + s->offset;
    unsigned n = s->count_offset ? *(const unsigned *)(base + s->count_offset) : 0;
    switch (s->kind) {
    case CONFIG_MAP:
        inside_text(y, c, s, at, values);
        break;
    case CONFIG_LIST:
        for (unsigned i = 0; i < n; i++) {
            config_yaml_item_begin(y);
            inside_text(y, c, s, at + i * s->element_bytes, values);
            config_yaml_item_end(y);
        }
        break;
    case CONFIG_PAIRS:
        for (unsigned i = 0; i < n; i++) {
            const struct config_pair *pair = (const struct config_pair *)at + i;
            config_yaml_pair(y, pair->name, pair->value);
        }
        break;
    case CONFIG_SERVICES:
        services_text(y, c, values);
        break;
    }
}

char *config_text(const struct config *c, const void *const *values, const char *folder)
{
    char *text = NULL, *current = getcwd(NULL, 0);
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    struct config_yaml y = {.out = out, .folder = folder, .current = current};
    if (out)
        inside_text(&y, c, &config_root, (const char *)c, values);
    bool good = out && !ferror(out);
    if (out && fclose(out) != 0)
        good = false;
    free(current);
    if (good)
        return text;
    free(text);
    return NULL;
}
