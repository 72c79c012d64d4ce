/* The life of a process: configuration, devices, privileges dropped, control socket, workers, signals, the end. */
#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "services/services.h"
#include "tools/millrace/command.h"
#include "tools/millrace/control_server.h"
#include "tools/millrace/notify.h"
#include "tools/millrace/privileges.h"
#include "tools/millrace/runtime.h"
#include "tools/millrace/runtime_control.h"

#define GRACE_MARGIN_MS 2000 /* beyond the grace: then a worker hangs, and we go without it */
#define READY_BYTES_MAX 1024

/* Blocked in every thread from the start: main waits for them. */
static void signals_block(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    pthread_sigmask(SIG_BLOCK, set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static bool privileges_suffice(const struct config *c)
{
    for (unsigned i = 0; i < c->interface_count; i++)
        if (c->interface[i].driver == CONFIG_TAP && !privileges_have(CAP_NET_ADMIN)) {
            mr_log(
                MR_LOG_ERROR, "run",
                "interface %s: CAP_NET_ADMIN is missing, which making a TAP device needs: run with sudo, or once `sudo "
                "setcap cap_net_admin+ep` the binary",
                c->interface[i].name);
            return false;
        }
    return true;
}

/* AF_XDP's program is taken off its interface at the end, which takes what attaching it took. */
static uint32_t privileges_for_the_end(const struct config *c)
{
    for (unsigned i = 0; i < c->interface_count; i++)
        if (c->interface[i].driver == CONFIG_AF_XDP)
            return 1u << CAP_NET_ADMIN;
    return 0;
}

static void print_ready(const struct config *c, const char *control_path)
{
    char line[READY_BYTES_MAX];
    runtime_ready_line(c, control_path, line, sizeof line);
    puts(line);
    fflush(stdout);
    notify_manager("READY=1");
}

static void reload(struct runtime *r)
{
    struct config_report report;
    pthread_mutex_lock(&r->lock);
    runtime_reload(r, &report);
    pthread_mutex_unlock(&r->lock);
}

/* Until a signal, then until the workers have ended: a second signal ends their grace. */
static int serve(struct runtime *r, const sigset_t *set)
{
    int number = 0;
    while (sigwait(set, &number) == 0 && number == SIGHUP)
        reload(r);
    notify_manager("STOPPING=1");
    unsigned grace_ms = atomic_load(&r->grace_ms);
    mr_log(MR_LOG_INFO, "run", "ending: connections get %u ms, a second signal ends at once", grace_ms);
    runtime_stop(r);
    mr_time until = runtime_now() + (grace_ms + GRACE_MARGIN_MS) * MR_MILLISECOND;
    sigset_t again = *set; /* a reload no longer matters, and does not end the grace */
    sigdelset(&again, SIGHUP);
    while (!runtime_wait(r, 10)) {
        if (sigtimedwait(&again, NULL, &(struct timespec){0}) > 0 && !atomic_exchange(&r->at_once, true))
            mr_log(MR_LOG_INFO, "run", "ending at once");
        if (runtime_now() < until)
            continue;
        mr_log(MR_LOG_ERROR, "run", "a worker does not end: going without it");
        return EXIT_FAILED;
    }
    return EXIT_GOOD;
}

/* From open devices to their end. */
static int run_open(struct runtime *r, const sigset_t *set)
{
    struct runtime_control control = {.runtime = r};
    if (!privileges_drop(privileges_for_the_end(r->config)))
        mr_log(MR_LOG_WARNING, "run", "a thread keeps privileges that it does not need");
    if (!runtime_build(r) || !runtime_control_start(&control))
        return EXIT_FAILED;
    int code = EXIT_FAILED;
    if (runtime_start(r)) {
        print_ready(r->config, control.server ? control.path : NULL);
        code = serve(r, set);
    }
    if (code == EXIT_FAILED && r->worker[0].started)
        _exit(EXIT_FAILED); /* a thread is still at work in what destroying would take away */
    runtime_control_stop(&control);
    return code;
}

static int run_config(const struct config *c)
{
    struct runtime r;
    sigset_t set;
    mr_log_set_level((enum mr_log_level)c->log.level);
    if (!privileges_suffice(c))
        return EXIT_FAILED;
    signals_block(&set);
    int code = runtime_open(&r, c) ? run_open(&r, &set) : EXIT_FAILED;
    privileges_raise();
    runtime_destroy(&r);
    if (code == EXIT_GOOD)
        mr_log(MR_LOG_INFO, "run", "ended");
    return code;
}

static int run(const struct command *self, int argc, char **argv)
{
    if (argc != 2)
        return command_usage(self, "expected one configuration file");
    struct config_report report;
    config_report_init(&report, argv[1]);
    struct config *c = config_load(argv[1], services_all, &report);
    if (!c) {
        config_report_print(&report, stderr);
        return EXIT_CONFIGURATION;
    }
    int code = run_config(c);
    config_free(c);
    return code;
}

const struct command command_run = {
    "run", "CONFIG", "Serves what a configuration file says, in the foreground.",
    "Prints one line `ready ...` on standard output when packets are answered; the log goes to standard error.\n"
    "SIGTERM or SIGINT ends it: services stop, connections are closed in order within 3 s, the TAP device goes;\n"
    "a second signal ends it at once. SIGHUP applies the file as it is now, as `millrace reload` does. $NOTIFY_SOCKET is\n"
    "told (systemd, Type=notify-reload).\n"
    "A TAP device needs CAP_NET_ADMIN, and that only until it is made: all capabilities are dropped before the first\n"
    "packet is read (with AF_XDP the main thread keeps CAP_NET_ADMIN aside, to take its program off at the end).\n"
    "Exit code 0 after a signal, 1 when something failed, 3 when the configuration is wrong.\n",
    run};
