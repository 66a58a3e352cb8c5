/* SPDX-License-Identifier: MIT */
/* pp_imap() with an input function: what it is asked for, when, and what it may do. */
#include "battery.h"

/* The naturals below a limit, and what is known of how they were asked for. */
struct source {
    long next, limit; /* limit 0: none */
    long window;      /* if set: so many may be drawn and not yet read */
    long read;
    bool inside, ended;
    pthread_t thread;
    pp_pool *pool;
    pp_iter *iter;
    int code, joined, freed;
};

static struct source source_of(long limit)
{
    return (struct source){ .limit = limit, .thread = pthread_self() };
}

static bool draw(void *item, void *user)
{
    struct source *source = user;

    CHECK(!source->inside && !source->ended);
    CHECK(pthread_equal(source->thread, pthread_self()));
    CHECK_EQ(*(long *)item, 0);
    if (source->limit && source->next == source->limit) {
        source->ended = true;
        return false;
    }
    *(long *)item = source->next++;
    CHECK(!source->window || source->next - source->read <= source->window);
    return true;
}

static void check_all(pp_pool *pool, long count, long chunksize, long window)
{
    struct source source = source_of(count);
    pp_iter *iter = pp_imap(pool, square, .input = draw, .user = &source,
                            .chunksize = chunksize, .window = window);

    source.window = window;
    CHECK_EQ(source.next, 0); /* nothing is drawn yet */
    for (long i = 0; i < count; i++) {
        long value = -1;

        CHECK_EQ(pp_next(iter, &value), 0);
        CHECK_EQ(value, i * i);
        source.read++;
    }
    CHECK_EQ(pp_next(iter, NULL), PP_STOP_ITERATION);
    CHECK_EQ(pp_next(iter, NULL), PP_STOP_ITERATION);
    CHECK(source.ended);
    pp_iter_free(iter);
}

CASE(input_function)
{
    static const long counts[] = { 1, 2, 30, 1000 }, chunks[] = { 0, 1, 4 },
                      windows[] = { 0, 1, 4, 100 };
    pp_pool *pool = new_pool(.processes = 2);

    for (int n = 0; n < 4; n++)
        for (int c = 0; c < 3; c++)
            for (int w = 0; w < 4; w++)
                check_all(pool, counts[n], chunks[c], windows[w]);
    finish(pool);
}

static bool draw_nothing(void *item, void *user)
{
    (void)item;
    ++*(int *)user;
    return false;
}

CASE(input_of_nothing)
{
    pp_pool *pool = new_pool(.processes = 1);
    int calls = 0;
    pp_iter *iter = pp_imap(pool, square, .input = draw_nothing, .user = &calls);

    for (int i = 0; i < 3; i++)
        CHECK_EQ(pp_next(iter, NULL), PP_STOP_ITERATION);
    CHECK_EQ(calls, 1);
    finish(pool);
}

CASE(input_without_end)
{
    pp_pool *pool = new_pool(.processes = 2);

    for (int i = 0; i < 4; i++) {
        struct source source = source_of(0);
        pp_iter *iter;
        long value;

        source.window = 1 + 20 * i;
        iter = pp_imap(pool, square, .input = draw, .user = &source, .window = source.window,
                       .chunksize = i);
        for (long n = 0; n < 500; n++) {
            CHECK_EQ(pp_next(iter, &value), 0);
            CHECK_EQ(value, n * n);
            source.read++;
        }
        CHECK(source.next <= 500 + source.window);
        pp_iter_free(iter);
    }
    finish(pool);
}

CASE(unordered_input_without_end)
{
    enum { READ = 500, WINDOW = 40 };
    pp_pool *pool = new_pool(.processes = 2);
    struct source source = source_of(0);
    pp_iter *iter = pp_imap_unordered(pool, square, .input = draw, .user = &source,
                                      .window = WINDOW, .chunksize = 2);
    bool seen[READ + WINDOW] = { false };

    source.window = WINDOW;
    for (int n = 0; n < READ; n++) {
        size_t index = READ + WINDOW;
        long value = 0;

        CHECK_EQ(pp_next(iter, &value, .index = &index), 0);
        CHECK(index < READ + WINDOW && !seen[index]);
        CHECK_EQ(value, (long)(index * index));
        seen[index] = true;
        source.read++;
    }
    pp_iter_free(iter);
    finish(pool);
}

struct lines {
    int next;
    char buffer[64]; /* one for all */
};

static bool next_line(void *item, void *user)
{
    struct lines *lines = user;

    memset(lines->buffer, 'X', sizeof lines->buffer);
    if (lines->next == 300)
        return false;
    snprintf(lines->buffer, sizeof lines->buffer, "line %d", lines->next++);
    *(const char **)item = lines->buffer;
    return true;
}

