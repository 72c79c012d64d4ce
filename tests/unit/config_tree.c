/* Values of a configuration as a whole: copies, differences, and YAML that is read back as what it was written from. */
#include "tests/support/cmocka.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "services/config/config_tree.h"
#include "services/config/config_value.h"
#include "services/config/config_yaml.h"
#include "tests/support/fake_service.h"
#include "tests/support/seed.h"
#include "tools/millrace/config.h"
#include "tools/millrace/config_save.h"

#define INTERFACE "interfaces:\n- {name: mr0, address: 198.18.0.2/24}\n"
#define ROUNDS    3000

static uint64_t state;

static unsigned below(unsigned n)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(state >> 33) % n;
}

static struct config *parse(const char *file, const char *yaml)
{
    static struct config_report report;
    config_report_init(&report, file);
    struct config *c = config_parse(file, yaml, strlen(yaml), fake_services, &report);
    if (!c) {
        config_report_print(&report, stderr);
        fail_msg("not accepted:\n%s", yaml);
    }
    return c;
}

/* Texts that YAML could take for something else, and characters that cannot stand there as they are. */
static char *random_text(const char *before)
{
    static const char *const words[] = {
        "null",   "~",      "true",   "No",     "on",         "1",      "0x1f",       "1e3",  ".5",  "1.2.3",
        "-",      "- a",    "a: b",   "a #b",   "#a",         "*a",     "&a",         "!a",   "?",   "|",
        ">",      "'",      "\"",     "\\",     "%a",         "@a",     "`a",         "[a]",  "{a}", "a,b",
        " a",     "a ",     "a\nb",   "\t",     "\x01",       "\x7f",   "---",        "...",  "<<",  "=",
        "\u00e4", "\xc2\x85", "\u2028", "\ufeff", "\U0001f600", "\ufffe", "2020-01-01", "1:20", "y",   "a:b"};
    char text[64];
    strcpy(text, before);
    unsigned n = 1 + below(3);
    for (unsigned i = 0; i < n; i++)
        strcat(text, words[below(sizeof words / sizeof *words)]);
    return strdup(text);
}

static void random_value(const struct mr_config_key *k, void *out)
{
    static const uint64_t quantities[] = {0, 1, 999, 1000, 1024, 3000000, 1048576, 1536, 3600 * MR_SECOND, UINT64_MAX};
    uint64_t q = quantities[below(10)];
    uint8_t bytes[16] = {0};
    for (unsigned i = 0; i < 16; i++)
        bytes[i] = (uint8_t)below(256);
    struct mr_address a = below(2) ? mr_address_ip4((uint32_t)below(1u << 31)) : *(struct mr_address *)bytes;
    switch (k->type) {
    case MR_CONFIG_BOOL:
        *(bool *)out = below(2);
        break;
    case MR_CONFIG_STRING:
    case MR_CONFIG_PATH: /* below the folder of the file: where the loader puts relative ones */
        do {
            free(*(char **)out);
            *(char **)out = random_text(k->type == MR_CONFIG_PATH ? "/f/" : "");
        } while (k->maximum && (strlen(*(char **)out) < k->minimum || strlen(*(char **)out) > k->maximum));
        break;
    case MR_CONFIG_ENDPOINT:
        *(struct mr_endpoint *)out = (struct mr_endpoint){below(2) ? mr_address_any() : a, (uint16_t)below(65536)};
        break;
    case MR_CONFIG_ADDRESS:
        *(struct mr_address *)out = a;
        break;
    case MR_CONFIG_PREFIX:
        *(struct mr_config_prefix *)out = (struct mr_config_prefix){a, below(mr_address_is_ip4(&a) ? 33 : 129)};
        break;
    case MR_CONFIG_CHOICE:
        *(int *)out = (int)below(2);
        break;
    case MR_CONFIG_FRACTION:
        *(double *)out = below(4) ? (double)below(1000001) / 1000000 : (double)below(1 << 30) / (1 << 30) / 3;
        break;
    default:
        if (k->minimum || k->maximum)
            q = k->minimum + below((unsigned)(k->maximum - k->minimum < 1000 ? k->maximum - k->minimum + 1 : 1000));
        *(uint64_t *)out = q;
    }
}

static void random_keys(const struct mr_config_key *keys, char *base);

static void random_list(const struct mr_config_key *k, char *base)
{
    unsigned least = k->optional ? 0 : 1, n = least + below(k->list_max - least + 1);
    *(unsigned *)(base + k->count_offset) = n;
    char *elements = n ? calloc(n, k->element_bytes) : NULL;
    *(void **)(base + k->offset) = elements;
    for (unsigned i = 0; i < n; i++) {
        assert_true(config_tree_presets(k->keys, "/f", elements + i * k->element_bytes));
        random_keys(k->keys, elements + i * k->element_bytes);
    }
}

