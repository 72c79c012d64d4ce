/* /sys/kernel/mm/hugepages/hugepages-<KiB>kB/free_hugepages, one folder for each page size. */
#include "drivers/dpdk/memory.h"

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>

#define HUGEPAGES_FOLDER "/sys/kernel/mm/hugepages"

static uint64_t free_pages(const char *folder)
{
    char path[320];
    unsigned long long count = 0;
    snprintf(path, sizeof path, HUGEPAGES_FOLDER "/%s/free_hugepages", folder);
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    if (fscanf(file, "%llu", &count) != 1)
        count = 0;
    fclose(file);
    return count;
}

unsigned memory_hugepages_free_mib(void)
{
    uint64_t kib = 0;
    DIR *folder = opendir(HUGEPAGES_FOLDER);
    if (!folder)
        return 0;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        unsigned long size_kib;
        if (sscanf(entry->d_name, "hugepages-%lukB", &size_kib) == 1)
            kib += size_kib * free_pages(entry->d_name);
    }
    closedir(folder);
    return (unsigned)(kib / 1024);
}
