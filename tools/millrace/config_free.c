/* What a configuration owns, given back by the same tables that it was loaded by. */
#include <stdlib.h>

#include "services/config/config_tree.h"
#include "tools/millrace/config.h"

static void free_pairs(const struct config_section *s, char *parent)
{
    struct config_pair *pair = (struct config_pair *)(parent + s->offset);
    for (unsigned i = 0; i < s->list_max; i++) {
        free(pair[i].name);
        free(pair[i].value);
    }
}

static void free_section(const struct config_section *s, char *base)
{
    config_tree_free(s->keys, base);
    for (const struct config_section *inner = s->sections; inner && inner->name; inner++) {
        if (inner->kind == CONFIG_PAIRS)
            free_pairs(inner, base);
        unsigned n = inner->kind == CONFIG_LIST ? inner->list_max : inner->kind == CONFIG_MAP;
        for (unsigned i = 0; i < n; i++)
            free_section(inner, base + inner->offset + i * inner->element_bytes);
    }
}

void config_free(struct config *c)
{
    if (!c)
        return;
    free_section(&config_root, (char *)c);
    for (unsigned i = 0; i < c->service_count; i++) {
        config_tree_free(c->service[i].service->keys, c->service[i].values);
        free(c->service[i].values);
    }
    free(c->places);
    free(c->file);
    free(c->folder);
    free(c);
}
