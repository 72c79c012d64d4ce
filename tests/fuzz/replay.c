/* A small main for a fuzz target where libFuzzer is not built in: runs each input of the corpus, then seeded mutations of
 * them. Inputs lie flush against a page that faults. What crashes is saved, and its path printed.
 *
 *      replay-NAME CORPUS_FOLDER          every input there (the folder may be missing), then MUTATIONS mutations
 *      replay-NAME FILE                   one input
 *      TEST_SEED=n, TEST_MUTATIONS=n      other mutations than those of seed 1, another number of them */
#include <dirent.h>
#include <fcntl.h>
#include <millrace/random.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MUTATIONS     20000
#define INPUT_MAX     16384u
#define CORPUS_MAX    4096
#define EDITS_MAX     8
#define SYNTHETIC_MAX 256u /* bytes of an input made from nothing */

struct input {
    uint8_t *data;
    size_t size;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
__attribute__((weak)) int LLVMFuzzerInitialize(int *count, char ***arguments);
__attribute__((weak)) void __sanitizer_set_death_callback(void (*callback)(void));

static struct input corpus[CORPUS_MAX];
static unsigned corpus_count;

static uint8_t *guarded_end; /* the first byte that faults */
static size_t current_size;
static char crash_path[256];

static void crash_save(void)
{
    static const char message[] = "replay: the input that crashed is in ";
    int fd = open(crash_path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    ssize_t written = write(fd, guarded_end - current_size, current_size);
    written += write(STDERR_FILENO, message, sizeof message - 1);
    written += write(STDERR_FILENO, crash_path, strlen(crash_path));
    written += write(STDERR_FILENO, "\n", 1);
    (void)written;
}

static void crash_signal(int number)
{
    crash_save();
    signal(number, SIG_DFL);
    raise(number);
}

static void crash_prepare(const char *program)
{
    const char *slash = strrchr(program, '/');
    snprintf(crash_path, sizeof crash_path, "crash-%s-%d", slash ? slash + 1 : program, (int)getpid());
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(crash_save);
    static const int signals[] = {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM};
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
        signal(signals[i], crash_signal);
}

static void guarded_prepare(void)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = (INPUT_MAX + page - 1) / page * page;
    uint8_t *area = mmap(NULL, bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (area == MAP_FAILED || mprotect(area + bytes, page, PROT_NONE) != 0) {
        perror("replay: mmap");
        exit(99);
    }
    guarded_end = area + bytes;
}

static void run(const uint8_t *data, size_t size)
{
    current_size = size;
    memmove(guarded_end - size, data, size);
    alarm(20); /* an input that takes so long is a hang */
    LLVMFuzzerTestOneInput(guarded_end - size, size);
}

static void corpus_add(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        exit(99);
    }
    uint8_t *data = malloc(INPUT_MAX);
    corpus[corpus_count++] = (struct input){data, fread(data, 1, INPUT_MAX, file)};
    fclose(file);
}

/* In the order of names, so that a seed means the same everywhere. */
static void corpus_read(const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return;
    if (!S_ISDIR(status.st_mode)) {
        corpus_add(path);
        return;
    }
    struct dirent **names;
    int n = scandir(path, &names, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char file[4096];
        snprintf(file, sizeof file, "%s/%s", path, names[i]->d_name);
        if (names[i]->d_name[0] != '.' && corpus_count < CORPUS_MAX)
            corpus_add(file);
        free(names[i]);
    }
    if (n >= 0)
        free(names);
}

/* Where a mutation of an input of `size` bytes strikes: anywhere, but often near its start, where headers are. */
static size_t somewhere(struct mr_random *r, size_t size)
{
    size_t limit = mr_random_below(r, 2) && size > 64 ? 64 : size;
    return limit ? mr_random_below(r, (uint32_t)limit) : 0;
}

static size_t bytes_insert(struct mr_random *r, uint8_t *data, size_t size)
{
    size_t n = 1 + mr_random_below(r, 16), at = somewhere(r, size);
    if (size + n > INPUT_MAX)
        return size;
    memmove(data + at + n, data + at, size - at);
    for (size_t i = 0; i < n; i++)
        data[at + i] = (uint8_t)mr_random_next(r);
    return size + n;
}

static size_t bytes_erase(struct mr_random *r, uint8_t *data, size_t size)
{
    size_t at = somewhere(r, size), n = 1 + mr_random_below(r, 16);
    n = n < size - at ? n : size - at;
    memmove(data + at, data + at + n, size - at - n);
    return size - n;
}

static size_t bytes_repeat(struct mr_random *r, uint8_t *data, size_t size)
{
    size_t from = somewhere(r, size), n = 1 + mr_random_below(r, 64);
    n = n < size - from ? n : size - from;
    if (size + n > INPUT_MAX)
        return size;
    memmove(data + from + n, data + from, size - from);
    return size + n;
}

/* The start of this input with the end of another. */
static size_t input_splice(struct mr_random *r, uint8_t *data, size_t size)
{
    if (!corpus_count)
        return size;
    const struct input *other = &corpus[mr_random_below(r, corpus_count)];
    size_t keep = somewhere(r, size), from = somewhere(r, other->size), n = other->size - from;
    n = n < INPUT_MAX - keep ? n : INPUT_MAX - keep;
    memcpy(data + keep, other->data + from, n);
    return keep + n;
}

static size_t edit(struct mr_random *r, uint8_t *data, size_t size)
{
    static const uint8_t edges[] = {0, 1, 0x7f, 0x80, 0xff, 0xfe, ' ', '\r', '\n', ':', '/', '0', '9'};
    if (size == 0)
        return bytes_insert(r, data, size);
    switch (mr_random_below(r, 8)) {
    case 0:
        return bytes_insert(r, data, size);
    case 1:
        return bytes_erase(r, data, size);
    case 2:
        return bytes_repeat(r, data, size);
    case 3:
        return input_splice(r, data, size);
    case 4:
        return somewhere(r, size); /* truncated */
    case 5:
        data[somewhere(r, size)] = edges[mr_random_below(r, sizeof edges)];
        return size;
    case 6:
        data[somewhere(r, size)] = (uint8_t)mr_random_next(r);
        return size;
    default:
        data[somewhere(r, size)] ^= (uint8_t)(1u << mr_random_below(r, 8));
        return size;
    }
}

static void mutation_run(struct mr_random *r)
{
    static uint8_t data[INPUT_MAX];
    size_t size;
    if (corpus_count && mr_random_below(r, 16)) {
        const struct input *base = &corpus[mr_random_below(r, corpus_count)];
        size = base->size;
        memcpy(data, base->data, size);
    } else {
        size = mr_random_below(r, SYNTHETIC_MAX);
        for (size_t i = 0; i < size; i++)
            data[i] = (uint8_t)mr_random_next(r);
    }
    for (unsigned edits = 1 + mr_random_below(r, EDITS_MAX); edits; edits--)
        size = edit(r, data, size);
    run(data, size);
}

static uint64_t number_from_environment(const char *name, uint64_t preset)
{
    const char *text = getenv(name);
    return text && *text ? strtoull(text, NULL, 0) : preset;
}

int main(int count, char **arguments)
{
    if (count != 2) {
        fprintf(stderr, "usage: %s CORPUS_FOLDER_OR_FILE\n", arguments[0]);
        return 2;
    }
    struct stat status;
    bool one_file = stat(arguments[1], &status) == 0 && S_ISREG(status.st_mode);
    uint64_t mutations = one_file ? 0 : number_from_environment("TEST_MUTATIONS", MUTATIONS);
    uint64_t seed = number_from_environment("TEST_SEED", 1);
    corpus_read(arguments[1]);
    if (LLVMFuzzerInitialize)
        LLVMFuzzerInitialize(&count, &arguments);
    crash_prepare(arguments[0]);
    guarded_prepare();
    printf("%u inputs, then %llu mutations with TEST_SEED=%llu\n", corpus_count, (unsigned long long)mutations,
           (unsigned long long)seed);
    fflush(stdout);
    for (unsigned i = 0; i < corpus_count; i++)
        run(corpus[i].data, corpus[i].size);
    struct mr_random r;
    mr_random_seed(&r, seed);
    for (uint64_t i = 0; i < mutations; i++)
        mutation_run(&r);
    return 0;
}
