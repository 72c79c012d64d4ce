/* The configuration file, from YAML text to checked structs: any bytes are either refused with a message or accepted. */
#include <stdlib.h>
#include <string.h>

#include "tests/support/fake_service.h"
#include "tools/millrace/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
    config_free(c);
    return 0;
}
