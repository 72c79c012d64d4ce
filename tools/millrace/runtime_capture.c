/* A capture on request: the client opens the file, so it is written with the client's rights to choose it, and the
 * packets go on without waiting for the disk (drivers/wrap). */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "drivers/wrap/capture.h"
#include "tools/millrace/runtime_control.h"

static json_t *report_json(const struct capture_report *r, bool running)
{
    return json_pack("{s:b,s:b,s:I,s:I,s:I,s:I,s:I,s:s*}", "ok", 1, "running", running, "seen", (json_int_t)r->seen,
                     "written", (json_int_t)r->written, "overflowed", (json_int_t)r->overflowed, "limited",
                     (json_int_t)r->limited, "bytes", (json_int_t)r->bytes, "failure",
                     r->error ? strerror(r->error) : NULL);
}

/* The links of one interface, or of all; 0: there is no such interface. */
static unsigned links_named(const struct runtime *r, const char *name, struct mr_link *links[CAPTURE_LINKS_MAX])
{
    unsigned n = 0;
    for (unsigned i = 0; i < r->worker_count; i++)
        for (unsigned k = 0; k < r->worker[i].link_count && n < CAPTURE_LINKS_MAX; k++)
            if (!name || !strcmp(name, r->config->interface[k].name))
                links[n++] = r->worker[i].link[k];
    return n;
}

json_t *runtime_capture_start(struct runtime_control *c, const struct control_request *q, unsigned client,
                              int *descriptor)
{
    struct mr_link *links[CAPTURE_LINKS_MAX];
    char path[64];
    unsigned n = links_named(c->runtime, q->interface, links);
    struct capture_options options = {.path = path, .snaplen = (uint32_t)q->snap, .file_bytes_max = q->bytes};
    if (*descriptor < 0)
        return control_error("no file came with the request: use `millrace capture FILE`");
    if (c->capture)
        return control_error("a capture is running already");
    if (!n)
        return control_error("there is no interface '%s'", q->interface);
    if (!capture_filter_parse(q->filter, &options.filter))
        return control_error("filter '%.80s' is not understood, expected words such as: tcp port 80 host 198.18.0.1",
                             q->filter);
    snprintf(path, sizeof path, "/proc/self/fd/%d", *descriptor);
    int error = capture_start(&options, links, n, &c->capture);
    if (error == MR_ERROR_SYSTEM)
        return control_error("the file cannot be written by the running process: %s", strerror(errno));
    if (error)
        return control_error("capture: %s", mr_error_text(error));
    c->capture_file = *descriptor;
    *descriptor = -1;
    c->capture_client = client;
    c->capture_until = runtime_now() + q->seconds * MR_SECOND;
    return json_pack("{s:b,s:i}", "ok", 1, "links", (int)n);
}

json_t *runtime_capture_report(struct runtime_control *c)
{
    struct capture_report r;
    if (!c->capture)
        return json_pack("{s:b,s:b}", "ok", 1, "running", 0);
    capture_report(c->capture, &r);
    return report_json(&r, true);
}

json_t *runtime_capture_stop(struct runtime_control *c)
{
    struct capture_report r;
    if (!c->capture)
        return control_error("no capture is running");
    capture_stop(c->capture, &r);
    c->capture = NULL;
    close(c->capture_file);
    c->capture_file = -1;
    return report_json(&r, false);
}
