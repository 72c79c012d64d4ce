/* The folder of log and snapshot: names, the manifest, what makes a change of it safe. All of it blocks.
 *
 *     cache.manifest      text: which files make up the state; renamed into place, file and folder synced
 *     cache.<n>.base      a snapshot: the state before the first record of log n; may be missing
 *     cache.<n>.log       transactions
 *     cache.snapshot      what SAVE writes; read only where no log is configured
 *     *.torn              bytes cut from the end of a file when it was repaired */
#ifndef SERVICES_CACHE_FOLDER_H
#define SERVICES_CACHE_FOLDER_H

#include <millrace/types.h>

#define CACHE_FILE_NAME_BYTES 48
#define CACHE_SNAPSHOT_NAME   "cache.snapshot"
#define CACHE_SNAPSHOT_HALF   "cache.snapshot.half" /* while it is written */
#define CACHE_MANIFEST_NAME   "cache.manifest"

struct cache_manifest {
    uint64_t base;                /* generation; 0: none */
    uint64_t log_first, log_last; /* generations, all between them too; 0: none yet */
};

struct cache_folder {
    int fd;
    char *path;
    struct cache_manifest manifest;
};

/* MR_OK, MR_ERROR_IN_USE, MR_ERROR_SYSTEM, MR_ERROR_NO_MEMORY; logged. Another process that has it open: IN_USE. */
int cache_folder_open(struct cache_folder *f, const char *path);
void cache_folder_close(struct cache_folder *f);

void cache_folder_log_name(uint64_t generation, char name[CACHE_FILE_NAME_BYTES]);
void cache_folder_base_name(uint64_t generation, char name[CACHE_FILE_NAME_BYTES]);

/* All zero when there is none. False: it is damaged. */
bool cache_manifest_parse(const char *text, size_t n, struct cache_manifest *m);
/* MR_OK, MR_ERROR_INVALID (damaged), MR_ERROR_SYSTEM; logged. */
int cache_folder_read_manifest(struct cache_folder *f);
/* 0 or errno; the state is the old one or the new one, whenever the machine stops. */
int cache_folder_write_manifest(struct cache_folder *f, const struct cache_manifest *m);
/* Unlinks bases and logs that the manifest does not name: what a switch left behind, at either side of it. */
void cache_folder_clean(struct cache_folder *f);
int cache_folder_rename(struct cache_folder *f, const char *from, const char *to); /* synced; 0 or errno */

#endif
