/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "limited.h"
#include "standard.h"

CASE(fork_fails_at_creation, .python = "c17_fork_fails_create",
     .title = "RLIMIT_NPROC: a pool of 8, of whom 4 can be forked",
     .must = "there is no pool, that is said, and nothing is left")
{
    pp_error *error = NULL;
    pp_pool *pool;

    become_nobody();
    allow_processes(0, 1 + 1 + 4); /* client, supervisor, workers */
    fault_now();
    CHECK_NULL(pp_pool_new(.processes = 8, .error = &error), EAGAIN);
    answered_now();
    CHECK(*error->message);
    CHECK_EQ(processes(), 0);
    saw("pp_pool_new() fails with EAGAIN: %s", error->message);
    free(error);
    allow_processes(0, 100);
    pool = pool_of(8);
    check_bystanders(pool);
    saw("then, without the limit, a pool that works");
    end_pool(pool);
}
