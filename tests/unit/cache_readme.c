/* The list of commands in services/cache/README.md is what the tables say. `unit-cache_readme print` prints it as it should be. */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/command/table.h"

#define TEXT_MAX   (256u << 10)
#define GROUPS_MAX 32

static char list[TEXT_MAX], readme[TEXT_MAX];
static size_t used;

static void add(const char *format, const char *a, const char *b, const char *c)
{
    used += (size_t)snprintf(list + used, TEXT_MAX - used, format, a, b, c);
    if (used >= TEXT_MAX)
        abort();
}

static void add_row(const struct cache_command *container, const struct cache_command *c)
{
    add("| `%s%s%s` |", container ? container->name : "", container ? " " : "", c->name);
    add(" %s%s%s |\n", c->sentence ? c->sentence : "", "", "");
}

/* What memcached's protocols run is no command of clients. */
static bool is_shown(const struct cache_command *c)
{
    return !strchr(c->name, '.');
}

static void add_group(const char *group)
{
    add("\n| %s%s%s | |\n|---|---|\n", group, "", "");
    for (unsigned i = 0; i < cache_command_count(); i++) {
        const struct cache_command *c = cache_command_at(i);
        if (!is_shown(c) || strcmp(c->group, group))
            continue;
        if (!c->subcommands)
            add_row(NULL, c);
        for (const struct cache_command *sub = c->subcommands; sub && sub->name; sub++)
            add_row(c, sub);
    }
}

static void list_make(void)
{
    const char *groups[GROUPS_MAX];
    unsigned n = 0;
    for (unsigned i = 0; i < cache_command_count(); i++) {
        const struct cache_command *c = cache_command_at(i);
        unsigned at = 0;
        if (!c->group)
            continue;
        while (at < n && strcmp(groups[at], c->group))
            at++;
        if (at == n && is_shown(c) && n < GROUPS_MAX)
            groups[n++] = c->group;
    }
    for (unsigned i = 0; i < n; i++)
        add_group(groups[i]);
    add("%s%s%s", "\n", "", "");
}

static void every_command_has_a_group_and_a_sentence(void **state)
{
    for (unsigned i = 0; i < cache_command_count(); i++) {
        const struct cache_command *c = cache_command_at(i);
        if (!c->group || !c->sentence)
            fail_msg("%s lacks its group or its sentence", c->name);
        for (const struct cache_command *sub = c->subcommands; sub && sub->name; sub++)
            if (!sub->sentence)
                fail_msg("%s %s lacks its sentence", c->name, sub->name);
    }
}

static void the_readme_lists_what_the_tables_have(void **state)
{
    static const char begin[] = "<!-- commands -->\n", end[] = "<!-- commands end -->";
    FILE *file = fopen(CACHE_README, "r");
    assert_non_null(file);
    readme[fread(readme, 1, sizeof readme - 1, file)] = 0;
    fclose(file);
    const char *from = strstr(readme, begin), *to = strstr(readme, end);
    assert_true(from && to && from < to);
    from += sizeof begin - 1;
    if ((size_t)(to - from) == used && memcmp(from, list, used) == 0)
        return;
    size_t same = 0;
    while (from[same] == list[same] && from + same < to)
        same++;
    fail_msg("%s differs from the tables at: %.80s\nunit-cache_readme print: has the list", CACHE_README, list + same);
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_command_has_a_group_and_a_sentence),
        cmocka_unit_test(the_readme_lists_what_the_tables_have),
    };
    if (argc > 1 && strcmp(argv[1], "print") == 0) {
        list_make();
        return fputs(list, stdout) < 0;
    }
    list_make();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
