/* What stands between a worker and its links: impairment where it is configured, and capture, passive until asked. */
#include <string.h>

#include "drivers/wrap/capture.h"
#include "drivers/wrap/impair.h"
#include "tools/millrace/runtime.h"

#define CAPTURE_BYTES_MAX (1ull << 40)
#define REORDER_DELAY_MIN MR_MILLISECOND

static bool failed(int error, const char *what, const char *interface)
{
    mr_log(MR_LOG_ERROR, "run", "%s of interface %s: %s", what, interface, mr_error_text(error));
    return false;
}

static bool is_impaired(const struct config_impair *m)
{
    return m->loss > 0 || m->duplicate > 0 || m->reorder > 0 || m->corrupt > 0 || m->delay || m->jitter || m->rate;
}

/* Both directions alike; each worker draws its own lots. */
static bool link_impair(struct runtime_worker *rw, unsigned k, const struct config_impair *m)
{
    struct path_options path = {.rate_bits_per_s = m->rate,
                                .delay = m->delay,
                                .jitter = m->jitter,
                                .queue_packets = (uint32_t)m->queue,
                                .loss = m->loss,
                                .reorder = m->reorder,
                                .reorder_delay = m->delay / 2 > REORDER_DELAY_MIN ? m->delay / 2 : REORDER_DELAY_MIN,
                                .duplicate = m->duplicate,
                                .corrupt = m->corrupt};
    struct impair_options options = {
        .in = path, .out = path, .seed = m->seed + rw->index, .held_max = (uint32_t)m->queue, .pool = rw->pool};
    struct mr_link *wrapped = impair_wrap(rw->link[k], &rw->clock, &options);
    if (wrapped)
        rw->link[k] = wrapped;
    return wrapped != NULL;
}

/* Impairment is inside, so that a capture shows what the stack sends and gets. */
static bool links_wrap(struct runtime_worker *rw)
{
    for (unsigned k = 0; k < rw->link_count; k++) {
        const struct config_interface *n = &rw->runtime->config->interface[k];
        if (is_impaired(&n->impair) && !link_impair(rw, k, &n->impair))
            return failed(MR_ERROR_NO_MEMORY, "impairment", n->name);
        struct mr_link *wrapped = capture_wrap(rw->link[k], &rw->clock);
        if (!wrapped)
            return failed(MR_ERROR_NO_MEMORY, "capture", n->name);
        rw->link[k] = wrapped;
    }
    return true;
}

/* Captures that the configuration asks for; the file has every worker's packets. */
static bool captures_start(struct runtime *r)
{
    for (unsigned k = 0; k < r->config->interface_count; k++) {
        const struct config_interface *n = &r->config->interface[k];
        struct mr_link *links[CONFIG_WORKER_MAX];
        struct capture_options options = {.path = n->capture, .file_bytes_max = CAPTURE_BYTES_MAX};
        for (unsigned i = 0; i < r->worker_count; i++)
            links[i] = r->worker[i].link[k];
        int error = n->capture ? capture_start(&options, links, r->worker_count, &r->capture[k]) : MR_OK;
        if (error)
            return failed(error, "the capture file", n->name);
    }
    return true;
}

bool runtime_wrap(struct runtime *r)
{
    for (unsigned i = 0; i < r->worker_count; i++)
        if (!links_wrap(&r->worker[i]))
            return false;
    return captures_start(r);
}
