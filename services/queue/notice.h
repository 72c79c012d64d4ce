/* What an operator reads in the log of peers and alarms: at most a line a second of each kind. */
#ifndef SERVICES_QUEUE_NOTICE_H
#define SERVICES_QUEUE_NOTICE_H

#include "queue/broker.h"

/* Once a second, not the packet path. */
void broker_notice_second(struct broker *b);

#endif
