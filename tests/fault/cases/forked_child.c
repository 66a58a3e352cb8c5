/* SPDX-License-Identifier: MIT */
#include <sys/wait.h>
#include <unistd.h>

#include "standard.h"

static long same(long x)
{
    return x;
}
PP_TASK(long, same, long, x);

/* All that the child may get is that. */
_Noreturn static void use_in_child(pp_pool *pool, pp_result *result)
{
    long item = 1;

    CHECK_EQ(pp_apply(pool, PP_CALL(same, 7), NULL), -ECHILD);
    answered_now();
    CHECK_NULL(pp_apply_async(pool, PP_CALL(same, 7)), ECHILD);
    CHECK_EQ(pp_map(pool, same, &item, 1, &item), -ECHILD);
    CHECK_NULL(pp_map_async(pool, same, &item, 1), ECHILD);
    CHECK_NULL(pp_imap(pool, same, .items = &item, .count = 1), ECHILD);
    CHECK_EQ(pp_get(result, NULL), -ECHILD);
    CHECK_EQ(pp_wait(result), -ECHILD);
    CHECK_EQ(pp_cancel(result), -ECHILD);
    CHECK_EQ(pp_close(pool), -ECHILD);
    CHECK_EQ(pp_join(pool), -ECHILD);
    CHECK_EQ(pp_terminate(pool), -ECHILD);
    pp_result_free(result);
    CHECK_EQ(pp_pool_free(pool), 0);
    _exit(0);
}

CASE(forked_child, .python = "c28_forked_child", .title = "the pool used in a forked child",
     .must = "every call there is an error; the parent notices nothing")
{
    pp_pool *pool = pool_of(2);
    struct bystanders all;
    int status;
    pid_t pid;

    bystanders_submit(&all, pool, 0, BYSTANDERS);
    fault_now();
    pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        use_in_child(pool, all.results[0]);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    saw("-ECHILD in the child");
    bystanders_check(&all);
    check_works(pool);
    end_pool(pool);
}
