/* Answers that are read from memory while the workers go on: plain loads of values that a worker writes, a few turns old
 * at most, and right to the last even when a worker hangs. */
#include <rte_mempool.h>
#include <string.h>
#include <unistd.h>

#include "tools/millrace/runtime_control.h"
#include "tools/millrace/runtime_service.h"

static const char *state_text(const struct runtime_worker *rw)
{
    static const char *const texts[] = {
        [RUNTIME_SERVING] = "serving", [RUNTIME_ENDING] = "ending", [RUNTIME_ENDED] = "ended"};
    return texts[atomic_load(&rw->state)];
}

static json_t *worker_json(const struct runtime_worker *rw)
{
    const struct mr_worker *w = rw->worker;
    return json_pack("{s:s,s:I,s:i,s:i,s:i,s:i,s:I}", "state", state_text(rw), "turns",
                     (json_int_t)w->stat[STAT_core_turns], "packets_held", (int)w->packets_held, "packets_held_max",
                     (int)w->packets_held_max, "buffers", (int)rw->pool->size, "buffers_free",
                     (int)rte_mempool_avail_count(rw->pool), "connections_accepted",
                     (json_int_t)w->stat[STAT_tcp_accepted]);
}

static json_t *interface_json(const struct runtime *r, unsigned k)
{
    const struct config_interface *n = &r->config->interface[k];
    const struct mr_link *link = r->worker[0].link[k];
    char mac[24], text[MR_ADDRESS_TEXT_MAX];
    json_t *addresses = json_array();
    for (unsigned j = 0; j < n->address_count; j++)
        json_array_append_new(addresses,
                              json_sprintf("%s/%u", mr_address_text(&n->address[j].address, text), n->address[j].bits));
    snprintf(mac, sizeof mac, "%02x:%02x:%02x:%02x:%02x:%02x", link->mac[0], link->mac[1], link->mac[2], link->mac[3],
             link->mac[4], link->mac[5]);
    return json_pack("{s:s,s:s,s:s,s:i,s:i,s:o}", "name", n->name, "driver", config_driver_names[n->driver], "mac", mac,
                     "mtu", (int)link->mtu, "queues", (int)r->worker_count, "addresses", addresses);
}

static void add_listener(const struct config_listener *l, void *argument)
{
    char text[MR_ENDPOINT_TEXT_MAX];
    if (l->endpoint->port)
        json_array_append_new(argument, json_string(mr_endpoint_text(l->endpoint, text)));
}

static json_t *service_json(const struct runtime *r, unsigned i)
{
    const struct config_service *s = &r->config->service[i];
    json_t *listen = json_array();
    config_each_listener(s->service, runtime_service_values(r, i), add_listener, listen);
    return json_pack("{s:s,s:o}", "name", s->service->name, "listen", listen);
}

json_t *runtime_status(const struct runtime *r)
{
    json_t *workers = json_array(), *interfaces = json_array(), *services = json_array();
    for (unsigned i = 0; i < r->worker_count; i++)
        json_array_append_new(workers, worker_json(&r->worker[i]));
    for (unsigned k = 0; k < r->config->interface_count; k++)
        json_array_append_new(interfaces, interface_json(r, k));
    for (unsigned i = 0; i < r->config->service_count; i++)
        json_array_append_new(services, service_json(r, i));
    const struct runtime_reloads *l = &r->reloads;
    json_t *reloads = json_pack("{s:I,s:I}", "applied", (json_int_t)l->applied, "refused", (json_int_t)l->refused);
    if (l->last)
        json_object_set_new(reloads, "last_s", json_integer((json_int_t)((runtime_now() - l->last) / MR_SECOND)));
    return json_pack("{s:b,s:s,s:s,s:i,s:s,s:I,s:o,s:o,s:o,s:o}", "ok", 1, "name", r->config->name, "state",
                     r->worker[0].stop ? "ending" : "serving", "process", (int)getpid(), "version", MILLRACE_VERSION,
                     "uptime_s", (json_int_t)((runtime_now() - r->started) / MR_SECOND), "workers", workers,
                     "interfaces", interfaces, "services", services, "reloads", reloads);
}

