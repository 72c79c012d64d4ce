/* One line per built-in algorithm; the table is in cc.c. */
#ifndef STACK_TCP_CC_H
#define STACK_TCP_CC_H

#include <millrace/congestion.h>

extern const struct mr_congestion_algorithm cc_reno;

#endif
