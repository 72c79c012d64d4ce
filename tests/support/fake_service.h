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
static const struct mr_config_key fake_no_keys[] = {{.name = NULL}};
static const struct mr_service fake_plain = {.name = "plain", .sentence = "A fake without keys.", .keys = fake_no_keys};
static const struct mr_service *const fake_services[] = {&fake_web, &fake_plain, NULL};

#endif
