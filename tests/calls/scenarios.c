/* SPDX-License-Identifier: MIT */
/* What is done with a pool while calls fail. */
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine.h"
#include "play.h"

enum { SMALL_MAP = 200, LARGE = 300000, LARGE_MAP = 12, MANY = 6000 };

/* ---- Tasks ---- */

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

static const char *greet(const char *name)
{
    size_t size = strlen(name) + 16;
    char *text = pp_reserve(size);

    if (!text)
        pp_raise(ENOMEM, "no room");
    snprintf(text, size, "hello %s", name);
    return text;
}
PP_TASK(const char *, greet, const char *, name);

static pp_bytes fill(long size, long byte)
{
    void *data = pp_reserve((size_t)size);

    if (!data)
        pp_raise(ENOMEM, "no room");
    return (pp_bytes){ memset(data, (int)byte, (size_t)size), (size_t)size };
}
PP_TASK(pp_bytes, fill, long, size, long, byte);

static long count_bytes(pp_bytes bytes)
{
    return (long)bytes.size;
}
PP_TASK(long, count_bytes, pp_bytes, bytes);

static void increase(long *number)
{
    ++*number;
}
PP_TASK(void, increase, long *, number);

static void complain(void)
{
    pp_raise(7, "as asked");
}
PP_TASK(void, complain);

static long fault(long x)
{
    if (x >= 0)
        raise(SIGSEGV);
    return x;
}
PP_TASK(long, fault, long, x);

static void leave(void)
{
    _exit(3);
}
PP_TASK(void, leave);

static void take_ages(void)
{
    for (;;)
        pause();
}
PP_TASK(void, take_ages);

static int second_time(void)
{
    if (pp_attempt() == 1)
        _exit(4);
    return pp_attempt();
}
PP_TASK(int, second_time);

/* ---- Steps that several scenarios take ---- */

static void apply_square(pp_pool *pool, long x)
{
    pp_error *error = NULL;
    long result = -1;
    int code = pp_apply(pool, PP_CALL(square, x), &result, .error = &error);

    if (has_succeeded("apply", code, error))
        EXPECT(result == x * x);
    calls_free(error);
}

/* A map whose items succeed or not, each by itself. */
static void map_squares(pp_pool *pool, long chunksize)
{
    long items[SMALL_MAP], out[SMALL_MAP];
    pp_error *error = NULL;
    int code;

    for (long i = 0; i < SMALL_MAP; i++) {
        items[i] = i;
        out[i] = -1;
    }
    code = pp_map(pool, square, items, SMALL_MAP, out, .chunksize = chunksize,
                  .error = &error);
    has_succeeded("map", code, error);
    for (long i = 0; i < SMALL_MAP; i++)
        if (out[i] != i * i && (code == 0 || out[i] != -1))
            violate("item %ld of a map has %ld", i, out[i]);
    calls_free(error);
}

static void take_strings(pp_pool *pool)
{
    static const char *const names[] = { "Ada", "Brian", "Dennis", "Ken" };
    const char *out[4] = { NULL };
    pp_error *error = NULL;
    char wanted[32];

    has_succeeded("map of strings",
                  pp_map(pool, greet, names, 4, out, .error = &error), error);
    for (int i = 0; i < 4; i++) {
        snprintf(wanted, sizeof wanted, "hello %s", names[i]);
        EXPECT(out[i] ? strcmp(out[i], wanted) == 0 : atomic_load(&engine->deviations) > 0);
        calls_free((void *)(uintptr_t)out[i]);
    }
    calls_free(error);
}

