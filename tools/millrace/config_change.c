#include "tools/millrace/config_change.h"

#include <stdlib.h>
#include <string.h>

#include "services/config/config_tree.h"

#define PATH_MAX_TEXT 300

static const struct config_mark nowhere = {0, 0}; /* the file as a whole */

struct change {
    const struct config *new;
    struct config_report *report;
};

/* Takes effect at once. */
static bool is_free(const char *path)
{
    static const char *const names[] = {"congestion", "log.level"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(path, names[i]))
            return true;
    return false;
}

/* `inside`: what the value lies in, for one that is not in the file; NULL: what stands around it has no place but `around`. */
static void report_fixed(const struct change *c, const void *value, const void *inside, struct config_mark around,
                         const char *path)
{
    struct config_mark mark = config_mark_of(c->new, value);
    if (!mark.line && inside)
        mark = config_mark_of(c->new, inside);
    if (!mark.line)
        mark = around;
    config_report_add(c->report, mark, "%s cannot change while running: it takes a restart", path);
}

/* Each key by itself, so that all that differ are named. */
static void compare_keys(const struct change *c, const struct mr_config_key *keys, const char *old, const char *new,
                         struct config_mark around, const char *path)
{
    for (const struct mr_config_key *k = keys; k && k->name; k++) {
        const struct mr_config_key one[2] = {*k, {.name = NULL}};
        struct config_tree_difference first;
        char whole[PATH_MAX_TEXT];
        if (config_tree_equal(one, old, new, &first))
            continue;
        snprintf(whole, sizeof whole, "%s%s%s", path, *path ? "." : "", first.path);
        if (!is_free(whole))
            report_fixed(c, first.value, first.inside == new ? NULL : first.inside, around, whole);
    }
}

static void compare_inside(const struct change *c, const struct config_section *s, const char *old, const char *new,
                           const char *path);

static void compare_pairs(const struct change *c, const struct config_pair *old, const struct config_pair *new,
                          unsigned n, const char *path)
{
    for (unsigned i = 0; i < n; i++)
        if (strcmp(old[i].name, new[i].name) || strcmp(old[i].value, new[i].value)) {
            report_fixed(c, &new[i], NULL, nowhere, path);
            return;
        }
}

static void compare_section(const struct change *c, const struct config_section *s, const char *old, const char *new,
                            const char *path)
{
    if (s->kind == CONFIG_SERVICES)
        return;
    if (s->kind == CONFIG_MAP) {
        compare_inside(c, s, old + s->offset, new + s->offset, path);
        return;
    }
    unsigned n = *(const unsigned *)(old + s->count_offset), m = *(const unsigned *)(new + s->count_offset);
    if (n != m) {
        config_report_add(c->report, config_mark_of(c->new, new + s->offset),
                          "%s has %u items and %u run: their number cannot change while running", path, m, n);
        return;
    }
    if (s->kind == CONFIG_PAIRS) {
        compare_pairs(c, (const struct config_pair *)(old + s->offset), (const struct config_pair *)(new + s->offset),
                      n, path);
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        char item[PATH_MAX_TEXT + 16];
        snprintf(item, sizeof item, "%s[%u]", path, i);
        compare_inside(c, s, old + s->offset + i * s->element_bytes, new + s->offset + i * s->element_bytes, item);
    }
}

static void compare_inside(const struct change *c, const struct config_section *s, const char *old, const char *new,
                           const char *path)
{
    compare_keys(c, s->keys, old, new, nowhere, path);
    for (const struct config_section *inner = s->sections; inner && inner->name; inner++) {
        char whole[PATH_MAX_TEXT];
        snprintf(whole, sizeof whole, "%s%s%s", path, *path ? "." : "", inner->name);
        compare_section(c, inner, old, new, whole);
    }
}

static void compare_services(const struct change *c, const struct config *old)
{
    for (unsigned i = 0; i < old->service_count && i < c->new->service_count; i++) {
        const struct config_service *a = &old->service[i], *b = &c->new->service[i];
        char path[PATH_MAX_TEXT];
        if (a->service != b->service) {
            config_report_add(c->report, b->mark,
                              "services[%u] is %s and %s runs there: services cannot change while running", i,
                              b->service->name, a->service->name);
            return;
        }
        snprintf(path, sizeof path, "services[%u].%s", i, b->service->name);
        if (!b->service->reconfigure)
            compare_keys(c, b->service->keys, a->values, b->values, b->mark, path);
    }
    if (old->service_count != c->new->service_count)
        config_report_add(c->report, (struct config_mark){0, 0},
                          "there are %u services and %u run: services cannot change while running",
                          c->new->service_count, old->service_count);
}

void config_change_check(const struct config *old, const struct config *new, struct config_report *report)
{
    const struct change c = {new, report};
    compare_inside(&c, &config_root, (const char *)old, (const char *)new, "");
    compare_services(&c, old);
}
