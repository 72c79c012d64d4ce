/* Tells the service manager how far we are (sd_notify(3), without its library). */
#ifndef TOOLS_MILLRACE_NOTIFY_H
#define TOOLS_MILLRACE_NOTIFY_H

/* Sends `state`, such as "READY=1", to $NOTIFY_SOCKET; does nothing when there is none. */
void notify_manager(const char *state);

#endif
