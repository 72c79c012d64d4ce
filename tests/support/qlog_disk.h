/* System calls for the log (queue/log/io.h) over real files, with what a disk may do to them: calls that fail or write short, syncs that
 * fail and forget, and a power loss, after which only what was synced is sure to be there. One disk a process; no threads. */
#ifndef TESTS_SUPPORT_QLOG_DISK_H
#define TESTS_SUPPORT_QLOG_DISK_H

#include <millrace/random.h>

#include "queue/log/io.h"

enum disk_trouble {
    DISK_FINE,
    DISK_ERROR, /* the call fails with `error`; a sync that fails forgets what it should have written, as Linux does */
    DISK_SHORT, /* a write takes about half; other calls work */
    DISK_FULL,  /* from this call on writes fail with ENOSPC */
};

struct disk {
    unsigned calls; /* that change something, so far */
    unsigned at;    /* the call, from 1, that has trouble; 0: none */
    enum disk_trouble trouble;
    int error;
    unsigned chance;      /* one call of so many fails or is short; 0: none */
    void (*before)(void); /* runs before each call */
    unsigned hits;        /* calls that had trouble */
    struct mr_random random;
};
extern struct disk disk;

/* Forgets everything before; what is below `root` (logs' folders with files) is on the disk. */
void disk_mount(const char *root);
const struct qlog_io *disk_io(void);
/* Makes `to` what a start finds at `root` after the process was killed (`power` false) or the power was lost. */
void disk_crash(const char *to, bool power);
void disk_unmount(void);

#endif
