/* Operating errors of the public API: named, negative, listed on each prototype. A bad peer is never one of these, it is
 * a drop reason or a protocol reply; a bug of ours is an assertion. */
#ifndef MILLRACE_ERROR_H
#define MILLRACE_ERROR_H

enum mr_error {
    MR_OK = 0,
    MR_ERROR_INVALID = -1,       /* an argument is out of its range */
    MR_ERROR_IN_USE = -2,        /* the address and port are taken */
    MR_ERROR_NO_ADDRESS = -3,    /* the local address is not ours */
    MR_ERROR_NO_ROUTE = -4,      /* no route to the destination */
    MR_ERROR_NO_MEMORY = -5,     /* a pool or table is at its limit */
    MR_ERROR_NO_PORT = -6,       /* every ephemeral port to that destination is taken */
    MR_ERROR_CLOSED = -7,        /* the stream no longer accepts this */
    MR_ERROR_TOO_LONG = -8,      /* larger than one datagram or the limit named on the prototype */
    MR_ERROR_UNKNOWN = -9,       /* no such name (congestion control, worker, ...) */
    MR_ERROR_UNSUPPORTED = -10,  /* not built, or the device lacks it */
    MR_ERROR_SYSTEM = -11,       /* a system call failed; errno tells */
    MR_ERROR_SILENT = -12,       /* a worker did not answer in time */
};

/* A short sentence for any value above; never NULL. */
const char *mr_error_text(int error);

#endif