static void take_large(pp_pool *pool)
{
    static char data[LARGE];
    PP_ARGS(fill) items[LARGE_MAP];
    pp_bytes out[LARGE_MAP] = { { NULL, 0 } }, one = { NULL, 0 };
    pp_error *error = NULL;
    long size = -1;

    if (has_succeeded("large result", pp_apply(pool, PP_CALL(fill, LARGE, 7), &one), NULL))
        EXPECT(one.size == LARGE && ((const char *)one.data)[LARGE - 1] == 7);
    calls_free((void *)(uintptr_t)one.data);
    if (has_succeeded("large arguments",
                      pp_apply(pool, PP_CALL(count_bytes, { data, LARGE }), &size), NULL))
        EXPECT(size == LARGE);
    for (int i = 0; i < LARGE_MAP; i++)
        items[i] = (PP_ARGS(fill)){ .size = 70000, .byte = i };
    has_succeeded("map of large results",
                  pp_starmap(pool, fill, items, LARGE_MAP, out, .error = &error), error);
    for (int i = 0; i < LARGE_MAP; i++) {
        EXPECT(!out[i].data || (out[i].size == 70000 && *(const char *)out[i].data == i));
        calls_free((void *)(uintptr_t)out[i].data);
    }
    calls_free(error);
}

static void use_shared(pp_pool *pool)
{
    long *number = pp_shared_alloc(pool, 200000);

    if (!number) {
        if (errno != ENOMEM && errno != ESHUTDOWN)
            violate("pp_shared_alloc: %s", strerrorname_np(errno));
        deviate("pp_shared_alloc: %s", strerrorname_np(errno));
        return;
    }
    EXPECT(*number == 0);
    if (has_succeeded("shared", pp_apply(pool, PP_CALL(increase, number), NULL), NULL))
        EXPECT(*number == 1);
    EXPECT(pp_shared_free(pool, number) == 0);
}

/* ---- Callbacks ---- */

static atomic_uint told_well, told_ill, died;

static void tell_well(pp_result *result, void *user)
{
    (void)result;
    (void)user;
    atomic_fetch_add(&told_well, 1);
}

static void tell_ill(pp_result *result, void *user)
{
    (void)result;
    (void)user;
    atomic_fetch_add(&told_ill, 1);
}

static void tell_death(const pp_death *death, void *user)
{
    (void)user;
    EXPECT(death->message && *death->message);
    atomic_fetch_add(&died, 1);
}

/* Each submitted call has its callback called, once. */
static void be_called_back(pp_pool *pool)
{
    unsigned before = atomic_load(&told_well) + atomic_load(&told_ill), submitted = 0;
    pp_result *results[3];

    for (int i = 0; i < 3; i++) {
        results[i] = i < 2 ? pp_apply_async(pool, PP_CALL(square, i), .callback = tell_well,
                                            .error_callback = tell_ill)
                           : pp_apply_async(pool, PP_CALL(complain), .callback = tell_well,
                                            .error_callback = tell_ill);
        submitted += results[i] != NULL;
        if (!results[i])
            was_submitted("apply_async with callbacks", -errno);
    }
    for (int i = 0; i < 3; i++)
        if (results[i])
            play_end_of("called back", results[i], i < 2 ? 0 : PP_ERAISED);
    EXPECT(atomic_load(&told_well) + atomic_load(&told_ill) == before + submitted);
}

/* ---- Iterators ---- */

static bool draw(void *item, void *user)
{
    long *next = user;

    *(long *)item = *next;
    return ++*next <= 40;
}

static void iterate(pp_pool *pool, bool ordered)
{
    long next = 0, value, seen = 0;
    pp_iter *iter = ordered ? pp_imap(pool, square, .input = draw, .user = &next)
                            : pp_imap_unordered(pool, square, .input = draw, .user = &next,
                                                .chunksize = 3);
    int code;

    if (!iter) {
        was_submitted("imap", -errno);
        return;
    }
    while ((code = pp_next(iter, &value)) != PP_STOP_ITERATION) {
        if (code == -ENOMEM && atomic_load(&engine->deviations) > 100)
            break; /* there will never be any */
        if (code == -ESHUTDOWN) {
            deviate("pp_next: ESHUTDOWN");
            break;
        }
        if (has_succeeded("pp_next", code, pp_iter_error(iter)))
            EXPECT(!ordered || value == seen * seen || atomic_load(&engine->deviations) > 0);
        seen += code != -ENOMEM;
    }
    EXPECT(code != PP_STOP_ITERATION || seen == 40);
    pp_iter_free(iter);
}

