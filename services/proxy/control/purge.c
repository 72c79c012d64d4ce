/* Commands on what the caches keep. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "proxy/control/gather.h"
#include "proxy/control/words.h"
#include "proxy/http/target_normal.h"

#define PURGE_TEXT_MAX 4096

enum purge_kind { PURGE_URL, PURGE_TAG, PURGE_ALL, PURGE_KINDS };

struct purge {
    struct proxy_shared *shared;
    enum purge_kind kind;
    bool soft, cache; /* `cache`: the worker has one */
    uint64_t purged;
    char text[PURGE_TEXT_MAX];
    struct {
        uint16_t start, length;
    } scheme, host, target; /* in `text`; of a tag: `target` */
};

static uint64_t purge_cache(const struct purge *p, struct hcache *cache)
{
    const uint8_t *text = (const uint8_t *)p->text;
    struct mr_span scheme = {text + p->scheme.start, p->scheme.length}, host = {text + p->host.start, p->host.length},
                   target = {text + p->target.start, p->target.length};
    switch (p->kind) {
    case PURGE_URL:
        return hcache_purge_url(cache, scheme, host, target, p->soft);
    case PURGE_TAG:
        return hcache_purge_tag(cache, target, p->soft);
    default:
        return hcache_purge_all(cache, p->soft);
    }
}

static void purge_run(struct mr_worker *w, void *argument)
{
    struct purge *p = argument;
    struct hcache *cache = p->shared->instances[mr_worker_index(w)]->cache;
    p->cache = cache != NULL;
    p->purged = cache ? purge_cache(p, cache) : 0;
}

/* "http://Host/target" in the form of the cache's keys: see session_cache.c. */
static bool take_url(struct control_call *c, struct purge *p, const char *url)
{
    static const char prefix[] = "http://";
    char path[PURGE_TEXT_MAX + 1];
    struct target_authority authority;
    const char *host = url + sizeof prefix - 1, *target;
    bool good = strlen(url) < sizeof p->text - 16 && !strncasecmp(url, prefix, sizeof prefix - 1);
    size_t length = good ? strcspn(host, "/?#") : 0;
    if (length == 0 || !target_authority_parse((struct mr_span){(const uint8_t *)host, length}, &authority)) {
        c->wrong = control_say("expected a whole URL such as http://example.com/page instead of '%.60s'", url);
        return false;
    }
    target = host + length;
    struct mr_span raw = {(const uint8_t *)target, strcspn(target, "?#")};
    int n = target_path_possible(raw) ? target_normalise(raw, path) : -400;
    if (n < 0) {
        c->wrong = control_say("no request has the path of '%.60s'", url);
        return false;
    }
    struct mr_span normal = n ? (struct mr_span){(const uint8_t *)path, (size_t)n} : raw;
    size_t query = strcspn(target + raw.length, "#");
    p->scheme.length = (uint16_t)sprintf(p->text, "http");
    p->host.start = p->scheme.length;
    p->host.length = (uint16_t)sprintf(p->text + p->host.start, "%.*s", (int)authority.host.length,
                                       (const char *)authority.host.data);
    if (authority.port && authority.port != 80)
        p->host.length += (uint16_t)sprintf(p->text + p->host.start + p->host.length, ":%u", authority.port);
    p->target.start = p->host.start + p->host.length;
    p->target.length = (uint16_t)sprintf(p->text + p->target.start, "%.*s%.*s", (int)normal.length,
                                         (const char *)normal.data, (int)query, target + raw.length);
    return true;
}

static bool take_tag(struct control_call *c, struct purge *p, const char *tag)
{
    size_t n = strlen(tag);
    if (n == 0 || n >= sizeof p->text) {
        c->wrong = control_say("expected a tag of 1 to %d characters", PURGE_TEXT_MAX - 1);
        return false;
    }
    memcpy(p->text, tag, n);
    p->target.length = (uint16_t)n;
    return true;
}

static bool take_words(struct control_call *c, struct purge *p)
{
    static const char *const kinds[] = {"url", "tag", "all"};
    unsigned kind = 0;
    while (kind < PURGE_KINDS && strcmp(c->argv[1], kinds[kind]))
        kind++;
    int words = kind == PURGE_ALL ? 2 : 3;
    p->kind = (enum purge_kind)kind;
    p->soft = c->argc == words + 1 && !strcmp(c->argv[words], "soft");
    if (kind == PURGE_KINDS || c->argc != words + p->soft) {
        c->wrong = control_say("expected: purge url URL | tag TAG | all, then [soft]");
        return false;
    }
    return kind == PURGE_URL ? take_url(c, p, c->argv[2]) : kind == PURGE_TAG ? take_tag(c, p, c->argv[2]) : true;
}

bool control_purge(struct control_call *c)
{
    struct purge p = {.shared = c->shared};
    uint64_t purged = 0;
    unsigned done = 0;
    bool cache = false;
    if (!take_words(c, &p))
        return false;
    for (unsigned i = 0; i < c->control->workers; i++) {
        if (control_run(c->control, i, purge_run, &p, sizeof p) != MR_OK)
            continue;
        done++;
        purged += p.purged;
        cache |= p.cache;
    }
    if (done && !cache) {
        c->wrong = control_say("there is no cache: cache.bytes is 0");
        return false;
    }
    control_answer_number(&c->answer, "workers", done);
    control_answer_number(&c->answer, "purged", purged);
    if (done < c->control->workers)
        control_answer_format(&c->answer, "warning", "%u of %u workers did not answer: they keep theirs",
                              c->control->workers - done, c->control->workers);
    return true;
}
