/* SPDX-License-Identifier: MIT */
#include <signal.h>
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

/* Who waits for the CPU has not had any either. */
static bool all_sleep(void)
{
    struct harness_process list[2 * WORKERS];
    size_t count = harness_others(list, 2 * WORKERS);

    for (size_t i = 0; i < count && i < 2 * WORKERS; i++)
        if (list[i].state != 'S')
            return false;
    return true;
}

static void die(void)
{
    fault_now();
    raise(SIGKILL);
}
PP_TASK(void, die);

CASE(idle_uses_no_cpu, .title = "nothing to do, for a second, after a crash",
     .must = "none of the pool's processes uses the CPU")
{
    pp_pool *pool = pool_of(WORKERS);
    struct census census;
    long long before, settled;

    check_ending(pp_apply_async(pool, PP_CALL(die)),
                 &(struct ending){ .error = PP_ECRASHED, .signal = SIGKILL });
    check_bystanders(pool);
    CHECK_SOON(take_census(&census, WORKERS));
    settled = used_by_all(&census);
    do { /* those that have just worked have yet to fall asleep */
        before = settled;
        sleep_for(100000);
        settled = used_by_all(&census);
    } while (settled != before || !all_sleep());
    sleep_for(1000000);
    saw("%lld ns of %d processes in a second", used_by_all(&census) - before, WORKERS + 1);
    CHECK_EQ(used_by_all(&census), before);
    check_works(pool);
    end_pool(pool);
}
