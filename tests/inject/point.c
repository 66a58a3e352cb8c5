/* SPDX-License-Identifier: MIT */
/* What happens at a point. */
#include <errno.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "inject.h"

#define NAME_OF(name, text) #name,
#define TEXT_OF(name, text) text,
const char *const point_names[] = { PPI_POINTS_LIST(NAME_OF) };
const char *const point_texts[] = { PPI_POINTS_LIST(TEXT_OF) };
const char *const role_names[] = { "client", "supervisor", "worker" };

struct stage *stage;

/* A process begins as a copy of another, and soon comes to a point of its own. */
static enum role role_at(enum ppi_point point)
{
    static enum role role = CLIENT;

    if (point == PPI_AT_SUPERVISOR_BORN)
        role = SUPERVISOR;
    else if (point == PPI_AT_WORKER_BOUND)
        role = WORKER;
    return role;
}

static void ring(void)
{
    atomic_fetch_add(&stage->bell, 1);
    syscall(SYS_futex, &stage->bell, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static void carry_out(int which)
{
    atomic_uint *released = &stage->carried[which].released;

    atomic_store(&stage->carried[which].pid, getpid());
    if (which == FIRST)
        atomic_store(&stage->carried[SECOND].due, true);
    ring();
    if (stage->orders[which].action == KILL)
        kill(getpid(), SIGKILL);
    while (!atomic_load(released)) {
        const struct timespec patience = { 1, 0 };

        syscall(SYS_futex, released, FUTEX_WAIT, 0, &patience, NULL, 0);
        if (kill(stage->watcher, 0) != 0)
            kill(getpid(), SIGKILL); /* nobody will ever let go of us */
    }
}

static bool is_meant(int which, enum role role, enum ppi_point point)
{
    const struct order *order = &stage->orders[which];

    if (order->action == NOTHING || order->role != role || order->point != point ||
        !atomic_load(&stage->carried[which].due))
        return false;
    if (which == SECOND && getpid() == atomic_load(&stage->carried[FIRST].pid))
        return false;
    return atomic_fetch_add(&stage->carried[which].passages, 1) + 1 == order->nth;
}

/* To those who measure it, forking has taken so long. */
static void use_cpu(uint64_t ns)
{
    struct timespec used;
    uint64_t end = 0, now;

    do {
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
        now = (uint64_t)used.tv_sec * 1000000000 + (uint64_t)used.tv_nsec;
        end = end ? end : now + ns;
    } while (now < end);
}

void ppi_point(enum ppi_point point)
{
    enum role role = role_at(point);
    int error = errno;
    unsigned event;

    if (!stage)
        return;
    event = atomic_fetch_add(&stage->events, 1);
    stage->trace[event % TRACE] =
        (struct trace){ getpid(), (unsigned char)role, (unsigned char)point };
    atomic_fetch_add(&stage->passed[role][point], 1);
    if (point == PPI_AT_SUPERVISOR_FORKED && stage->fork_takes_ns > 0)
        use_cpu(stage->fork_takes_ns);
    for (int which = FIRST; which < ORDERS; which++)
        if (is_meant(which, role, point))
            carry_out(which);
    errno = error;
}
