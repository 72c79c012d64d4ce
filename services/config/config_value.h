/* One value of a configuration: text to struct member as its key says, and the sentence of what is expected. */
#ifndef SERVICES_CONFIG_CONFIG_VALUE_H
#define SERVICES_CONFIG_CONFIG_VALUE_H

#include <millrace/service.h>
#include <stdio.h>

#define CONFIG_EXPECTED_MAX 240

/* Parses `text` into `out`, which has the type that the key names. Relative paths are taken from `folder`. False: `out`
 * is unchanged and `why` (CONFIG_EXPECTED_MAX bytes) says what was expected instead. Strings are the caller's to free. */
bool config_value_parse(const struct mr_config_key *key, const char *text, const char *folder, void *out, char *why);

/* "a number from 1 to 64" */
const char *config_value_expected(const struct mr_config_key *key, char *text);

/* As one would write it, without quotes: config_value_parse of it is the same value. A path comes out as it is stored. */
void config_value_print(const struct mr_config_key *key, const void *value, FILE *out);

/* Of single values; a text that is not there equals only another such. */
bool config_value_equal(enum mr_config_type type, const void *a, const void *b);

size_t config_value_bytes(enum mr_config_type type);
static inline bool config_value_is_string(enum mr_config_type type)
{
    return type == MR_CONFIG_STRING || type == MR_CONFIG_PATH;
}

/* "number", "size", ... for the reference page. */
const char *config_type_text(enum mr_config_type type);

#endif
