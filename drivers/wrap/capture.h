/* Capture: a link around any link that copies frames of both directions into a pcapng file while a capture runs.
 *
 * The wrapper stands in the path always and costs one load and one branch a burst until a capture is started. While one
 * runs, the worker copies headers and bytes into a ring of its own and a writer thread empties the rings into the file:
 * the packet path makes no system call, and when the disk is slower than the network frames are not written but counted.
 * Time is read from the clock once a burst, only while capturing.
 *
 * What a device is left to do is not visible: with transmit checksum offload the checksums in outbound frames are those
 * of the pseudo-header. */
#ifndef DRIVERS_WRAP_CAPTURE_H
#define DRIVERS_WRAP_CAPTURE_H

#include <millrace/address.h>
#include <millrace/error.h>
#include <millrace/link.h>

#define CAPTURE_LINKS_MAX   64
#define CAPTURE_SNAPLEN_MAX 65535

struct capture;

/* A frame is kept when everything that is set here matches it; all zero keeps everything. */
struct capture_filter {
    struct mr_address host; /* source or destination; any: not looked at */
    uint16_t ethertype;     /* 0x0806 for ARP; 0: not looked at */
    uint16_t port;          /* source or destination, of TCP or UDP; 0: not looked at */
    uint8_t protocol;       /* of IP; 0: not looked at */
};

/* Reads "tcp port 80 host 198.18.0.1": words out of tcp, udp, icmp, arp, ip, "host ADDRESS", "port NUMBER", in any
 * order; empty or NULL keeps everything. False when it is something else. */
bool capture_filter_parse(const char *text, struct capture_filter *out);

struct capture_options {
    const char *path;
    uint32_t snaplen;        /* bytes kept of a frame; 0: CAPTURE_SNAPLEN_MAX */
    uint64_t file_bytes_max; /* 0: 64 MiB; at least a frame and 1 KiB for each link and one more */
    unsigned files;          /* 0 or 1: one file, full when it reaches its limit; n: PATH.0 to PATH.n-1 in turn */
    uint32_t ring_bytes;     /* of each link, a power of two; 0: 4 MiB */
    struct capture_filter filter;
    bool synchronous; /* write from the calling thread, no writer thread, times as the clock gives them: virtual time */
};

/* Kept up to date while it runs; final after capture_stop. */
struct capture_report {
    uint64_t seen;       /* frames that matched the filter */
    uint64_t written;    /* ... and are in a file (perhaps overwritten since, when files rotate) */
    uint64_t overflowed; /* ... lost because a ring was full */
    uint64_t limited;    /* ... not written because the one file is full or a write failed */
    uint64_t bytes;      /* written to files */
    int error;           /* errno of the first failed write; 0: none */
};

/* Puts a wrapper around `inner`. `clock` is the one of the worker that uses it. Closing it closes `inner`, and frees it:
 * stop captures before. NULL when memory is short. */
struct mr_link *capture_wrap(struct mr_link *inner, struct mr_clock *clock);

/* Starts one capture on `n` links made by capture_wrap; an interface in the file for each. From any thread but the
 * workers' (from the one thread that there is, when synchronous).
 * MR_OK; MR_ERROR_INVALID: an option is out of range; MR_ERROR_IN_USE: a link is being captured already;
 * MR_ERROR_NO_MEMORY; MR_ERROR_SYSTEM: the file cannot be made or the thread not started, errno tells. */
int capture_start(const struct capture_options *options, struct mr_link **links, unsigned n, struct capture **out);

void capture_report(const struct capture *c, struct capture_report *out);

/* Ends it: waits until no worker is inside it, writes what the rings hold and the statistics of each interface, closes
 * the file. Consumes `c`. `report` may be NULL. The same threads as capture_start. */
void capture_stop(struct capture *c, struct capture_report *report);

#endif
