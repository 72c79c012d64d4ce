/* How much room the disk has: looked at off the packet path, once a second. */
#ifndef SERVICES_QUEUE_DISK_H
#define SERVICES_QUEUE_DISK_H

#include "queue/broker.h"

/* Sets or clears BROKER_ALARM_DISK a little later: under disk_free_min, and above it by a quarter. Worker 0 alone looks. */
void queue_disk_look(struct broker *b);

#endif
