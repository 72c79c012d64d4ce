/* The configuration of the queue: its keys, what is checked of it, and the copy that runs. */
#ifndef SERVICES_QUEUE_CONFIG_H
#define SERVICES_QUEUE_CONFIG_H

#include "queue/broker.h"

enum { QUEUE_VHOSTS_MAX = 256, QUEUE_USERS_MAX = 1024, QUEUE_PERMISSIONS_MAX = 256, QUEUE_PASSWORD_MAX = 255 };

extern const struct mr_config_key queue_keys[];

/* What the table of keys cannot say. The first fault in one line, and where it is. */
bool queue_config_check(const void *config, const void **value, char *message, size_t message_bytes);

/* A copy that has everything said: the virtual host "/" and the user guest where none is given, passwords read from their files, no message
 * larger than half of a worker's memory. Blocks. NULL: no memory, or a file cannot be read: that was logged. */
struct queue_config *queue_config_complete(const struct queue_config *config, unsigned workers);
void queue_config_free(struct queue_config *config);

/* The first line of a file of passwords, at most QUEUE_PASSWORD_MAX bytes; from malloc. NULL: `why` (a static text) says what is wrong. */
char *queue_password_read(const char *path, const char **why);

#endif