/* About half of what may be left out is; everything else is there. */
static void random_keys(const struct mr_config_key *keys, char *base)
{
    for (const struct mr_config_key *k = keys; k->name; k++) {
        if (k->type == MR_CONFIG_MAP) {
            random_keys(k->keys, base + k->offset);
        } else if (k->type == MR_CONFIG_LIST) {
            random_list(k, base);
        } else if (!config_tree_key_required(k) && below(2)) {
            continue;
        } else {
            unsigned least = k->optional ? 0 : 1, n = k->list_max ? least + below(k->list_max - least + 1) : 1;
            for (unsigned i = 0; i < n; i++)
                random_value(k, base + k->offset + i * config_value_bytes(k->type));
            if (k->list_max)
                *(unsigned *)(base + k->count_offset) = n;
        }
    }
}

/* A service's values as the file that has them; `check` of the fakes is not asked. */
static struct config *read_back(const struct mr_service *service, const char *yaml)
{
    static struct config_report report;
    static struct mr_service tame; /* what is parsed points to it */
    tame = *service;
    tame.check = NULL;
    tame.check_value = NULL;
    const struct mr_service *const services[] = {&tame, NULL};
    config_report_init(&report, "/f/f.yaml");
    struct config *c = config_parse("/f/f.yaml", yaml, strlen(yaml), services, &report);
    /* Endpoints are random: that they are no address of ours is no error of the text. */
    for (unsigned i = 0; i < report.count && i < CONFIG_REPORT_MAX; i++)
        if (!strstr(report.error[i].message, "listen"))
            fail_msg("%u:%u: %s in:\n%s", report.error[i].mark.line, report.error[i].mark.column,
                     report.error[i].message, yaml);
    return c;
}

static char *yaml_of(const struct mr_service *service, const void *values)
{
    struct config *c = parse("/f/f.yaml", INTERFACE "services: [plain]\n");
    c->service[0].service = service;
    char *yaml = config_text(c, &values, "/f");
    c->service[0].service = &fake_plain;
    config_free(c);
    return yaml;
}

/* No listener, as those must be addresses of ours. */
static void without_listeners(const struct mr_service *service, char *values)
{
    if (service == &fake_web) {
        struct fake_config *w = (struct fake_config *)values;
        *w->listen = (struct mr_endpoint){mr_address_any(), 1};
        w->listen_count = 1;
        w->side.port = 0;
        return;
    }
    struct fake_tree *t = (struct fake_tree *)values;
    for (unsigned i = 0; i < t->branch_count; i++)
        t->branches[i].listen = (struct mr_endpoint){mr_address_any(), (uint16_t)i};
}

static void what_is_written_is_read_back(void **unused)
{
    const struct mr_service *const services[] = {&fake_web, &fake_nest};
    state = support_seed("unit-config_tree");
    for (unsigned i = 0; i < ROUNDS; i++) {
        const struct mr_service *s = services[i & 1];
        struct config_tree_difference d;
        char *values = calloc(1, s->config_bytes);
        assert_true(config_tree_presets(s->keys, "/f", values));
        random_keys(s->keys, values);
        without_listeners(s, values);
        char *yaml = yaml_of(s, values);
        struct config *c = read_back(s, yaml);
        assert_non_null(c);
        if (!config_tree_equal(s->keys, values, c->service[0].values, &d))
            fail_msg("%s is not what it was in:\n%s", d.path, yaml);
        char *again = yaml_of(s, c->service[0].values);
        assert_string_equal(yaml, again);
        config_free(c);
        config_tree_free(s->keys, values);
        free(values);
        free(yaml);
        free(again);
    }
}

static void text_is_canonical(void **unused)
{
    struct config *c =
        parse("/f/f.yaml",
              "name: x\n" INTERFACE
              "services:\n- plain\n- web: {root: www, title: 'null', listen: [':80', '198.18.0.2:81'], keep: 5000ms}\n"
              "- tree:\n    branches:\n    - {name: 'a b', leaves: [{name: l, weight: 1}], bark: {moss: {weight: 4}}}\n"
              "    roots: [{name: /etc/r}]\n    soil: {clay: 0.1}\n");
    char *text = config_text(c, NULL, "/f"), *elsewhere = config_text(c, NULL, NULL);
    assert_string_equal(text, "name: x\n"
                              "workers:\n"
                              "  count: 1\n"
                              "interfaces:\n"
                              "  - name: mr0\n"
                              "    address: 198.18.0.2/24\n"
                              "services:\n"
                              "  - plain\n"
                              "  - web:\n"
                              "      listen: [\":80\", \"198.18.0.2:81\"]\n"
                              "      root: www\n"
                              "      title: \"null\"\n"
                              "  - tree:\n"
                              "      branches:\n"
                              "        - name: \"a b\"\n"
                              "          leaves:\n"
                              "            - name: l\n"
                              "          bark:\n"
                              "            moss:\n"
                              "              weight: 4\n"
                              "      roots:\n"
                              "        - name: /etc/r\n");
    assert_non_null(strstr(elsewhere, "root: /f/www\n"));
    config_free(c);
    free(text);
    free(elsewhere);
}

