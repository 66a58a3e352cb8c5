/* SPDX-License-Identifier: MIT */
#include "standard.h"

enum { WINDOW = 32, READ = 2000 };

static long same(long x)
{
    return x;
}
PP_TASK(long, same, long, x);

/* Goes on for ever. */
static bool draw(void *item, void *drawn)
{
    *(long *)item = (*(long *)drawn)++;
    return true;
}

CASE(imap_stays_in_window, .title = "pp_imap() of an input without an end",
     .must = "no more is drawn than what was read and the window; then it ends at once")
{
    pp_pool *pool = pool_of(2);
    long drawn = 0, most = 0;
    pp_iter *iter =
        pp_imap(pool, same, .input = draw, .user = &drawn, .window = WINDOW);

    CHECK(iter != NULL);
    for (long i = 0; i < READ; i++) {
        long value = -1;

        CHECK_EQ(pp_next(iter, &value), 0);
        CHECK_EQ(value, i);
        most = drawn - i > most ? drawn - i : most;
        CHECK(drawn - i <= WINDOW + 1);
    }
    saw("%d read, never more than %ld drawn before", READ, most);
    pp_iter_free(iter);
    check_bystanders(pool);
    saw("20 of 20 others right");
    end_pool(pool);
}
