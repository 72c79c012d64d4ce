/* Usage: runner FILE|FOLDER...   plays *.script files, each in a fresh worker; TAP on stdout. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/script/script.h"
#include "tests/support/support.h"

#define FILES_MAX 4096

struct list {
    unsigned count;
    char *file[FILES_MAX];
};

static void list_add(struct list *l, const char *folder, const char *name)
{
    char path[4096];
    snprintf(path, sizeof path, "%s%s%s", folder, *folder ? "/" : "", name);
    if (l->count < FILES_MAX)
        l->file[l->count++] = strdup(path);
}

static bool is_script(const char *name)
{
    size_t n = strlen(name);
    return n > 7 && strcmp(name + n - 7, ".script") == 0;
}

static void list_folder(struct list *l, const char *folder)
{
    struct dirent **entry;
    int n = scandir(folder, &entry, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        if (is_script(entry[i]->d_name))
            list_add(l, folder, entry[i]->d_name);
        free(entry[i]);
    }
    if (n >= 0)
        free(entry);
}

/* "data/in_order" of ".../data/in_order.script" */
static const char *test_name(const char *file, char *name, size_t bytes)
{
    const char *slash = strrchr(file, '/');
    while (slash && slash > file && slash[-1] != '/')
        slash--;
    snprintf(name, bytes, "%s", slash ? slash : file);
    if (is_script(name))
        name[strlen(name) - 7] = '\0';
    return name;
}

static bool play(const char *file)
{
    char error[512];
    struct script *s = script_parse(file, error, sizeof error);
    if (!s) {
        printf("# %s\n", error);
        return false;
    }
    bool passed = script_run(s);
    script_free(s);
    return passed;
}

int main(int argc, char **argv)
{
    static struct list list;
    unsigned failed = 0;
    for (int i = 1; i < argc; i++) {
        struct stat status;
        if (stat(argv[i], &status) == 0 && S_ISDIR(status.st_mode))
            list_folder(&list, argv[i]);
        else
            list_add(&list, "", argv[i]);
    }
    if (list.count == 0) {
        fprintf(stderr, "usage: runner FILE|FOLDER...\n");
        return 2;
    }
    support_start_dpdk(64);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("1..%u\n", list.count);
    for (unsigned i = 0; i < list.count; i++) {
        char name[256];
        bool passed = play(list.file[i]);
        failed += !passed;
        printf("%sok %u - %s\n", passed ? "" : "not ", i + 1, test_name(list.file[i], name, sizeof name));
        free(list.file[i]);
    }
    return failed != 0;
}
