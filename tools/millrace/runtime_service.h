/* Services as the control thread reaches them. */
#ifndef TOOLS_MILLRACE_RUNTIME_SERVICE_H
#define TOOLS_MILLRACE_RUNTIME_SERVICE_H

#include <millrace/control.h>

#include "tools/millrace/runtime.h"

struct runtime_asker {
    struct mr_control control; /* first: what services are given */
    const struct runtime *runtime;
};

/* What the workers of `r` can be asked by. */
struct runtime_asker runtime_asker_of(const struct runtime *r);

/* The values of service `i` as they are now, changes by command included. */
const void *runtime_service_values(const struct runtime *r, unsigned i);

#endif
