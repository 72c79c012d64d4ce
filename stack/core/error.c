#include <millrace/error.h>

#define TEXT_COUNT ((int)(sizeof texts / sizeof *texts))

static const char *const texts[] = {
    [-MR_OK] = "no error",
    [-MR_ERROR_INVALID] = "an argument is out of its range",
    [-MR_ERROR_IN_USE] = "the address and port are already in use",
    [-MR_ERROR_NO_ADDRESS] = "the local address is not one of ours",
    [-MR_ERROR_NO_ROUTE] = "there is no route to the destination",
    [-MR_ERROR_NO_MEMORY] = "a pool or table is at its limit",
    [-MR_ERROR_NO_PORT] = "every local port to this destination is taken",
    [-MR_ERROR_CLOSED] = "the stream is closed",
    [-MR_ERROR_TOO_LONG] = "the data is longer than its limit",
    [-MR_ERROR_UNKNOWN] = "there is no such name",
    [-MR_ERROR_UNSUPPORTED] = "not supported by this build or device",
    [-MR_ERROR_SYSTEM] = "a system call failed",
    [-MR_ERROR_SILENT] = "a worker did not answer in time",
};

const char *mr_error_text(int error)
{
    if (error > 0 || error <= -TEXT_COUNT)
        return "not an error of Millrace";
    return texts[-error];
}