static void relative_paths_of_a_relative_folder_stay_so(void **unused)
{
    struct config *c = parse("conf/f.yaml", INTERFACE "services: [web: {root: www}]\n");
    char *same = config_text(c, NULL, "conf"), *elsewhere = config_text(c, NULL, NULL), *current = getcwd(NULL, 0);
    char expected[4200];
    snprintf(expected, sizeof expected, "root: %s/conf/www\n", current);
    assert_non_null(strstr(same, "root: www\n"));
    assert_non_null(strstr(elsewhere, expected));
    config_free(c);
    free(same);
    free(elsewhere);
    free(current);
}

#define BRANCHES                                                                                                    \
    "services:\n- tree:\n    soil: {clay: 5%}\n    branches:\n    - {name: a, leaves: [{name: x}], tags: [t, u]}\n" \
    "    - {name: b, leaves: [{name: y}, {name: z}]}\n"

static void a_copy_is_equal_and_shares_nothing(void **unused)
{
    struct config *c = parse("f", INTERFACE BRANCHES);
    const struct fake_tree *t = c->service[0].values;
    struct fake_tree *copy = config_tree_clone(fake_tree_keys, sizeof *copy, t);
    assert_true(config_tree_equal(fake_tree_keys, t, copy, NULL));
    assert_ptr_not_equal(t->branches, copy->branches);
    assert_ptr_not_equal(t->branches[1].leaves, copy->branches[1].leaves);
    assert_ptr_not_equal(t->branches[0].tags[1], copy->branches[0].tags[1]);
    config_free(c);
    assert_string_equal(copy->branches[1].leaves[1].name, "z"); /* a sanitizer or valgrind sees what would be shared */
    config_tree_free(fake_tree_keys, copy);
    assert_null(copy->branches);
    assert_int_equal(copy->branch_count, 0);
    free(copy);
}

static const struct difference {
    const char *yaml, *path;
    unsigned line, inside_line; /* where the value stands, and what it is in; 0: not in the file */
} differences[] = {
    {"services:\n- tree:\n    soil: {clay: 6%}\n    branches: []\n", "soil.clay", 5, 5},
    {"services:\n- tree:\n    soil: {clay: 5%}\n    branches:\n    - {name: a, leaves: [{name: x}]}\n", "branches", 7,
     5},
    {"services:\n- tree:\n    soil: {clay: 5%}\n    branches:\n    - {name: a, leaves: [{name: x}]}\n"
     "    - {name: b, leaves: [{name: y}]}\n",
     "branches[0].tags", 0, 7},
    {"services:\n- tree:\n    soil: {clay: 5%}\n    branches:\n    - {name: a, leaves: [{name: x}], tags: [t, v]}\n"
     "    - {name: b, leaves: [{name: y}]}\n",
     "branches[0].tags", 7, 7},
    {"services:\n- tree:\n    soil: {clay: 5%}\n    branches:\n    - {name: a, leaves: [{name: x}], tags: [t, u]}\n"
     "    - name: b\n      leaves:\n      - name: y\n      - name: q\n",
     "branches[1].leaves[1].name", 11, 11},
    {"services:\n- tree:\n    soil: {clay: 5%}\n    branches:\n    - {name: a, leaves: [{name: x}], tags: [t, u]}\n"
     "    - name: b\n      leaves: [{name: y}, {name: z}]\n      bark:\n        moss:\n          name: m\n",
     "branches[1].bark.moss.name", 12, 12},
};

static void the_first_difference_is_named_and_found(void **unused)
{
    struct config *a = parse("f", INTERFACE BRANCHES);
    for (unsigned i = 0; i < sizeof differences / sizeof *differences; i++) {
        const struct difference *expected = &differences[i];
        struct config_tree_difference d;
        char yaml[1024];
        snprintf(yaml, sizeof yaml, "%s%s", INTERFACE, expected->yaml);
        struct config *b = parse("f", yaml);
        assert_false(config_tree_equal(fake_tree_keys, a->service[0].values, b->service[0].values, &d));
        assert_string_equal(d.path, expected->path);
        assert_int_equal(config_mark_of(b, d.value).line, expected->line);
        assert_int_equal(config_mark_of(b, d.inside).line, expected->inside_line);
        config_free(b);
    }
    config_free(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(text_is_canonical),
        cmocka_unit_test(relative_paths_of_a_relative_folder_stay_so),
        cmocka_unit_test(a_copy_is_equal_and_shares_nothing),
        cmocka_unit_test(the_first_difference_is_named_and_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
