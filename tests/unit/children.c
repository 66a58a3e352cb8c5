/* SPDX-License-Identifier: MIT */
/* Killing more children than the list that /proc gives is read of at once. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "harness.h"

enum { CHILDREN = 10000 };

static int list = -1;
static char killed[10000000];

static int open_list(const char *path, int flags)
{
    char other[64];

    CHECK_HAS(path, "/children");
    snprintf(other, sizeof other, "/proc/self/fd/%d", list);
    return open(other, flags);
}

static int note_kill(pid_t pid, int signal)
{
    CHECK_EQ(signal, SIGKILL);
    CHECK(pid > 0 && (size_t)pid < sizeof killed);
    killed[pid]++;
    return 0;
}

#define open open_list
#define kill note_kill
#include "base/process.c"
#undef open
#undef kill

static void check_children(pid_t first)
{
    int count = 0;

    list = memfd_create("children", MFD_CLOEXEC);
    memset(killed, 0, sizeof killed);
    for (pid_t pid = first; pid < first + CHILDREN; pid++)
        dprintf(list, "%d ", pid);
    CHECK(ppi_kill_children() > 0);
    for (pid_t pid = 0; pid < (pid_t)sizeof killed; pid++) {
        CHECK(!killed[pid] || (pid >= first && pid < first + CHILDREN));
        count += killed[pid];
    }
    CHECK(count > 1000); /* the others are there when it is called again */
    CHECK_EQ(close(list), 0);
}

TEST(a_number_that_is_cut_off_is_nobodys)
{
    check_children(10000);
    check_children(100000);
    check_children(200000);
    check_children(1000000);
}
