#include <millrace/stream.h>

const char *mr_close_reason_text(enum mr_close_reason reason)
{
    static const char *const texts[] = {
        [MR_CLOSE_DONE] = "done",           [MR_CLOSE_LOCAL] = "closed here", [MR_CLOSE_RESET] = "reset by peer",
        [MR_CLOSE_REFUSED] = "refused",     [MR_CLOSE_TIMEOUT] = "timed out", [MR_CLOSE_UNREACHABLE] = "unreachable",
        [MR_CLOSE_NO_MEMORY] = "no memory", [MR_CLOSE_STOPPED] = "stopped",
    };
    return (unsigned)reason < sizeof texts / sizeof *texts ? texts[reason] : "unknown";
}
