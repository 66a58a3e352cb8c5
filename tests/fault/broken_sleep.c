/* SPDX-License-Identifier: MIT */
/*
 * src/supervisor/supervisor.c that does not look for the client when it sleeps for the first
 * time.  A program that is linked with this gets it instead of the library's.
 */
#include <poll.h>
#include <signal.h>
#include <stdbool.h>

#include "walk.h"

const struct walk_broken walk_broken = { "client makes a pool", WALK_KILLED, 1000 };

static int poll_for_some(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
                         const sigset_t *mask)
{
    static bool again;

    if (!again)
        fds[0].fd = -1;
    again = true;
    return ppoll(fds, count, timeout, mask);
}

#define ppoll poll_for_some
#include "supervisor/supervisor.c"
