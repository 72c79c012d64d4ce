#include "stack/base/assert.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn void assert_failed(const char *file, int line, const char *text, uint64_t left, uint64_t right)
{
    fprintf(stderr,
            "%s:%d: assertion failed: %s (left %" PRIu64 " = 0x%" PRIx64 ", right %" PRIu64 " = 0x%" PRIx64 ")\n", file,
            line, text, left, left, right, right);
    abort();
}
