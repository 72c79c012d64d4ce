/* Another configuration while running: read, compared, offered to every service, then applied. */
#include <stdlib.h>
#include <string.h>

#include "services/services.h"
#include "tools/millrace/config_change.h"
#include "tools/millrace/notify.h"
#include "tools/millrace/runtime_control.h"
#include "tools/millrace/runtime_service.h"

#define MESSAGE_MAX 480

/* True when no service refuses; with `commit` they take it over, one after the other. */
static bool reconfigure_all(struct runtime *r, const struct config *next, bool commit, struct config_report *report)
{
    struct runtime_asker asker = runtime_asker_of(r);
    for (unsigned i = 0; i < next->service_count; i++) {
        const struct config_service *s = &next->service[i];
        char message[MESSAGE_MAX] = "";
        if (s->service->reconfigure &&
            !s->service->reconfigure(r->service_shared[i], &asker.control, s->values, commit, message, sizeof message))
            config_report_add(report, s->mark, "%s: %s", s->service->name, message);
        if (report->count && commit)
            return false;
    }
    return report->count == 0;
}

/* What runs without a service. `r` has the new configuration already. */
static void apply_settings(struct runtime *r, const struct config *old)
{
    mr_log_set_level((enum mr_log_level)r->config->log.level);
    if (strcmp(old->congestion, r->config->congestion))
        json_decref(runtime_set(r, "congestion", r->config->congestion));
}

static void refused(struct runtime *r, struct config_report *report)
{
    r->reloads.refused++;
    config_report_print(report, stderr);
    mr_log(MR_LOG_ERROR, "reload", "refused, nothing has changed: %u errors in %s", report->count, r->config->file);
}

static bool reload(struct runtime *r, struct config_report *report)
{
    const struct config *old = r->config;
    struct config *next = config_load(old->file, services_all, report);
    if (!next)
        return false;
    config_change_check(old, next, report);
    if (report->count || !reconfigure_all(r, next, false, report) || !reconfigure_all(r, next, true, report)) {
        config_free(next);
        return false;
    }
    r->config = next;
    apply_settings(r, old);
    if (old != r->first)
        config_free((struct config *)(uintptr_t)old);
    return true;
}

bool runtime_reload(struct runtime *r, struct config_report *report)
{
    char state[64];
    mr_time started = runtime_now();
    config_report_init(report, r->config->file);
    snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%lu", (unsigned long)(started / MR_MICROSECOND));
    notify_manager(state);
    bool good = reload(r, report);
    report->file = r->config->file;
    if (good) {
        r->reloads.applied++;
        r->reloads.last = runtime_now();
        mr_log(MR_LOG_INFO, "reload", "%s is applied, in %.1f ms", r->config->file,
               (double)(runtime_now() - started) / (double)MR_MILLISECOND);
    } else {
        refused(r, report);
    }
    notify_manager("READY=1");
    return good;
}

json_t *runtime_reload_answer(struct runtime *r)
{
    struct config_report report;
    if (runtime_reload(r, &report))
        return json_pack("{s:b,s:s,s:I}", "ok", 1, "file", r->config->file, "reloads", (json_int_t)r->reloads.applied);
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    if (out) {
        config_report_print(&report, out);
        fclose(out);
    }
    json_t *error = text ? json_stringn_nocheck(text, bytes ? bytes - 1 : 0) : json_string("no memory");
    free(text);
    return json_pack("{s:b,s:b,s:o}", "ok", 0, "configuration", 1, "error", error);
}
