#include "tools/millrace/control_request.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/config/config_value.h"

#define AT(member) offsetof(struct control_request, member)
#define END          \
    {                \
        .name = NULL \
    }

static const struct mr_config_key no_keys[] = {END};

static const struct mr_config_key conns_keys[] = {
    {"limit", MR_CONFIG_UNSIGNED, AT(limit), 1, 100000, .preset = "1000", .sentence = "most rows of each worker"}, END};

static const struct mr_config_key set_keys[] = {
    {"name", MR_CONFIG_STRING, AT(name), 1, 32, .sentence = "log or congestion"},
    {"value", MR_CONFIG_STRING, AT(value), 1, 64, .sentence = "a log level, or an algorithm"},
    END};

static const struct mr_config_key capture_keys[] = {
    {"interface", MR_CONFIG_STRING, AT(interface), 1, 32, .optional = true, .sentence = "one alone instead of all"},
    {"filter", MR_CONFIG_STRING, AT(filter), 1, 256, .optional = true, .sentence = "which packets"},
    {"seconds", MR_CONFIG_UNSIGNED, AT(seconds), 1, 86400, .preset = "3600", .sentence = "stop after this time"},
    {"bytes", MR_CONFIG_BYTES, AT(bytes), 1024, 1ull << 40, .preset = "1GiB",
     .sentence = "stop at this size of the file"},
    {"snap", MR_CONFIG_UNSIGNED, AT(snap), 64, 65535, .preset = "65535", .sentence = "bytes kept of each packet"},
    END};

static const struct mr_config_key drain_keys[] = {{"seconds", MR_CONFIG_UNSIGNED, AT(seconds), 0, 86400, .preset = "30",
                                                   .sentence = "connections that are left after this are reset"},
                                                  END};

static const struct mr_config_key service_keys[] = {
    {"name", MR_CONFIG_STRING, AT(name), 1, 32, .sentence = "the service"},
    {"words", MR_CONFIG_STRING, AT(words), 0, CONTROL_REQUEST_BYTES_MAX, .sentence = "what is said to it",
     .list_max = CONTROL_WORDS_MAX, .count_offset = AT(word_count)},
    END};

static const struct mr_config_key save_keys[] = {
    {"absolute", MR_CONFIG_BOOL, AT(absolute), .preset = "false",
     .sentence = "paths from the root, for a file that lies in another folder"},
    END};

const struct control_command_description control_commands[CONTROL_COMMANDS] = {
    [CONTROL_STATUS] = {"status", "what runs: workers, interfaces, services", no_keys},
    [CONTROL_STAT] = {"stat", "every counter of each worker", no_keys},
    [CONTROL_CONNS] = {"conns", "every connection", conns_keys},
    [CONTROL_SET] = {"set", "changes a setting of the running process", set_keys},
    [CONTROL_CAPTURE] = {"capture", "writes packets to the descriptor that comes with the request", capture_keys},
    [CONTROL_CAPTURE_REPORT] = {"capture_report", "how far the capture is", no_keys},
    [CONTROL_CAPTURE_STOP] = {"capture_stop", "ends the capture; the file is complete with the answer", no_keys},
    [CONTROL_DRAIN] = {"drain", "accepts no more, ends when the connections have", drain_keys},
    [CONTROL_SERVICE] = {"service", "says something to a service; \"help\" lists what it understands", service_keys},
    [CONTROL_RELOAD] = {"reload", "applies the configuration file as it is now, or nothing of it", no_keys},
    [CONTROL_SAVE] = {"save", "the configuration as it runs, as the text of a file", save_keys},
    [CONTROL_HELP] = {"help", "these commands and their arguments", no_keys},
};

