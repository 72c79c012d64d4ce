/* A service with a key of each type, for tests of the configuration: it never starts. */
#ifndef TESTS_SUPPORT_FAKE_SERVICE_H
#define TESTS_SUPPORT_FAKE_SERVICE_H

#include <millrace/service.h>
#include <stdio.h>
#include <string.h>

struct fake_config {
    struct mr_endpoint listen[4], side;
    unsigned listen_count;
    char *root, *title;
    mr_time keep;
    uint64_t largest, speed, count;
    bool shy;
    struct mr_address peer;
    int kind;
    double sample;
    struct mr_config_prefix net;
};

static const char *const fake_kinds[] = {"slow", "fast", NULL};
#define FAKE_AT(member) offsetof(struct fake_config, member)
static const struct mr_config_key fake_keys[] = {
    {"listen", MR_CONFIG_ENDPOINT, FAKE_AT(listen), .preset = ":80", .sentence = "where", .list_max = 4,
     .count_offset = FAKE_AT(listen_count)},
    {"side", MR_CONFIG_ENDPOINT, FAKE_AT(side), .preset = ":0", .sentence = "a second listener, off by itself"},
    {"root", MR_CONFIG_PATH, FAKE_AT(root), .sentence = "folder"},
    {"title", MR_CONFIG_STRING, FAKE_AT(title), .preset = "none", .sentence = "text"},
    {"keep", MR_CONFIG_DURATION, FAKE_AT(keep), MR_SECOND, 100 * MR_SECOND, .preset = "5s", .sentence = "duration"},
    {"largest", MR_CONFIG_BYTES, FAKE_AT(largest), .preset = "1MiB", .sentence = "size"},
    {"speed", MR_CONFIG_RATE, FAKE_AT(speed), .preset = "1Gbit", .sentence = "rate"},
    {"count", MR_CONFIG_UNSIGNED, FAKE_AT(count), 0, 9, .preset = "1", .sentence = "number"},
    {"shy", MR_CONFIG_BOOL, FAKE_AT(shy), .preset = "false", .sentence = "boolean"},
    {"peer", MR_CONFIG_ADDRESS, FAKE_AT(peer), .optional = true, .sentence = "address"},
    {"kind", MR_CONFIG_CHOICE, FAKE_AT(kind), .preset = "slow", .choices = fake_kinds, .sentence = "choice"},
    {"sample", MR_CONFIG_FRACTION, FAKE_AT(sample), .preset = "1", .sentence = "fraction"},
    {"net", MR_CONFIG_PREFIX, FAKE_AT(net), .optional = true, .sentence = "prefix"},
    {.name = NULL}};

static bool fake_check(const void *config, char *message, size_t message_bytes)
{
    const struct fake_config *c = config;
    snprintf(message, message_bytes, "the folder is refused");
    return strcmp(c->root, "refused") != 0;
}

static const struct mr_service fake_web = {.name = "web",
                                           .sentence = "A fake.",
                                           .config_bytes = sizeof(struct fake_config),
                                           .keys = fake_keys,
                                           .check = fake_check};
/* What nests: a mapping, a list of mappings, and lists within its items. */
struct fake_leaf {
    char *name;
    uint64_t weight;
};
struct fake_branch {
    char *name;
    struct mr_endpoint listen;
    int mode;
    unsigned leaf_count, tag_count;
    struct fake_leaf *leaves;
    char *tags[3];
    struct fake_bark {
        mr_time age;
        struct fake_leaf moss;
    } bark;
};
struct fake_tree {
    struct fake_soil {
        double clay;
        char *colour;
    } soil;
    unsigned branch_count, root_count;
    struct fake_branch *branches;
    struct fake_leaf *roots;
};

static const char *const fake_modes[] = {"tcp", "udp", "http", NULL};
#define FAKE_IN(type, member) offsetof(struct fake_##type, member)
static const struct mr_config_key fake_leaf_keys[] = {
    {"name", MR_CONFIG_STRING, FAKE_IN(leaf, name), 1, 20, .sentence = "name"},
    {"weight", MR_CONFIG_UNSIGNED, FAKE_IN(leaf, weight), 0, 9, .preset = "1", .sentence = "number"},
    {.name = NULL}};
