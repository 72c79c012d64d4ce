/* The line that says that packets are answered, and by what. */
#include <string.h>

#include "tools/millrace/runtime.h"

/* Where a client would go for `e`: an address of ours in place of "any", and no port where it is the usual one. */
static size_t print_endpoint(const struct config *c, const char *service, const struct mr_endpoint *e, char *text,
                             size_t bytes)
{
    struct mr_endpoint shown = *e;
    char endpoint[MR_ENDPOINT_TEXT_MAX], address[MR_ADDRESS_TEXT_MAX];
    if (mr_address_is_any(&shown.address))
        shown.address = c->interface[0].address[0].address;
    if (strcmp(service, "http"))
        return (size_t)snprintf(text, bytes, " %s %s", service, mr_endpoint_text(&shown, endpoint));
    if (shown.port == 80)
        return (size_t)snprintf(text, bytes, " http://%s/", mr_address_text(&shown.address, address));
    return (size_t)snprintf(text, bytes, " http://%s/", mr_endpoint_text(&shown, endpoint));
}

size_t runtime_ready_line(const struct config *c, const char *control_path, char *text, size_t bytes)
{
    size_t used = (size_t)snprintf(text, bytes, "ready");
    for (unsigned i = 0; i < c->service_count; i++) {
        const struct config_service *s = &c->service[i];
        for (const struct mr_config_key *k = s->service->keys; k && k->name && used < bytes; k++) {
            if (!config_key_listens(k))
                continue;
            const char *name = config_key_may_be_off(k) ? k->name : s->service->name;
            const char *base = s->values;
            unsigned n = k->list_max ? *(const unsigned *)(base + k->count_offset) : 1;
            const struct mr_endpoint *e = (const struct mr_endpoint *)(base + k->offset);
            for (unsigned j = 0; j < n && used < bytes; j++)
                if (e[j].port)
                    used += print_endpoint(c, name, &e[j], text + used, bytes - used);
        }
    }
    if (control_path && used < bytes)
        used += (size_t)snprintf(text + used, bytes - used, " control %s", control_path);
    return used < bytes ? used : bytes - 1;
}
