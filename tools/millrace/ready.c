/* The line that says that packets are answered, and by what. */
#include <string.h>

#include "tools/millrace/runtime.h"

struct line {
    const struct config *config;
    char *text;
    size_t used, bytes;
};

/* Where a client would go: an address of ours in place of "any", and no port where it is the usual one. */
static void print_listener(const struct config_listener *l, void *argument)
{
    struct line *line = argument;
    struct mr_endpoint shown = *l->endpoint;
    char endpoint[MR_ENDPOINT_TEXT_MAX], address[MR_ADDRESS_TEXT_MAX];
    if (!shown.port || line->used >= line->bytes)
        return;
    char *text = line->text + line->used;
    size_t room = line->bytes - line->used;
    const char *name = config_key_may_be_off(l->key) ? l->key->name : l->service->name;
    if (mr_address_is_any(&shown.address))
        shown.address = line->config->interface[0].address[0].address;
    mr_endpoint_text(&shown, endpoint);
    if (strcmp(name, "http") && (!l->mode || strcmp(l->mode, "http")))
        line->used += (size_t)snprintf(text, room, " %s %s", name, endpoint);
    else if (shown.port == 80)
        line->used += (size_t)snprintf(text, room, " http://%s/", mr_address_text(&shown.address, address));
    else
        line->used += (size_t)snprintf(text, room, " http://%s/", endpoint);
}

size_t runtime_ready_line(const struct config *c, const char *control_path, char *text, size_t bytes)
{
    struct line line = {c, text, (size_t)snprintf(text, bytes, "ready"), bytes};
    for (unsigned i = 0; i < c->service_count; i++)
        config_each_listener(c->service[i].service, c->service[i].values, print_listener, &line);
    if (control_path && line.used < bytes)
        line.used += (size_t)snprintf(text + line.used, bytes - line.used, " control %s", control_path);
    return line.used < bytes ? line.used : bytes - 1;
}
