/* The reference of the configuration, made from its tables. */
#ifndef TOOLS_MILLRACE_REFERENCE_H
#define TOOLS_MILLRACE_REFERENCE_H

#include <millrace/service.h>
#include <stdio.h>

void reference_markdown(const struct mr_service *const *services, FILE *out);

/* JSON Schema, draft 2020-12, as editors use it for completion and checking. */
void reference_schema(const struct mr_service *const *services, FILE *out);

#endif
