/* SPDX-License-Identifier: MIT */
/* Cancelling what waits, maps that stop on an error, progress. */
#include <math.h>

#include "battery.h"

static int wait_and_touch(struct gate *gate, atomic_int *counter)
{
    gate_wait(gate);
    return atomic_fetch_add(counter, 1);
}
PP_TASK(int, wait_and_touch, struct gate *, gate, atomic_int *, counter);

static void check_cancelled(pp_result *result)
{
    const pp_error *error = pp_error_of(result);

    CHECK_EQ(pp_get(result, NULL), PP_ECANCELLED);
    CHECK(pp_ready(result) && !pp_successful(result));
    error = pp_error_of(result);
    CHECK_EQ(error->kind, PP_CANCELLED);
    CHECK_EQ(error->code, 0);
    CHECK_EQ(pp_cancel(result), -EALREADY);
}

/* What waits does not begin; what runs before it is not touched. */
CASE(cancel_what_waits)
{
    enum { WAITING = 200 };
    pp_pool *pool = new_pool(.processes = 1);
    struct gate *gate = gate_in(pool);
    atomic_int *counter = counter_in(pool);
    pp_result *running = pp_apply_async(pool, PP_CALL(wait_and_square, gate, 3));
    pp_result *waiting[WAITING];
    long value = 0;

    for (int i = 0; i < WAITING; i++)
        waiting[i] = pp_apply_async(pool, PP_CALL(touch, counter));
    for (int i = 0; i < WAITING; i += 2)
        CHECK_EQ(pp_cancel(waiting[i]), 0);
    for (int i = 0; i < WAITING; i += 2)
        check_cancelled(waiting[i]);
    gate_open(gate);
    CHECK_EQ(pp_get(running, &value), 0);
    CHECK_EQ(value, 9);
    for (int i = 1; i < WAITING; i += 2)
        CHECK_EQ(pp_get(waiting[i], NULL), 0);
    finish(pool);
}

CASE(cancelled_is_never_run)
{
    pp_pool *pool = new_pool(.processes = 1);
    struct gate *gate = gate_in(pool);
    atomic_int *counter = counter_in(pool);
    atomic_int *items[100];
    pp_result *result;

    for (int i = 0; i < 100; i++)
        items[i] = counter;
    CHECK(pp_apply_async(pool, PP_CALL(wait_and_square, gate, 3)));
    result = pp_map_async(pool, touch, items, 100, .chunksize = 10);
    CHECK_EQ(pp_cancel(result), 0);
    check_cancelled(result);
    CHECK_EQ(pp_failures(result), 100);
    gate_open(gate);
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(atomic_load(counter), 0);
    CHECK_EQ(pp_pool_free(pool), 0);
}

CASE(cancel_what_is_there)
{
    pp_pool *pool = new_pool(.processes = 1);
    pp_result *result = pp_apply_async(pool, PP_CALL(square, 3));
    long value = 0;

    CHECK_EQ(pp_wait(result), 0);
    CHECK_EQ(pp_cancel(result), -EALREADY);
    CHECK_EQ(pp_get(result, &value), 0);
    CHECK_EQ(value, 9);
    CHECK(pp_successful(result));
    finish(pool);
}

/* Within a chunk: what is done stays done, what has not begun does not begin.  The item
   in between is killed in a process; elsewhere it runs to its end. */
CASE(cancel_between_the_items_of_a_chunk)
{
    pp_pool *pool = new_pool(.processes = 1);
    struct gate *open = gate_in(pool), *closed = gate_in(pool);
    PP_ARGS(wait_and_square) items[10];
    long out[10] = { 0 };
    pp_result *result;

    gate_open(open);
    for (long i = 0; i < 10; i++)
        items[i] = (PP_ARGS(wait_and_square)){ i == 4 ? closed : open, i };
    result = pp_starmap_async(pool, wait_and_square, items, 10, .chunksize = 10);
    CHECK_SOON(atomic_load(&closed->waiting) == 1);
    CHECK_EQ(pp_cancel(result), 0);
    let_end(closed);
    CHECK_EQ(pp_get(result, out), PP_ECANCELLED);
    CHECK_EQ(pp_failures(result), in_processes() ? 6 : 5);
    for (long i = 1; i < 4; i++)
        CHECK_EQ(out[i], i * i);
    CHECK_EQ(out[4], in_processes() ? 0 : 16);
    for (long i = 5; i < 10; i++)
        CHECK_EQ(out[i], 0);
    CHECK_EQ(atomic_load(&open->waiting), 4);
    check_works(pool);
    finish(pool);
}

