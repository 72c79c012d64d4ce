#include "queue/disk.h"

#include <inttypes.h>
#include <millrace/log.h>
#include <sys/statvfs.h>

/* On an offload thread. */
static void look(void *argument)
{
    struct broker *b = argument;
    struct statvfs status;
    b->disk.known = statvfs(b->config->folder, &status) == 0;
    b->disk.free_bytes = b->disk.known ? (uint64_t)status.f_bavail * status.f_frsize : 0;
}

static void looked(struct mr_worker *w, void *argument)
{
    struct broker *b = argument;
    uint64_t least = b->config->disk_free_min, room = b->disk.free_bytes;
    bool low = b->alarms_own & BROKER_ALARM_DISK;
    b->disk.asked = false;
    if (!b->disk.known || b->stopping)
        return;
    if (!low && room < least)
        mr_log(MR_LOG_WARNING, "queue",
               "%s has %" PRIu64 " bytes left, less than disk_free_min: publishers are held up", b->config->folder,
               room);
    if (room < least || room >= least + least / 4)
        broker_alarm_set(b, BROKER_ALARM_DISK, room < least);
}

void queue_disk_look(struct broker *b)
{
    if (b->index == 0 && b->config->folder && !b->disk.asked)
        b->disk.asked = mr_offload(b->worker, look, looked, b) == MR_OK;
}
