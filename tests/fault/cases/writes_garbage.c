/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "standard.h"

enum { DESCRIPTORS = 1024 };

/* 60, as four bytes, and then nothing that makes sense: to whoever listens. */
static int write_garbage(void)
{
    unsigned char garbage[64] = { 0, 0, 0, 60 };
    int written = 0;

    memset(garbage + 4, 0xff, 60);
    fault_now();
    for (int fd = 3; fd < DESCRIPTORS; fd++) {
        int flags = fcntl(fd, F_GETFL);

        if (flags < 0)
            continue;
        fcntl(fd, F_SETFL, flags | O_NONBLOCK);
        written += write(fd, garbage, sizeof garbage) > 0;
        written += pwrite(fd, garbage, sizeof garbage, 0) > 0;
    }
    return written;
}
PP_TASK(int, write_garbage);

CASE(writes_garbage, .python = "c30_worker_writes_garbage",
     .title = "a task that writes garbage to every descriptor it has",
     .must = "nobody notices, but what the program itself left open")
{
    const struct ending fine = { 0 };
    pp_pool *pool = pool_of(2);
    pp_result *result = pp_apply_async(pool, PP_CALL(write_garbage));
    int written = -1;

    check_ending(result, &fine);
    CHECK_EQ(get(result, &written), 0);
    saw("written to %d of the pool's descriptors", written);
    STANDARD(.pool = pool, .victim = PP_CALL(write_garbage).call, .none_dies = true);
}
