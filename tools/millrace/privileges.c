/* Capabilities belong to threads, and DPDK has started some of its own by the time that ours are no longer needed. So
 * each thread is sent a signal whose handler gives them up; capset(2) takes no other thread's number. */
#include "tools/millrace/privileges.h"

#include <dirent.h>
#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define DROP_SIGNAL  (SIGRTMAX - 2)
#define DROP_WAIT_MS 1000
#define THREADS_MAX  1024

static atomic_uint dropped; /* threads; a signal handler has no other way to tell */

bool privileges_have(int number)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    return syscall(SYS_capget, &header, data) == 0 && (data[number / 32].effective >> (number % 32) & 1);
}

static bool drop_own(uint32_t keep)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    if (keep && syscall(SYS_capget, &header, data) != 0)
        return false;
    struct __user_cap_data_struct kept[2] = {{.permitted = data[0].permitted & keep}};
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && syscall(SYS_capset, &header, kept) == 0;
}

void privileges_raise(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{0}};
    if (syscall(SYS_capget, &header, data) == 0 && data[0].permitted) {
        data[0].effective = data[0].permitted;
        syscall(SYS_capset, &header, data);
    }
}

static void on_drop(int signal_number)
{
    int saved = errno;
    if (drop_own(0))
        atomic_fetch_add(&dropped, 1);
    errno = saved;
}

/* Signals every thread but ours; returns how many. */
static unsigned signal_others(void)
{
    unsigned sent = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (struct dirent *d; tasks && sent < THREADS_MAX && (d = readdir(tasks));) {
        pid_t thread = atoi(d->d_name);
        if (thread > 0 && thread != gettid() && syscall(SYS_tgkill, getpid(), thread, DROP_SIGNAL) == 0)
            sent++;
    }
    if (tasks)
        closedir(tasks);
    return sent;
}

bool privileges_drop(uint32_t keep)
{
    struct sigaction action = {.sa_handler = on_drop, .sa_flags = SA_RESTART};
    sigfillset(&action.sa_mask);
    atomic_store(&dropped, 0);
    sigaction(DROP_SIGNAL, &action, NULL);
    bool own = drop_own(keep);
    unsigned expected = signal_others();
    for (int waited = 0; atomic_load(&dropped) < expected && waited < DROP_WAIT_MS; waited++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    /* The handler stays: a thread that was late must not die of the signal. */
    return own && atomic_load(&dropped) == expected;
}
