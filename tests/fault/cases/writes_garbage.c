/* SPDX-License-Identifier: MIT */
#include <fcntl.h>
#include <unistd.h>

#include "standard.h"

enum { DESCRIPTORS = 1024, TIMES = 2000 };

/* What the program itself has open is not the pool's. */
static bool is_ours[DESCRIPTORS];

static void note_ours(void)
{
    for (int fd = 0; fd < DESCRIPTORS; fd++)
        is_ours[fd] = fcntl(fd, F_GETFL) >= 0;
}

/* Until it is full. */
static bool fill(int fd, const void *garbage, size_t size)
{
    bool any = pwrite(fd, garbage, size, 0) > 0;

    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    for (int i = 0; i < TIMES; i++)
        any |= write(fd, garbage, size) > 0;
    return any;
}

/* 60, as four bytes, and then nothing that makes sense: to whoever listens. */
static int write_garbage(void)
{
    unsigned char garbage[64] = { 0, 0, 0, 60 };
    int written = 0;

    memset(garbage + 4, 0xff, 60);
    fault_now();
    for (int fd = 0; fd < DESCRIPTORS; fd++)
        if (!is_ours[fd] && fcntl(fd, F_GETFL) >= 0)
            written += fill(fd, garbage, sizeof garbage);
    return written;
}
PP_TASK(int, write_garbage);

CASE(writes_garbage, .python = "c30_worker_writes_garbage",
     .title = "a task that writes garbage to every descriptor of the pool that it has",
     .must = "nobody notices")
{
    const struct ending fine = { 0 };
    pp_pool *pool;
    pp_result *result;
    int written = -1;

    note_ours();
    pool = pool_of(2);
    result = pp_apply_async(pool, PP_CALL(write_garbage));
    check_ending(result, &fine);
    CHECK_EQ(get(result, &written), 0);
    saw("there was %d descriptor to write to", written);
    STANDARD(.pool = pool, .victim = PP_CALL(write_garbage).call, .none_dies = true);
}
