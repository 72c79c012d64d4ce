/* `millrace queue ...`: what there is and how it does, and some hands to help. */
#ifndef SERVICES_QUEUE_CONTROL_CONTROL_H
#define SERVICES_QUEUE_CONTROL_CONTROL_H

#include <millrace/service.h>

/* Member of mr_service. */
char *queue_command(void *shared, const struct mr_control *control, int argc, const char *const *argv, bool *good);

#endif
