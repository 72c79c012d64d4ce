/* What is in an engine's folder. */
#include <dirent.h>
#include <errno.h>
#include <millrace/log.h>
#include <string.h>

#include "queue/log/state.h"

int qlog_folder_list_all(const char *folder, void (*name)(void *context, const char *name), void *context)
{
    DIR *d = opendir(folder);
    if (!d)
        return errno;
    errno = 0;
    for (struct dirent *entry; (entry = readdir(d)); errno = 0)
        name(context, entry->d_name);
    int error = errno;
    closedir(d);
    return error;
}

struct listing {
    void (*name)(void *context, const char *name);
    void *context;
};

static void legal_show(void *context, const char *name)
{
    const struct listing *l = context;
    if (qlog_name_legal(name))
        l->name(l->context, name);
}

int qlog_folder_list(const char *folder, void (*name)(void *context, const char *name), void *context)
{
    struct listing l = {name, context};
    int error = qlog_folder_list_all(folder, legal_show, &l);
    if (!error || error == ENOENT) /* none yet */
        return MR_OK;
    mr_log(MR_LOG_ERROR, "queue", "folder %s: %s", folder, strerror(error));
    return MR_ERROR_SYSTEM;
}
