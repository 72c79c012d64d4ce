/* A folder for each test over durable_world.h, in memory where there is such a file system: what a disk takes for a sync is not what these
 * tests are about. Included by one .c file of a test. */
#ifndef TESTS_SUPPORT_DURABLE_FOLDER_H
#define TESTS_SUPPORT_DURABLE_FOLDER_H

#include "tests/support/durable_world.h"

static char folder[64], inner[96]; /* the second lies in the first: what a service is given */

static inline int setup(void **state)
{
    strcpy(folder, access("/dev/shm", W_OK) == 0 ? "/dev/shm/queue-durable-XXXXXX" : "/tmp/queue-durable-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(inner, sizeof inner, "%s/logs", folder);
    memset(&world_disk, 0, sizeof world_disk);
    return 0;
}

static inline int teardown(void **state)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf --one-file-system '%s'", folder);
    return system(command);
}

#endif
