/* SPDX-License-Identifier: MIT */
/* source.h - an input of iterators that knows when and where it may be called */
#ifndef TESTS_E2E_SOURCE_H
#define TESTS_E2E_SOURCE_H

#include <pthread.h>

#include "support.h"

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

__attribute__((unused)) static const size_t counts[] = { 0, 1, 2, 99, 1000 };
__attribute__((unused)) static const long chunks[] = { 0, 1, 2, 3, 7, 100 };
__attribute__((unused)) static const long windows[] = { 0, 1, 2, 10, 5000 };

#define EACH(i, array)                                                                        \
    size_t i = 0;                                                                             \
    i < sizeof array / sizeof array[0];                                                       \
    i++

/* The naturals below a limit, and what is known of how they were asked for. */
struct source {
    long next, limit; /* limit 0: none */
    long window;      /* if set: so many may be drawn and not read */
    long read;
    bool ended;
    bool inside;
    pthread_t thread;
    struct gate *gate;
    pp_pool *pool;
};

static inline bool draw(void *item, void *user)
{
    struct source *source = user;

    CHECK(!source->inside);
    CHECK(!source->ended);
    CHECK(pthread_equal(source->thread, pthread_self()));
    CHECK_EQ(*(long *)item, 0);
    source->inside = true;
    if (source->limit && source->next == source->limit) {
        source->ended = true;
        source->inside = false;
        *(long *)item = 4711;
        return false;
    }
    *(long *)item = source->next++;
    if (source->window)
        CHECK(source->next - source->read <= source->window);
    source->inside = false;
    return true;
}

static inline struct source source_of(long limit)
{
    return (struct source){ .limit = limit, .thread = pthread_self() };
}

/* Reads all of an iterator over a source. */
static inline void check(pp_pool *pool, size_t count, long chunk, long window, bool ordered)
{
    struct source source = source_of((long)count);
    pp_iter *iter;
    bool seen[1000] = { false };

    source.ended = false;
    source.window = window ? window : 0;
    iter = ordered ? pp_imap(pool, square, .input = draw, .user = &source, .chunksize = chunk,
                             .window = window)
                   : pp_imap_unordered(pool, square, .input = draw, .user = &source,
                                       .chunksize = chunk, .window = window);
    CHECK(iter != NULL);
    CHECK_EQ(source.next, 0); /* nothing is drawn yet */
    for (size_t i = 0; i < count; i++) {
        size_t index = (size_t)-1;
        long value = -1;

        CHECK_EQ(pp_next(iter, &value, .index = &index), 0);
        source.read++;
        CHECK(index < count && !seen[index] && (!ordered || index == i));
        CHECK_EQ(value, (long)(index * index));
        seen[index] = true;
    }
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pp_next(iter, NULL), PP_STOP_ITERATION);
    CHECK(source.ended);
    pp_iter_free(iter);
}

#endif
