/* Text of a transaction: split to words, each change made to a configuration, the whole checked as before it is applied. Whatever it is, the
 * configuration stays one that can be copied, compared and freed, and what fails says why. */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_edit.h"
#include "config/config_tree.h"
#include "proxy/control/words.h"

static const struct {
    const char *name;
    int minimum; /* words, the name included */
    bool (*change)(const struct config_edit *e, int argc, const char *const *argv);
} changes[] = {
    {"add", 2, control_add}, {"set", 3, control_set}, {"unset", 2, control_unset}, {"remove", 2, control_remove}};

static bool change(const struct config_edit *e, int argc, const char *const *argv)
{
    for (size_t i = 0; argc && i < sizeof changes / sizeof *changes; i++)
        if (!strcmp(argv[0], changes[i].name) && argc >= changes[i].minimum)
            return changes[i].change(e, argc, argv);
    return true;
}

static void change_all(const struct config_edit *e, int count, const char *const *words)
{
    for (int first = 0, end; first < count; first = end + 1) {
        for (end = first; end < count && strcmp(words[end], ";");)
            end++;
        e->message[0] = 0;
        bool good = change(e, end - first, words + first);
        assert(good || e->message[0]);
    }
}

static void check_whole(const struct config_edit *e)
{
    struct proxy_config copy;
    struct config_tree_difference difference;
    const void *value = NULL;
    assert(config_tree_copy(proxy_keys, sizeof copy, &copy, e->values));
    assert(config_tree_equal(proxy_keys, e->values, &copy, &difference));
    e->message[0] = 0;
    bool good = config_edit_complete(e) && proxy_config_check_value(&copy, &value, e->message, e->message_bytes);
    assert(good || e->message[0]);
    if (good)
        assert(proxy_config_fill(&copy));
    config_tree_free(proxy_keys, &copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_config config = {0};
    char message[800] = "", *text = malloc(size + 1);
    struct config_edit edit = {proxy_keys, &config, message, sizeof message};
    int count = 0;
    assert(text && config_tree_presets(proxy_keys, "", &config));
    memcpy(text, data, size);
    text[size] = 0;
    char **words = control_words_split(text, &count, message, sizeof message);
    assert(words || message[0]);
    if (words) {
        change_all(&edit, count, (const char *const *)words);
        check_whole(&edit);
    }
    free(words);
    free(text);
    config_tree_free(proxy_keys, &config);
    return 0;
}