/* ---- Scenarios ---- */

static int initialize(void *arg)
{
    return arg ? *(int *)arg : 0;
}

static void finalize(void *local)
{
    (void)local;
}

static void begin_and_end(const struct play *play)
{
    int zero = 0;
    pp_pool_options options = { .processes = 2,
                                .initializer = initialize,
                                .initarg = &zero,
                                .initarg_size = sizeof zero,
                                .finalizer = finalize,
                                .pin = play->start != PP_INLINE };
    pp_pool *pool = play_pool(play, options);

    if (!pool)
        return;
    play_still_works(play, pool);
    play_finish(pool);
}

static void default_size(const struct play *play)
{
    pp_pool *pool = play_pool(play, (pp_pool_options){ .processes = 0 });

    if (!pool)
        return;
    apply_square(pool, 3);
    EXPECT(pp_terminate(pool) == 0);
    EXPECT(pp_pool_free(pool) == 0);
}

static void values(const struct play *play)
{
    pp_pool *pool = play_pool(play, (pp_pool_options){ .processes = 2 });

    if (!pool)
        return;
    apply_square(pool, 12);
    map_squares(pool, 0);
    map_squares(pool, 3);
    take_strings(pool);
    take_large(pool);
    use_shared(pool);
    play_still_works(play, pool);
    play_finish(pool);
}

static void asynchronous(const struct play *play)
{
    pp_pool *pool = play_pool(play, (pp_pool_options){ .processes = 2 });

    if (!pool)
        return;
    be_called_back(pool);
    iterate(pool, true);
    iterate(pool, false);
    play_still_works(play, pool);
    play_finish(pool);
}

/* More than there is room for in shared memory. */
static void backlog(const struct play *play)
{
    pp_pool *pool = play_pool(play, (pp_pool_options){ .processes = 2 });
    static long items[MANY];
    pp_result *map, *call;

    if (!pool)
        return;
    map = pp_map_async(pool, square, items, MANY, .chunksize = 1);
    call = pp_apply_async(pool, PP_CALL(greet, "a call that has to wait"));
    play_end_of("call behind a map", call, 0);
    play_end_of("long map", map, 0);
    play_still_works(play, pool);
    play_finish(pool);
}

static void event_loop(const struct play *play)
{
    pp_pool_options options = { .processes = 2,
                                .callbacks = PP_CALLBACKS_POLL,
                                .on_death = tell_death };
    pp_pool *pool = play_pool(play, options);
    pp_result *results[3];
    struct pollfd fd;
    int count;

    if (!pool)
        return;
    fd = (struct pollfd){ .fd = pp_pool_fd(pool), .events = POLLIN };
    EXPECT(fd.fd >= 0);
    for (int i = 0; i < 3; i++) {
        results[i] = pp_apply_async(pool, PP_CALL(square, i), .callback = tell_well,
                                    .error_callback = tell_ill);
        if (!results[i])
            was_submitted("apply_async", -errno);
    }
    for (int i = 0; i < 3; i++) {
        while (results[i] && !pp_ready(results[i])) {
            count = poll(&fd, 1, 10000);
            if (count == 0)
                violate("the descriptor of the pool is not readable when there is work");
            EXPECT(pp_poll(pool) >= 0);
        }
        if (results[i])
            play_end_of("polled", results[i], 0);
    }
    play_still_works(play, pool);
    play_finish(pool);
}

