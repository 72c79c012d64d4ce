/* A line at the control socket: refused with a reason, or a request within its bounds. */
#include <stdlib.h>
#include <string.h>

#include "tools/millrace/control_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct control_request r;
    char why[CONTROL_WHY_MAX] = "";
    if (!control_request_parse((const char *)data, size, &r, why)) {
        json_t *answer = control_error("%s", why); /* must be JSON whatever the input quoted */
        if (!*why || !json_string_value(json_object_get(answer, "error")))
            abort();
        json_decref(answer);
        return 0;
    }
    if (r.command >= CONTROL_COMMANDS || r.limit > 100000 || r.seconds > 86400 || r.snap > 65535)
        abort();
    if (r.command == CONTROL_SET && (!r.name || !r.value || strlen(r.value) > 64))
        abort();
    control_request_free(&r);
    return 0;
}