json_t *control_error(const char *format, ...)
{
    char text[CONTROL_WHY_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    /* A cut may fall inside a character: what is left must still be UTF-8 for JSON. */
    json_t *message = json_string(text);
    if (!message)
        message = json_string("the request is not understood");
    return json_pack("{s:b,s:o}", "ok", 0, "error", message);
}

static bool refuse(char *why, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(why, CONTROL_WHY_MAX, format, arguments);
    va_end(arguments);
    return false;
}

/* A JSON value as the text that config_value_parse reads; NULL when its type is none that a key takes. */
static const char *value_text(const json_t *value, char *number, size_t n)
{
    if (json_is_string(value))
        return json_string_value(value);
    if (json_is_boolean(value))
        return json_is_true(value) ? "true" : "false";
    if (!json_is_integer(value) || json_integer_value(value) < 0)
        return NULL;
    snprintf(number, n, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    return number;
}

/* A list of texts; what was taken before something is wrong is freed with the request. */
static bool parse_list(const struct mr_config_key *k, const json_t *value, struct control_request *out, char *why)
{
    char expected[CONFIG_EXPECTED_MAX];
    char **at = (char **)((char *)out + k->offset);
    unsigned *count = (unsigned *)((char *)out + k->count_offset);
    if (!json_is_array(value) || json_array_size(value) > k->list_max)
        return refuse(why, "argument '%s' must be a list of at most %u texts", k->name, k->list_max);
    for (size_t i = 0; i < json_array_size(value); i++) {
        const char *text = json_string_value(json_array_get(value, i));
        if (!text)
            return refuse(why, "argument '%s' must be a list of texts", k->name);
        if (!config_value_parse(k, text, NULL, &at[i], expected))
            return refuse(why, "argument '%s' has '%.40s', expected %s", k->name, text, expected);
        *count = (unsigned)i + 1;
    }
    return true;
}

static bool parse_argument(const struct mr_config_key *k, const json_t *value, struct control_request *out, char *why)
{
    char number[32], expected[CONFIG_EXPECTED_MAX];
    if (k->list_max)
        return parse_list(k, value, out, why);
    if (!value && k->preset)
        return config_value_parse(k, k->preset, NULL, (char *)out + k->offset, expected);
    if (!value && k->optional)
        return true;
    if (!value)
        return refuse(why, "argument '%s' is missing, expected %s", k->name, config_value_expected(k, expected));
    const char *text = value_text(value, number, sizeof number);
    if (!text)
        return refuse(why, "argument '%s' has the wrong type, expected %s", k->name,
                      config_value_expected(k, expected));
    if (!config_value_parse(k, text, NULL, (char *)out + k->offset, expected))
        return refuse(why, "argument '%s' is '%.40s', expected %s", k->name, text, expected);
    return true;
}

static bool check_names(const struct control_command_description *c, json_t *object, char *why)
{
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value)
    {
        bool known = !strcmp(name, "command");
        for (const struct mr_config_key *k = c->keys; k->name && !known; k++)
            known = !strcmp(k->name, name);
        if (!known)
            return refuse(why, "command '%s' takes no argument '%.40s'", c->name, name);
    }
    return true;
}

static bool parse_object(json_t *object, struct control_request *out, char *why)
{
    const char *name = json_string_value(json_object_get(object, "command"));
    if (!name)
        return refuse(why, "expected an object with \"command\": a name; \"help\" lists them");
    unsigned i = 0;
    while (i < CONTROL_COMMANDS && strcmp(control_commands[i].name, name))
        i++;
    if (i == CONTROL_COMMANDS)
        return refuse(why, "unknown command '%.40s'; \"help\" lists them", name);
    out->command = (enum control_command)i;
    if (!check_names(&control_commands[i], object, why))
        return false;
    for (const struct mr_config_key *k = control_commands[i].keys; k->name; k++)
        if (!parse_argument(k, json_object_get(object, k->name), out, why))
            return false;
    return true;
}

bool control_request_parse(const char *line, size_t bytes, struct control_request *out, char *why)
{
    memset(out, 0, sizeof *out);
    json_error_t error;
    json_t *object =
        bytes <= CONTROL_REQUEST_BYTES_MAX ? json_loadb(line, bytes, JSON_REJECT_DUPLICATES, &error) : NULL;
    if (bytes > CONTROL_REQUEST_BYTES_MAX)
        return refuse(why, "a request is longer than %d bytes", CONTROL_REQUEST_BYTES_MAX);
    if (!object)
        return refuse(why, "not JSON: %s at column %d", error.text, error.column);
    bool good = parse_object(object, out, why);
    json_decref(object);
    if (!good)
        control_request_free(out);
    return good;
}

void control_request_free(struct control_request *r)
{
    free(r->name);
    free(r->value);
    free(r->interface);
    free(r->filter);
    for (unsigned i = 0; i < r->word_count; i++)
        free(r->words[i]);
    memset(r, 0, sizeof *r);
}

json_t *control_help(void)
{
    char expected[CONFIG_EXPECTED_MAX];
    json_t *commands = json_array();
    for (unsigned i = 0; i < CONTROL_COMMANDS; i++) {
        json_t *arguments = json_array();
        for (const struct mr_config_key *k = control_commands[i].keys; k->name; k++)
            json_array_append_new(arguments, json_pack("{s:s,s:s,s:s*,s:s}", "name", k->name, "expected",
                                                       config_value_expected(k, expected), "preset", k->preset,
                                                       "sentence", k->sentence));
        json_array_append_new(commands, json_pack("{s:s,s:s,s:o}", "command", control_commands[i].name, "sentence",
                                                  control_commands[i].sentence, "arguments", arguments));
    }
    return json_pack("{s:b,s:o}", "ok", 1, "commands", commands);
}
