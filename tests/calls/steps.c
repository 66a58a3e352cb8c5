/* SPDX-License-Identifier: MIT */
/* What scenarios are made of. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine.h"
#include "play.h"

void deviate(const char *format, ...)
{
    va_list arguments;

    if (atomic_fetch_add(&engine->deviations, 1) > 0)
        return;
    va_start(arguments, format);
    vsnprintf(engine->first, sizeof engine->first, format, arguments);
    va_end(arguments);
}

void violate(const char *format, ...)
{
    va_list arguments;

    if (!atomic_exchange(&engine->violated, true)) {
        va_start(arguments, format);
        vsnprintf(engine->why, sizeof engine->why, format, arguments);
        va_end(arguments);
    }
    _exit(1);
}

static bool is_one_of(int code, const int *codes)
{
    while (*codes && *codes != code)
        codes++;
    return *codes != 0;
}

/* ---- Making a pool ---- */

static pp_pool *try(pp_pool_options options)
{
    static const int documented[] = { EAGAIN, EMFILE, ENFILE, ENOMEM, ENOSYS, ENOTRECOVERABLE,
                                      ENOEXEC, EEXIST, ENOSPC, 0 };
    pp_error *error = NULL;
    pp_pool *pool;
    int code;

    options.error = &error;
    atomic_store(&engine->threaded, options.start == PP_THREADS);
    errno = 0;
    pool = pp_pool_new_with(&options);
    code = errno;
    if (pool)
        return pool;
    deviate("pp_pool_new: %s%s%s", strerrorname_np(code), error ? ": " : "",
            error ? error->message : "");
    atomic_store(&engine->refused, true);
    if (!is_one_of(code, documented))
        violate("pp_pool_new: %s is not documented", strerrorname_np(code));
    if (error && (!*error->message || (error->kind == PP_RAISED && error->code != code)))
        violate("pp_pool_new: %s, but the error says %d, %s", strerrorname_np(code),
                error->code, error->message);
    calls_free(error);
    return NULL;
}

pp_pool *play_pool(const struct play *play, pp_pool_options options)
{
    pp_pool *pool;

    options.size = sizeof options;
    options.start = play->start;
    pool = try(options);
    if (pool || play->lasting)
        return pool;
    pool = try(options); /* what failed before must not matter now */
    if (!pool)
        violate("a second pp_pool_new fails, too: %s", engine->first);
    return pool;
}

/* ---- Outcomes ---- */

bool was_submitted(const char *what, int code)
{
    static const int documented[] = { -ENOMEM, -EAGAIN, -ENOTRECOVERABLE, 0 };

    if (code == 0)
        return true;
    deviate("%s: %s", what, strerrorname_np(-code));
    if (!is_one_of(code, documented))
        violate("%s: %d (%s) is not documented", what, code, pp_strerror(code));
    return false;
}

bool has_succeeded(const char *what, int code, const pp_error *error)
{
    static const int documented[] = { PP_ERAISED, PP_ECRASHED, PP_EBROKEN, 0 };

    if (code == 0)
        return true;
    if (code > -10000)
        return was_submitted(what, code);
    deviate("%s: %s, %s", what, pp_strerror(code), error ? error->message : "?");
    if (!is_one_of(code, documented))
        violate("%s ended with %d (%s)", what, code, error ? error->message : "?");
    if (code == PP_ERAISED && error && error->code != ENOMEM)
        violate("%s raised %d", what, error->code);
    return false;
}

void play_end_of(const char *what, pp_result *result, int wanted)
{
    const pp_error *error;
    int code;

    if (!result) {
        was_submitted(what, -errno);
        return;
    }
    code = pp_get(result, NULL);
    error = pp_error_of(result);
    EXPECT((code == 0) == pp_successful(result));
    if (code != 0 && (!error || !*error->message))
        violate("%s ended with %d, and no error says why", what, code);
    if (code != wanted)
        has_succeeded(what, code, error);
    pp_result_free(result);
}

/* ---- The end ---- */

static long once_more(long x)
{
    return x + 1;
}
PP_TASK(long, once_more, long, x);

void play_still_works(const struct play *play, pp_pool *pool)
{
    for (int attempt = 1;; attempt++) {
        pp_error *error = NULL;
        long sum = 0;
        int code = pp_apply(pool, PP_CALL(once_more, 41), &sum, .error = &error);

        if (has_succeeded("the last call", code, error))
            EXPECT(sum == 42);
        calls_free(error);
        if (code == 0 || play->lasting)
            return;
        if (attempt == 2)
            violate("the pool does not work on: %s (%s)", pp_strerror(code), engine->first);
    }
}

void play_finish(pp_pool *pool)
{
    pp_stats stats;

    EXPECT(pp_close(pool) == 0);
    EXPECT(pp_join(pool) == 0);
    stats = pp_stats_of(pool);
    EXPECT(stats.queued == 0);
    EXPECT(stats.running == 0);
    EXPECT(pp_pool_free(pool) == 0);
}
