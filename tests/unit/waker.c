/* SPDX-License-Identifier: MIT */
/* A descriptor that is made readable, and the supervisor's alarm. */
#include "base/waker.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "harness.h"
#include "queue/wake.h"

static bool is_readable(int fd)
{
    struct pollfd poller = { .fd = fd, .events = POLLIN };

    return poll(&poller, 1, 0) > 0;
}

TEST(signalled_and_cleared)
{
    struct ppi_waker waker;

    CHECK_EQ(ppi_waker_open(&waker), 0);
    CHECK(!is_readable(waker.reader));
    ppi_waker_clear(&waker); /* does not wait */
    for (int i = 0; i < 100; i++)
        CHECK(ppi_waker_signal(&waker));
    CHECK(is_readable(waker.reader));
    ppi_waker_clear(&waker);
    CHECK(!is_readable(waker.reader));
    ppi_waker_close(&waker);
    CHECK(!ppi_waker_signal(&waker));
    ppi_waker_close(&waker);
}

TEST(full_is_readable)
{
    struct ppi_waker waker;

    CHECK_EQ(ppi_waker_open(&waker), 0);
    for (int i = 0; i < 1 << 17; i++) /* more than a pipe holds */
        CHECK(ppi_waker_signal(&waker));
    CHECK(is_readable(waker.reader));
    ppi_waker_close(&waker);
}

/* Puts another descriptor where the writer was. */
static void replace(const struct ppi_waker *waker, int fd)
{
    CHECK(fd >= 0);
    CHECK_EQ(dup2(fd, waker->writer), waker->writer);
}

TEST(a_stranger_gets_nothing)
{
    struct ppi_waker waker, other;
    int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    CHECK_EQ(ppi_waker_open(&waker), 0);
    CHECK_EQ(ppi_waker_open(&other), 0);
    replace(&waker, event);
    CHECK(!ppi_waker_signal(&waker));
    CHECK(!is_readable(event));
    replace(&waker, other.writer);
    CHECK(!ppi_waker_signal(&waker));
    CHECK(!is_readable(other.reader));
    replace(&waker, waker.reader); /* the right pipe, but its wrong end */
    CHECK(!ppi_waker_signal(&waker));
    close(waker.writer);
    CHECK(!ppi_waker_signal(&waker));
    waker.writer = -1;
    ppi_waker_close(&waker);
    ppi_waker_close(&other);
    close(event);
}

static atomic_int alarms;

static void count_alarm(int signal)
{
    (void)signal;
    atomic_fetch_add(&alarms, 1);
}

TEST(an_alarm_comes_by_poke_or_by_signal)
{
    struct ppi_queue queue = { .futex = &ppi_futex, .supervisor = getpid() };

    CHECK_EQ(ppi_waker_open(&queue.poke), 0);
    signal(SIGCHLD, count_alarm);
    ppi_alarm(&queue);
    CHECK(is_readable(queue.poke.reader));
    CHECK_EQ(atomic_load(&alarms), 0);
    ppi_waker_close(&queue.poke);
    ppi_alarm(&queue);
    CHECK_EQ(atomic_load(&alarms), 1);
    queue.supervisor = 0; /* not known: nobody is signalled */
    ppi_alarm(&queue);
    CHECK_EQ(atomic_load(&alarms), 1);
}
