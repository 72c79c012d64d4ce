/* Private to shard/. */
#ifndef SERVICES_QUEUE_SHARD_ALARM_H
#define SERVICES_QUEUE_SHARD_ALARM_H

#include "queue/broker.h"

bool broker_alarms_start(struct broker *b);
void broker_alarms_release(struct broker *b);

#endif
