/* SPDX-License-Identifier: MIT */
#include <sys/resource.h>

#include "standard.h"

CASE(descriptors_exhausted, .python = "c19_fd_exhaustion",
     .title = "20 descriptors, and a pool of 50",
     .must = "a pool that works: the number of descriptors does not grow with the workers")
{
    struct rlimit full, little;
    pp_pool *pool;
    size_t used;

    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &full), 0);
    little = (struct rlimit){ 20, full.rlim_max };
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &little), 0);
    used = descriptors();
    pool = pool_of(50);
    saw("%zu descriptors for 50 workers", descriptors() - used);
    check_bystanders(pool);
    saw("20 of 20 right");
    end_pool(pool);
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &full), 0);
}
