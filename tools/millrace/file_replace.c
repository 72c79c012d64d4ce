#include "tools/millrace/file_replace.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MODE 0644

/* The folder's entry has to reach the disk, too. */
static bool folder_sync(const char *file)
{
    char *copy = strdup(file);
    int folder = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    bool good = folder >= 0 && fsync(folder) == 0;
    if (folder >= 0)
        close(folder);
    free(copy);
    return good;
}

static bool write_whole(int file, const char *text)
{
    size_t n = strlen(text), done = 0;
    while (done < n) {
        ssize_t written = write(file, text + done, n - done);
        if (written < 0 && errno != EINTR)
            return false;
        done += written > 0 ? (size_t)written : 0;
    }
    return true;
}

/* Mode, and owner where we may give it away: a root that saves does not take the file from its user. */
static bool take_over_mode(int file, const char *old)
{
    struct stat s;
    if (stat(old, &s) != 0)
        return fchmod(file, FILE_MODE) == 0;
    if (fchown(file, s.st_uid, s.st_gid) != 0)
        s.st_mode &= 0777; /* no set-id bits for somebody else */
    return fchmod(file, s.st_mode & 07777) == 0;
}

static bool replace_at(const char *file, const char *text)
{
    char *beside = NULL;
    if (asprintf(&beside, "%s.XXXXXX", file) < 0)
        return false;
    int f = mkostemp(beside, O_CLOEXEC);
    bool good = f >= 0 && write_whole(f, text) && take_over_mode(f, file) && fsync(f) == 0;
    int error = errno;
    if (f >= 0)
        close(f);
    if (good && rename(beside, file) != 0) {
        error = errno;
        good = false;
    }
    if (!good && f >= 0)
        unlink(beside);
    free(beside);
    errno = error;
    return good && folder_sync(file);
}

bool file_replace(const char *file, const char *text)
{
    char *target = realpath(file, NULL);
    bool good = replace_at(target ? target : file, text);
    int error = errno;
    free(target);
    errno = error;
    return good;
}
