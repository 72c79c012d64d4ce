/* The configuration file, from YAML text to checked structs: any bytes are either refused with a message or accepted. */
#include <stdlib.h>
#include <string.h>

#include "services/config/config_tree.h"
#include "tests/support/fake_service.h"
#include "tools/millrace/config.h"
#include "tools/millrace/config_save.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was accepted is written, read again and written again: the same values, and the same text. */
static void check_round_trip(const struct config *c)
{
    static struct config_report report;
    config_report_init(&report, "/f/f.yaml");
    char *text = config_text(c, NULL, "/f");
    struct config *read = text ? config_parse("/f/f.yaml", text, strlen(text), fake_services, &report) : NULL;
    char *again = read ? config_text(read, NULL, "/f") : NULL;
    if (!again || strcmp(text, again) || read->service_count != c->service_count)
        abort();
    for (unsigned i = 0; i < c->service_count; i++)
        if (!config_tree_equal(c->service[i].service->keys, c->service[i].values, read->service[i].values, NULL))
            abort();
    config_free(read);
    free(again);
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct config_report report;
    config_report_init(&report, "/f/f.yaml");
    struct config *c = config_parse("/f/f.yaml", (const char *)data, size, fake_services, &report);
    if ((c != NULL) != (report.count == 0))
        abort();
    for (unsigned i = 0; i < report.count && i < CONFIG_REPORT_MAX; i++)
        if (!report.error[i].message[0] || strchr(report.error[i].message, '\n'))
            abort();
    if (c && (c->interface_count == 0 || c->workers.count == 0))
        abort();
    if (c)
        check_round_trip(c);
    config_free(c);
    return 0;
}