static void note_code(pp_result *result, void *user)
{
    atomic_store((atomic_int *)user, pp_get(result, NULL));
}

CASE(cancel_calls_the_error_callback)
{
    pp_pool *pool = new_pool(.processes = 1);
    struct gate *gate = gate_in(pool);
    atomic_int code = 0, none = 0;
    pp_result *result;

    CHECK(pp_apply_async(pool, PP_CALL(wait_and_square, gate, 3)));
    result = pp_apply_async(pool, PP_CALL(square, 3), .callback = note_code,
                            .error_callback = note_code, .user = &code);
    CHECK(
        pp_apply_async(pool, PP_CALL(square, 3), .error_callback = note_code, .user = &none));
    CHECK_EQ(pp_cancel(result), 0);
    CHECK_EQ(pp_wait(result), 0);
    CHECK_EQ(atomic_load(&code), PP_ECANCELLED);
    gate_open(gate);
    finish(pool);
    CHECK_EQ(atomic_load(&none), 0);
}

/* An iterator that is freed takes back what has not begun. */
CASE(freed_iterator_is_cancelled)
{
    pp_pool *pool = new_pool(.processes = 1);
    struct gate *gate = gate_in(pool);
    atomic_int *counter = counter_in(pool);
    PP_ARGS(wait_and_touch) items[50];
    pp_iter *iter;

    for (int i = 0; i < 50; i++)
        items[i] = (PP_ARGS(wait_and_touch)){ gate, counter };
    iter = pp_istarmap(pool, wait_and_touch, .items = items, .count = 50);
    CHECK_EQ(pp_next(iter, NULL, .timeout = 0), -ETIMEDOUT); /* now they are on their way */
    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    pp_iter_free(iter);
    gate_open(gate);
    finish(pool);
}

/* ---- Stop on error ---- */

static int touch_and_raise(atomic_int *counter, int code)
{
    atomic_fetch_add(counter, 1);
    return raise_code(code);
}
PP_TASK(int, touch_and_raise, atomic_int *, counter, int, code);

/* Each item was either run or cancelled, and the one that failed is told. */
static void check_stopped(pp_result *result, size_t count, const atomic_int *counter)
{
    size_t cancelled = 0;

    for (size_t i = 0; i < pp_failures(result); i++)
        cancelled += pp_failure(result, i)->kind == PP_CANCELLED;
    CHECK_EQ(pp_failures(result), cancelled + 1);
    CHECK_EQ((size_t)atomic_load(counter) + cancelled, count);
    CHECK_EQ(pp_error_of(result)->kind, PP_RAISED);
    CHECK_EQ(pp_error_of(result)->index, 20);
    CHECK_EQ(pp_error_of(result)->code, 5);
}

CASE(stop_on_error)
{
    enum { COUNT = 20000 };
    pp_pool *pool = new_pool(.processes = 2);
    atomic_int *counter = counter_in(pool);
    PP_ARGS(touch_and_raise) *items = calloc(COUNT, sizeof *items);
    pp_error *error = NULL;

    for (int i = 0; i < COUNT; i++)
        items[i] = (PP_ARGS(touch_and_raise)){ counter, i == 20 ? 5 : 0 };
    for (long chunksize = 0; chunksize < 5; chunksize += 2) {
        pp_result *result = pp_starmap_async(pool, touch_and_raise, items, COUNT,
                                             .chunksize = chunksize, .stop_on_error = true);

        CHECK_EQ(pp_get(result, NULL), PP_ERAISED);
        check_stopped(result, COUNT, counter);
        atomic_store(counter, 0);
    }
    CHECK_EQ(pp_starmap(pool, touch_and_raise, items, COUNT, NULL, .stop_on_error = true,
                        .error = &error),
             PP_ERAISED);
    CHECK_EQ(error->index, 20);
    free(error);
    free(items);
    check_works(pool);
    finish(pool);
}

static int pass_and_raise(struct gate *gate, atomic_int *counter, int code)
{
    gate_wait(gate);
    return touch_and_raise(counter, code);
}
PP_TASK(int, pass_and_raise, struct gate *, gate, atomic_int *, counter, int, code);

/* Of the rest of its chunk only the next item may have begun when the client hears of the
   failure; inline that is at once. */