static const struct mr_config_key fake_moss_keys[] = {
    {"name", MR_CONFIG_STRING, FAKE_IN(leaf, name), .optional = true, .sentence = "name"},
    {"weight", MR_CONFIG_UNSIGNED, FAKE_IN(leaf, weight), 0, 9, .preset = "3", .sentence = "number"},
    {.name = NULL}};
static const struct mr_config_key fake_bark_keys[] = {
    {"age", MR_CONFIG_DURATION, FAKE_IN(bark, age), .preset = "1s", .sentence = "duration"},
    {"moss", MR_CONFIG_MAP, FAKE_IN(bark, moss), .keys = fake_moss_keys, .sentence = "mapping in a mapping"},
    {.name = NULL}};
static const struct mr_config_key fake_branch_keys[] = {
    {"name", MR_CONFIG_STRING, FAKE_IN(branch, name), .sentence = "name"},
    {"listen", MR_CONFIG_ENDPOINT, FAKE_IN(branch, listen), .preset = ":0", .sentence = "a nested listener"},
    {"mode", MR_CONFIG_CHOICE, FAKE_IN(branch, mode), .preset = "tcp", .choices = fake_modes, .sentence = "choice"},
    {"leaves", MR_CONFIG_LIST, FAKE_IN(branch, leaves), .keys = fake_leaf_keys, .list_max = 3,
     .count_offset = FAKE_IN(branch, leaf_count), .element_bytes = sizeof(struct fake_leaf),
     .sentence = "list in a list"},
    {"tags", MR_CONFIG_STRING, FAKE_IN(branch, tags), .optional = true, .list_max = 3,
     .count_offset = FAKE_IN(branch, tag_count), .sentence = "texts"},
    {"bark", MR_CONFIG_MAP, FAKE_IN(branch, bark), .keys = fake_bark_keys, .sentence = "mapping in a list"},
    {.name = NULL}};
static const struct mr_config_key fake_soil_keys[] = {
    {"clay", MR_CONFIG_FRACTION, FAKE_IN(soil, clay), .preset = "10%", .sentence = "fraction"},
    {"colour", MR_CONFIG_STRING, FAKE_IN(soil, colour), .preset = "brown", .sentence = "text"},
    {.name = NULL}};
static const struct mr_config_key fake_tree_keys[] = {
    {"soil", MR_CONFIG_MAP, FAKE_IN(tree, soil), .keys = fake_soil_keys, .sentence = "mapping"},
    {"branches", MR_CONFIG_LIST, FAKE_IN(tree, branches), .keys = fake_branch_keys, .list_max = 4, .optional = true,
     .count_offset = FAKE_IN(tree, branch_count), .element_bytes = sizeof(struct fake_branch), .sentence = "list"},
    {"roots", MR_CONFIG_LIST, FAKE_IN(tree, roots), .keys = fake_leaf_keys, .list_max = 2, .optional = true,
     .count_offset = FAKE_IN(tree, root_count), .element_bytes = sizeof(struct fake_leaf), .sentence = "second list"},
    {.name = NULL}};

/* A branch called `rotten` is refused as a whole, and so is a leaf of weight 7: each with its place. */
static bool fake_tree_check(const void *config, const void **value, char *message, size_t message_bytes)
{
    const struct fake_tree *t = config;
    for (unsigned i = 0; i < t->branch_count; i++) {
        const struct fake_branch *b = &t->branches[i];
        snprintf(message, message_bytes, "branch %s is refused", b->name);
        *value = b;
        if (!strcmp(b->name, "rotten"))
            return false;
        for (unsigned j = 0; j < b->leaf_count; j++) {
            snprintf(message, message_bytes, "leaf %s is refused", b->leaves[j].name);
            *value = &b->leaves[j].weight;
            if (b->leaves[j].weight == 7)
                return false;
        }
    }
    *value = NULL;
    snprintf(message, message_bytes, "the soil is refused");
    return strcmp(t->soil.colour, "refused") != 0;
}

static const struct mr_service fake_nest = {.name = "tree",
                                            .sentence = "A fake whose keys nest.",
                                            .config_bytes = sizeof(struct fake_tree),
                                            .keys = fake_tree_keys,
                                            .check_value = fake_tree_check};

static const struct mr_config_key fake_no_keys[] = {{.name = NULL}};
static const struct mr_service fake_plain = {.name = "plain", .sentence = "A fake without keys.", .keys = fake_no_keys};
static const struct mr_service *const fake_services[] = {&fake_web, &fake_plain, &fake_nest, NULL};

#endif
