/* `millrace proxy ...` and reload: transactions on the configuration, on the control thread.
 *
 *   edit a copy -> proxy_config_check -> plan_build -> every worker plan_apply -> the new one is what runs; or an error, and nothing changed */
#ifndef SERVICES_PROXY_CONTROL_CONTROL_H
#define SERVICES_PROXY_CONTROL_CONTROL_H

#include <millrace/service.h>

#include "proxy/config.h"

struct proxy_shared;

/* Members of mr_service. */
char *proxy_command(void *shared, const struct mr_control *control, int argc, const char *const *argv, bool *good);
bool proxy_reconfigure(void *shared, const struct mr_control *control, const void *config, bool commit, char *message,
                       size_t message_bytes);
const void *proxy_configuration(void *shared);

/* Makes `config` (taken; checked) what runs on all workers, with s->lock held. False: `message` says why, and what ran before runs on. */
bool control_commit(struct proxy_shared *s, const struct mr_control *control, struct proxy_config *config,
                    char *message, size_t message_bytes);

#endif
