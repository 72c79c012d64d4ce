/* Every service that is built in, in the order of the reference. */
#ifndef SERVICES_SERVICES_H
#define SERVICES_SERVICES_H

#include <millrace/service.h>

extern const struct mr_service *const services_all[]; /* ends with NULL */

#endif
