#include "tools/millrace/runtime_service.h"

#include <stdlib.h>
#include <string.h>

#include "tools/millrace/config_save.h"
#include "tools/millrace/runtime_control.h"
#include "tools/millrace/worker_ask.h"

#define PATIENCE_MS    1000
#define TEXT_MAX_KNOWN 200

static int ask(const struct mr_control *control, unsigned worker, mr_message_fn fn, void *argument)
{
    static const int errors[] = {
        [WORKER_ANSWERED] = MR_OK, [WORKER_FULL] = MR_ERROR_NO_MEMORY, [WORKER_SILENT] = MR_ERROR_SILENT};
    const struct runtime_asker *a = (const struct runtime_asker *)control;
    return errors[worker_ask(a->runtime->group, worker, fn, argument, PATIENCE_MS)];
}

struct runtime_asker runtime_asker_of(const struct runtime *r)
{
    return (struct runtime_asker){.control = {.workers = r->worker_count, .ask = ask}, .runtime = r};
}

const void *runtime_service_values(const struct runtime *r, unsigned i)
{
    const struct config_service *s = &r->config->service[i];
    return s->service->configuration ? s->service->configuration(r->service_shared[i]) : s->values;
}

static json_t *no_such_service(const struct runtime *r, const char *name)
{
    char known[TEXT_MAX_KNOWN] = "";
    for (unsigned i = 0; i < r->config->service_count; i++) {
        const struct mr_service *s = r->config->service[i].service;
        if (s->command)
            snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", *known ? ", " : "", s->name);
    }
    return control_error("no service '%.40s' that takes commands runs here, expected %s%s", name,
                         *known ? "one of: " : "none: no service takes any", known);
}

static json_t *answer_of(char *text, bool good)
{
    json_t *a = good && text ? json_loads(text, 0, NULL) : NULL;
    if (!good || !text)
        a = control_error("%s", text ? text : "no memory");
    else if (!a)
        a = control_error("the service's answer is not JSON");
    else
        json_object_set_new(a, "ok", json_true());
    free(text);
    return a;
}

json_t *runtime_service(const struct runtime *r, const struct control_request *q)
{
    for (unsigned i = 0; i < r->config->service_count; i++) {
        const struct mr_service *s = r->config->service[i].service;
        if (!s->command || strcmp(s->name, q->name))
            continue;
        struct runtime_asker asker = runtime_asker_of(r);
        bool good = false;
        char *text =
            s->command(r->service_shared[i], &asker.control, (int)q->word_count, (const char *const *)q->words, &good);
        return answer_of(text, good);
    }
    return no_such_service(r, q->name);
}

json_t *runtime_save(const struct runtime *r, bool absolute)
{
    const void *values[WORKER_SERVICE_MAX];
    char *file = realpath(r->config->file, NULL);
    for (unsigned i = 0; i < r->config->service_count; i++)
        values[i] = runtime_service_values(r, i);
    char *text = config_text(r->config, values, absolute ? NULL : r->config->folder);
    json_t *answer =
        text ? json_pack("{s:b,s:s,s:s}", "ok", 1, "file", file ? file : r->config->file, "text", text) : NULL;
    free(text);
    free(file);
    return answer ? answer : control_error("the configuration has a text that is not UTF-8, or there is no memory");
}
