/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "standard.h"

static void stay(struct gate *gate)
{
    atomic_fetch_add(&gate->waiting, 1);
    for (;;)
        pause();
}
PP_TASK(void, stay, struct gate *, gate);

/* Somebody else kills the workers, now a little before and now a little after. */
static pid_t start_killer(const struct census *census, long after_us)
{
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid > 0)
        return pid;
    spend_time(after_us);
    for (size_t i = 0; i < census->count; i++)
        kill(census->workers[i], SIGKILL);
    _exit(0);
}

static void terminate_once(struct gate *gate, long after_us)
{
    pp_pool *pool = pool_of(2);
    struct census census;
    pp_result *results[20];
    pid_t killer;

    atomic_store(&gate->waiting, 0);
    for (int i = 0; i < 20; i++)
        CHECK((results[i] = pp_apply_async(pool, PP_CALL(stay, gate))) != NULL);
    CHECK_SOON(atomic_load(&gate->waiting) == 2);
    CHECK_SOON(take_census(&census, 2));
    killer = start_killer(&census, after_us);
    fault_now();
    CHECK_EQ(pp_terminate(pool), 0);
    for (int i = 0; i < 20; i++) {
        int error = get(results[i], NULL);

        CHECK(error == PP_ECANCELLED || error == PP_ECRASHED);
    }
    answered_now();
    CHECK_EQ(pp_pool_free(pool), 0);
    CHECK_EQ(waitpid(killer, NULL, 0), killer);
    CHECK_EQ(processes(), 0);
}

CASE(killed_while_terminating, .limit = 60,
     .title = "SIGKILL of all workers while the pool is being terminated",
     .must = "all that is open is cancelled, or crashed; nothing hangs")
{
    int times = (int)full_size(20, 500);
    struct gate *gate = gate_new();

    for (int i = 0; i < times; i++)
        terminate_once(gate, i % 20 * 50);
    saw("%d times: 20 of 20 PP_ECANCELLED or PP_ECRASHED", times);
    gate_free(gate);
}
