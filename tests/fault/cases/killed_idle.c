/* SPDX-License-Identifier: MIT */
#include <signal.h>

#include "standard.h"

CASE(killed_idle, .python = "c02_sigkill_idle", .title = "SIGKILL of an idle worker",
     .must = "nothing is lost, the worker is replaced", .limit = 120)
{
    int times = (int)full_size(8, 200);
    pp_pool *pool = pool_of(2);

    check_bystanders(pool);
    for (int i = 0; i < times; i++) {
        pid_t pid = worker_pid(pool, i % 2);

        fault_now();
        CHECK_EQ(kill(pid, SIGKILL), 0);
        if (i % 4 >= 2) /* with what comes later, and with what comes now */
            sleep_for(2000);
        check_bystanders(pool);
        await_replacement(pool);
    }
    saw("%d kills, each time 20 of 20 right", times);
    check_works(pool);
    end_pool(pool);
}