CASE(stop_on_error_within_a_chunk)
{
    pp_pool *pool = new_pool(.processes = 1);
    atomic_int *counter = counter_in(pool);
    struct gate *open = gate_in(pool), *gate = gate_in(pool);
    PP_ARGS(pass_and_raise) items[100];
    pp_result *result;

    gate_open(open);
    for (int i = 0; i < 100; i++)
        items[i] =
            (PP_ARGS(pass_and_raise)){ i > 20 ? gate : open, counter, i == 20 ? 5 : 0 };
    result = pp_starmap_async(pool, pass_and_raise, items, 100, .chunksize = 100,
                              .stop_on_error = true);
    CHECK_SOON(pp_progress_of(result).failed > 0);
    gate_open(gate);
    CHECK_EQ(pp_get(result, NULL), PP_ERAISED);
    check_stopped(result, 100, counter);
    CHECK(atomic_load(counter) <= (runs_later() ? 22 : 21));
    finish(pool);
}

CASE(stop_on_error_without_error)
{
    pp_pool *pool = new_pool(.processes = 2);
    long items[100], out[100];

    for (long i = 0; i < 100; i++)
        items[i] = i;
    CHECK_EQ(pp_map(pool, square, items, 100, out, .stop_on_error = true), 0);
    for (long i = 0; i < 100; i++)
        CHECK_EQ(out[i], i * i);
    finish(pool);
}

/* ---- Progress ---- */

static void check_ended(pp_progress progress, size_t total, size_t failed)
{
    CHECK_EQ(progress.total, total);
    CHECK_EQ(progress.done, total);
    CHECK_EQ(progress.failed, failed);
    CHECK(progress.elapsed >= 0 && !isinf(progress.elapsed));
    CHECK_EQ(progress.eta, 0);
}

CASE(progress_of_a_map)
{
    pp_pool *pool = new_pool(.processes = 1);
    struct gate *open = gate_in(pool), *gate = gate_in(pool);
    PP_ARGS(wait_and_square) items[10];
    pp_result *result;
    pp_progress progress;

    gate_open(open);
    for (long i = 0; i < 10; i++)
        items[i] = (PP_ARGS(wait_and_square)){ i < 4 ? open : gate, i };
    result = pp_starmap_async(pool, wait_and_square, items, 10, .chunksize = 5);
    if (runs_later()) {
        CHECK_SOON(pp_progress_of(result).done == 4);
        progress = pp_progress_of(result);
        CHECK_EQ(progress.total, 10);
        CHECK_EQ(progress.failed, 0);
        CHECK(progress.eta > 0 && progress.rate > 0);
        CHECK_EQ(pp_progress_of(result).done, 4);
    }
    gate_open(gate);
    CHECK_EQ(pp_wait(result), 0);
    check_ended(pp_progress_of(result), 10, 0);
    finish(pool);
}

CASE(progress_with_failures)
{
    pp_pool *pool = new_pool(.processes = 2);
    int codes[] = { 1, 0, 2, 0, 3 };
    pp_result *map = pp_map_async(pool, raise_code, codes, 5);
    pp_result *call = pp_apply_async(pool, PP_CALL(raise_code, 1));
    pp_result *nothing = pp_map_async(pool, raise_code, codes, 0);

    CHECK_EQ(pp_wait(map), 0);
    CHECK_EQ(pp_wait(call), 0);
    check_ended(pp_progress_of(map), 5, 3);
    check_ended(pp_progress_of(call), 1, 1);
    check_ended(pp_progress_of(nothing), 0, 0);
    CHECK_EQ(pp_progress_of(NULL).total, 0);
    finish(pool);
}

/* As long as nothing is done nobody knows how long it takes. */
CASE(progress_before_the_first_item)
{
    pp_pool *pool = new_pool(.processes = 1);
    struct gate *gate = gate_in(pool);
    pp_result *result = pp_apply_async(pool, PP_CALL(wait_and_square, gate, 1));
    pp_progress progress = pp_progress_of(result);

    if (runs_later()) {
        CHECK_EQ(progress.total, 1);
        CHECK_EQ(progress.done, 0);
        CHECK_EQ(progress.rate, 0);
        CHECK(isinf(progress.eta));
        CHECK_EQ(pp_wait(result, .timeout = 0.01), -ETIMEDOUT);
    }
    gate_open(gate);
    CHECK_EQ(pp_wait(result), 0);
    check_ended(pp_progress_of(result), 1, 0);
    finish(pool);
}

/* What is not a terminal gets nothing written. */
CASE(progress_bar)
{
    pp_pool *pool = new_pool(.processes = 1);
    pp_result *result = pp_apply_async(pool, PP_CALL(square, 3));
    FILE *file = tmpfile();

    CHECK_EQ(pp_progress_bar(result, NULL), -EINVAL);
    CHECK_EQ(pp_progress_bar(NULL, file), -EINVAL);
    CHECK_EQ(pp_progress_bar(result, file), 0);
    CHECK_EQ(ftell(file), 0);
    fclose(file);
    finish(pool);
}