/* Deaths of each kind. */
static void deaths(const struct play *play)
{
    pp_pool_options options = { .processes = 2, .on_death = tell_death };
    pp_pool *pool = play_pool(play, options);
    long items[6] = { -1, -2, 3, -4, -5, -6 };

    if (!pool)
        return;
    play_end_of("crash", pp_apply_async(pool, PP_CALL(fault, 1)), PP_ECRASHED);
    play_end_of("exit", pp_apply_async(pool, PP_CALL(leave)), PP_ECRASHED);
    play_end_of("crash in a map", pp_map_async(pool, fault, items, 6, .chunksize = 6),
                PP_ECRASHED);
    play_end_of("retry", pp_apply_async(pool, PP_CALL(second_time), .retries = 1), 0);
    play_still_works(play, pool);
    play_finish(pool);
}

/* What is stopped before it ends. */
static void stops(const struct play *play)
{
    pp_pool *pool = play_pool(play, (pp_pool_options){ .processes = 2 });
    pp_result *result;
    int code;

    if (!pool)
        return;
    play_end_of("time limit", pp_apply_async(pool, PP_CALL(take_ages), .time_limit = 0.002),
                PP_ETIMELIMIT);
    play_end_of("time limit with grace",
                pp_apply_async(pool, PP_CALL(take_ages), .time_limit = 0.002, .grace = 0.05),
                PP_ETIMELIMIT);
    result = pp_apply_async(pool, PP_CALL(take_ages));
    if (result) {
        pp_wait(result, .timeout = 0.003);
        code = pp_cancel(result);
        EXPECT(code == 0 || (code == -EALREADY && pp_ready(result)));
    }
    play_end_of("cancelled", result, PP_ECANCELLED);
    play_still_works(play, pool);
    play_finish(pool);
}

/* Workers come and go. */
static void sizes(const struct play *play)
{
    pp_pool_options options = { .processes = 2,
                                .max_processes = 6,
                                .max_tasks_per_child = 20 };
    pp_pool *pool = play_pool(play, options);

    if (!pool)
        return;
    map_squares(pool, 5);
    was_submitted("resize", pp_pool_resize(pool, 4));
    map_squares(pool, 5);
    was_submitted("resize", pp_pool_resize(pool, 1));
    map_squares(pool, 5);
    play_still_works(play, pool);
    play_finish(pool);
}

/* Ended while it works. */
static void terminated(const struct play *play)
{
    pp_pool *pool = play_pool(play, (pp_pool_options){ .processes = 2 });
    pp_result *result;
    int code;

    if (!pool)
        return;
    result = play->start == PP_THREADS || play->start == PP_INLINE
                 ? pp_apply_async(pool, PP_CALL(square, 5))
                 : pp_apply_async(pool, PP_CALL(take_ages));
    if (!result)
        was_submitted("apply_async", -errno);
    EXPECT(pp_terminate(pool) == 0);
    if (result) {
        code = pp_get(result, NULL, .timeout = 0);
        if (code != PP_ECANCELLED && code != 0)
            has_succeeded("terminated", code, pp_error_of(result));
    }
    EXPECT(pp_pool_free(pool) == 0);
}

/* Freed as it is, with results open. */
static void freed(const struct play *play)
{
    pp_pool *pool = play_pool(play, (pp_pool_options){ .processes = 2 });

    if (!pool)
        return;
    for (int i = 0; i < 5; i++)
        if (!pp_apply_async(pool, PP_CALL(greet, "nobody"), .callback = tell_well))
            was_submitted("apply_async", -errno);
    EXPECT(pp_pool_free(pool) == 0);
}

const struct scenario scenarios[] = {
    { "begin", begin_and_end, false, false },
    { "size", default_size, false, false },
    { "values", values, false, false },
    { "async", asynchronous, false, false },
    { "backlog", backlog, false, false },
    { "events", event_loop, false, false },
    { "terminate", terminated, false, false },
    { "free", freed, false, false },
    { "resize", sizes, true, false },
    { "deaths", deaths, true, false },
    { "stops", stops, true, false },
    { "spares", deaths, true, true },
};

const unsigned scenario_count = sizeof scenarios / sizeof *scenarios;
