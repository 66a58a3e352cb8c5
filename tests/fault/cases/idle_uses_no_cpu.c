/* SPDX-License-Identifier: MIT */
#include <time.h>

#include "standard.h"

enum { WORKERS = 8 };

/* Nanoseconds of the CPU that a process has had. */
static long long used_by(pid_t pid)
{
    struct timespec time;
    clockid_t clock;

    CHECK_EQ(clock_getcpuclockid(pid, &clock), 0);
    CHECK_EQ(clock_gettime(clock, &time), 0);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static long long used_by_all(const struct census *census)
{
    long long used = used_by(census->supervisor);

    for (size_t i = 0; i < census->count; i++)
        used += used_by(census->workers[i]);
    return used;
}

CASE(idle_uses_no_cpu, .title = "nothing to do, for a second, after a crash",
     .must = "none of the pool's processes uses the CPU")
{
    pp_pool *pool = pool_of(WORKERS);
    struct census census;
    long long before, settled;

    check_bystanders(pool);
    CHECK_SOON(take_census(&census, WORKERS));
    settled = used_by_all(&census);
    do { /* those that have just worked have yet to fall asleep */
        before = settled;
        sleep_for(100000);
        settled = used_by_all(&census);
    } while (settled != before);
    sleep_for(1000000);
    saw("%lld ns of %d processes in a second", used_by_all(&census) - before, WORKERS + 1);
    CHECK_EQ(used_by_all(&census), before);
    check_works(pool);
    end_pool(pool);
}