/* One counter: `of` tells instances of the same name apart, NULL where there is but one. */
static json_t *row(const char *area, const char *name, const char *sentence, const char *of, json_t *values)
{
    return json_pack("{s:s,s:s,s:s,s:s*,s:o}", "area", area, "name", name, "sentence", sentence, "of", of, "values",
                     values);
}

static void add_stack(const struct runtime *r, json_t *rows)
{
    for (unsigned s = 0; s < STAT_COUNT; s++) {
        const struct stat_description *d = &stat_descriptions[s];
        json_t *values = json_array();
        for (unsigned i = 0; i < r->worker_count; i++)
            json_array_append_new(values, json_integer((json_int_t)r->worker[i].worker->stat[s]));
        json_t *one = row(d->area, d->name, d->sentence, NULL, values);
        json_object_set_new(one, "drop", json_boolean(d->is_drop));
        json_array_append_new(rows, one);
    }
}

static void add_service(const struct runtime *r, unsigned k, json_t *rows)
{
    const struct worker_service *first = &r->worker[0].worker->services[k];
    char instance[16];
    unsigned before = 0;
    for (unsigned i = 0; i < k; i++)
        before += r->worker[0].worker->services[i].service == first->service;
    snprintf(instance, sizeof instance, "%u", before);
    for (unsigned n = 0; n < first->counter_count; n++) {
        json_t *values = json_array();
        for (unsigned i = 0; i < r->worker_count; i++)
            json_array_append_new(values, json_integer((json_int_t)r->worker[i].worker->services[k].counters[n]));
        const struct mr_service_counter *counter = &first->service->counters[n];
        json_t *one = row(first->service->name, counter->name, counter->sentence, instance, values);
        if (counter->gauge)
            json_object_set_new(one, "gauge", json_true());
        json_array_append_new(rows, one);
    }
}

static const struct link_counter {
    const char *name, *sentence;
    size_t offset;
} link_counters[] = {
    {"rx_packets", "frames that the device received", offsetof(struct mr_link_statistics, rx_packets)},
    {"rx_bytes", "bytes that the device received", offsetof(struct mr_link_statistics, rx_bytes)},
    {"tx_packets", "frames that the device sent", offsetof(struct mr_link_statistics, tx_packets)},
    {"tx_bytes", "bytes that the device sent", offsetof(struct mr_link_statistics, tx_bytes)},
    {"rx_missed", "frames lost for want of a descriptor", offsetof(struct mr_link_statistics, rx_missed)},
    {"rx_errors", "damaged frames dropped by the device", offsetof(struct mr_link_statistics, rx_errors)},
    {"tx_errors", "frames accepted, then dropped by the device", offsetof(struct mr_link_statistics, tx_errors)},
    {"rx_no_memory", "frames lost for want of a buffer", offsetof(struct mr_link_statistics, rx_no_memory)},
};
#define LINK_COUNTERS (sizeof link_counters / sizeof *link_counters)

static void add_link(const struct runtime *r, unsigned k, json_t *rows)
{
    struct mr_link_statistics all[CONFIG_WORKER_MAX];
    for (unsigned i = 0; i < r->worker_count; i++) {
        const struct mr_link *link = r->worker[i].link[k];
        memset(&all[i], 0, sizeof all[i]);
        link->statistics(link->self, &all[i]);
    }
    for (unsigned n = 0; n < LINK_COUNTERS; n++) {
        json_t *values = json_array();
        for (unsigned i = 0; i < r->worker_count; i++) {
            uint64_t value;
            memcpy(&value, (const char *)&all[i] + link_counters[n].offset, sizeof value);
            json_array_append_new(values, json_integer((json_int_t)value));
        }
        json_array_append_new(
            rows, row("link", link_counters[n].name, link_counters[n].sentence, r->config->interface[k].name, values));
    }
}

json_t *runtime_statistics(const struct runtime *r)
{
    json_t *rows = json_array();
    add_stack(r, rows);
    for (unsigned k = 0; k < r->config->interface_count; k++)
        add_link(r, k, rows);
    for (unsigned k = 0; k < r->worker[0].worker->service_count; k++)
        add_service(r, k, rows);
    return json_pack("{s:b,s:s,s:i,s:o}", "ok", 1, "name", r->config->name, "workers", (int)r->worker_count, "counters",
                     rows);
}