CASE(input_that_uses_one_buffer)
{
    pp_pool *pool = new_pool(.processes = 2);
    struct lines lines = { 0 };
    pp_iter *iter = pp_imap(pool, echo, .input = next_line, .user = &lines);
    char expected[64];

    for (int i = 0; i < 300; i++) {
        const char *line = NULL;

        snprintf(expected, sizeof expected, "line %d", i);
        CHECK_EQ(pp_next(iter, &line), 0);
        CHECK_STR(line, expected);
    }
    CHECK_EQ(pp_next(iter, NULL), PP_STOP_ITERATION);
    finish(pool);
}

static bool draw_pair(void *item, void *user)
{
    PP_ARGS(wait_and_square) *args = item;
    struct source *source = user;

    if (source->next == source->limit)
        return false;
    args->gate = (struct gate *)source->pool; /* any pointer will do */
    args->x = source->next++;
    return true;
}

static long second(struct gate *gate, long x)
{
    return gate ? x * x : -1;
}
PP_TASK(long, second, struct gate *, gate, long, x);

CASE(input_of_several_parameters)
{
    pp_pool *pool = new_pool(.processes = 2);
    struct source source = { .limit = 100, .pool = pool };
    pp_iter *iter = pp_istarmap(pool, second, .input = draw_pair, .user = &source);

    for (long i = 0; i < 100; i++) {
        long value = 0;

        CHECK_EQ(pp_next(iter, &value), 0);
        CHECK_EQ(value, i * i);
    }
    CHECK_EQ(pp_next(iter, NULL), PP_STOP_ITERATION);
    finish(pool);
}

/* ---- What it may do, and what not ---- */

static bool draw_by_the_pool(void *item, void *user)
{
    struct source *source = user;

    if (source->next == source->limit)
        return false;
    CHECK_EQ(pp_apply(source->pool, PP_CALL(square, source->next++), item), 0);
    return true;
}

CASE(input_uses_the_pool)
{
    pp_pool *pool = new_pool(.processes = 1);
    struct source source = { .limit = 50, .pool = pool };
    pp_iter *iter = pp_imap(pool, square, .input = draw_by_the_pool, .user = &source);

    for (long i = 0; i < 50; i++) {
        long value = 0;

        CHECK_EQ(pp_next(iter, &value), 0);
        CHECK_EQ(value, i * i * i * i);
    }
    CHECK_EQ(pp_next(iter, NULL), PP_STOP_ITERATION);
    finish(pool);
}

static bool draw_in_vain(void *item, void *user)
{
    struct source *source = user;

    if (source->next == source->limit)
        return false;
    source->code = pp_next(source->iter, NULL);
    source->joined = pp_join(source->pool);
    source->freed = pp_pool_free(source->pool);
    *(long *)item = source->next++;
    return true;
}

CASE(input_waits_in_vain)
{
    pp_pool *pool = new_pool(.processes = 1);
    struct source source = { .limit = 3, .pool = pool };

    source.iter = pp_imap(pool, square, .input = draw_in_vain, .user = &source);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pp_next(source.iter, NULL), 0);
    CHECK_EQ(pp_next(source.iter, NULL), PP_STOP_ITERATION);
    CHECK_EQ(source.code, -EDEADLK);
    CHECK_EQ(source.joined, -EDEADLK);
    CHECK_EQ(source.freed, -EDEADLK);
    finish(pool);
}

static bool draw_and_free(void *item, void *user)
{
    struct source *source = user;

    if (source->next == 5)
        pp_iter_free(source->iter);
    *(long *)item = source->next++;
    return true;
}

CASE(input_frees_its_iterator)
{
    pp_pool *pool = new_pool(.processes = 1);
    struct source source = { .pool = pool };
    int code;

    source.iter = pp_imap(pool, square, .input = draw_and_free, .user = &source, .window = 1);
    while ((code = pp_next(source.iter, NULL)) == 0)
        CHECK(source.next < 6);
    CHECK_EQ(code, PP_STOP_ITERATION);
    CHECK_EQ(source.next, 6);
    check_works(pool);
    finish(pool);
}

/* From joining on it is not called any more; what was drawn can be read. */
CASE(input_is_not_called_after_join)
{
    pp_pool *pool = new_pool(.processes = 1);
    struct source source = source_of(0);
    pp_iter *iter = pp_imap(pool, square, .input = draw, .user = &source, .window = 10);
    long drawn, items = 1;
    int code;

    CHECK_EQ(pp_next(iter, NULL), 0);
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    drawn = source.next;
    while ((code = pp_next(iter, NULL)) == 0)
        items++;
    CHECK_EQ(code, -ESHUTDOWN);
    CHECK_EQ(items, drawn);
    CHECK_EQ(source.next, drawn);
    CHECK_EQ(pp_pool_free(pool), 0);
}
