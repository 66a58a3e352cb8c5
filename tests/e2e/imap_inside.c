/* SPDX-License-Identifier: MIT */
/* What an input function may do with its pool. */
#include "source.h"

enum deed { APPLY, MAP, SUBMIT, NEXT, FREE, POOL_FREE, JOIN, TERMINATE, OTHER_NEXT };

struct doer {
    struct source source;
    enum deed deed;
    pp_pool *pool;
    pp_iter *iter, *other;
    pp_result *result;
    long calls;
    int codes[10];
};

static int act(struct doer *doer)
{
    long value = 0, items[] = { 1, 2, 3 }, out[3];
    int code;

    switch (doer->deed) {
    case APPLY:
        code = pp_apply(doer->pool, PP_CALL(square, 3), &value);
        return code ? code : (int)value;
    case MAP:
        code = pp_map(doer->pool, square, items, 3, out);
        return code ? code : (int)(out[0] + out[1] + out[2]);
    case SUBMIT:
        doer->result = pp_apply_async(doer->pool, PP_CALL(square, 3));
        return doer->result ? 0 : -errno;
    case NEXT:
        return pp_next(doer->iter, &value);
    case FREE:
        pp_iter_free(doer->iter);
        return 0;
    case POOL_FREE:
        return pp_pool_free(doer->pool);
    case JOIN:
        return pp_join(doer->pool);
    case TERMINATE:
        return pp_terminate(doer->pool);
    case OTHER_NEXT:
        code = pp_next(doer->other, &value);
        return code ? code : (int)value;
    }
    return -ENOSYS;
}

static bool draw_and_act(void *item, void *user)
{
    struct doer *doer = user;

    if (doer->calls < 10)
        doer->codes[doer->calls] = act(doer);
    doer->calls++;
    return draw(item, &doer->source);
}

static struct doer doer_of(pp_pool *pool, enum deed deed, long limit)
{
    return (struct doer){ .source = source_of(limit), .deed = deed, .pool = pool };
}

#define START(doer, ...)                                                                      \
    ((doer).iter =                                                                            \
         pp_imap((doer).pool, square, .input = draw_and_act, .user = &(doer), ##__VA_ARGS__))

static void check_squares(pp_iter *iter, long count)
{
    long value;

    for (long i = 0; i < count; i++) {
        CHECK_EQ(pp_next(iter, &value), 0);
        CHECK_EQ(value, i * i);
    }
    CHECK_EQ(pp_next(iter, &value), PP_STOP_ITERATION);
}

TEST(input_that_uses_the_pool)
{
    static const enum deed deeds[] = { APPLY, MAP, SUBMIT, NEXT, POOL_FREE, JOIN };
    static const int codes[] = { 9, 14, 0, -EDEADLK, -EDEADLK, -EDEADLK };
    pp_pool *pool = pool_of(2);

    for (EACH(i, deeds))
        for (EACH(c, chunks)) {
            struct doer doer = doer_of(pool, deeds[i], 20);

            START(doer, .chunksize = chunks[c]);
            check_squares(doer.iter, 20);
            CHECK_EQ(doer.calls, 21);
            for (int call = 0; call < 10; call++)
                CHECK_EQ(doer.codes[call], codes[i]);
        }
    finish(pool);
}

TEST(input_that_reads_another_iterator)
{
    pp_pool *pool = pool_of(2);
    struct source source = source_of(0);
    struct doer doer = doer_of(pool, OTHER_NEXT, 20);

    doer.other = pp_imap(pool, square, .input = draw, .user = &source);
    START(doer);
    check_squares(doer.iter, 20);
    for (int call = 0; call < 10; call++)
        CHECK_EQ(doer.codes[call], call * call);
    finish(pool);
}

/* It is not called again, and whoever waited for an item learns that there is none. */
TEST(input_that_frees_its_iterator)
{
    pp_pool *pool = pool_of(2);

    for (EACH(c, chunks)) {
        struct doer doer = doer_of(pool, FREE, 0);
        pp_result *result;
        long value = 77;

        START(doer, .chunksize = chunks[c]);
        CHECK_EQ(pp_next(doer.iter, &value), PP_STOP_ITERATION);
        CHECK_EQ(value, 77);
        CHECK_EQ(doer.calls, 1);
        doer = doer_of(pool, FREE, 0); /* in another wait */
        START(doer, .chunksize = chunks[c]);
        result = pp_apply_async(pool, PP_CALL(square, 7));
        CHECK_EQ(pp_get(result, &value), 0);
        CHECK_EQ(value, 49);
        CHECK(doer.calls <= 1);
        if (doer.calls == 0)
            pp_iter_free(doer.iter);
    }
    finish(pool);
}

TEST(input_that_terminates)
{
    for (EACH(c, chunks)) {
        pp_pool *pool = pool_of(2);
        struct doer doer = doer_of(pool, TERMINATE, 0);
        int code, items = 0;

        START(doer, .chunksize = chunks[c]);
        while ((code = pp_next(doer.iter, NULL)) == PP_ECANCELLED)
            items++;
        CHECK_EQ(code, -ESHUTDOWN);
        CHECK_EQ(doer.codes[0], 0);
        CHECK_EQ(items, doer.calls);
        CHECK_EQ(items, chunks[c] ? chunks[c] : 1); /* the chunk that was being drawn */
        CHECK_EQ(pp_next(doer.iter, NULL), -ESHUTDOWN);
        CHECK_EQ(pp_pool_free(pool), 0);
    }
}
