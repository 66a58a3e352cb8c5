/* SPDX-License-Identifier: MIT */
/* Callbacks in pp_poll(), and the descriptor that says when. */
#include <poll.h>

#include "battery.h"

struct seen {
    int calls, errors, code;
    long sum;
    pthread_t thread;
    pp_pool *pool;
};

static void add_up(pp_result *result, void *user)
{
    struct seen *seen = user;
    long value = 0;

    CHECK(pthread_equal(seen->thread, pthread_self()));
    CHECK_EQ(pp_get(result, &value), 0);
    seen->sum += value;
    seen->calls++;
}

static void count_error(pp_result *result, void *user)
{
    struct seen *seen = user;

    CHECK(pthread_equal(seen->thread, pthread_self()));
    seen->code = pp_get(result, NULL);
    seen->errors++;
}

static struct seen seen_of(int workers)
{
    return (struct seen){
        .pool = new_pool(.processes = workers, .callbacks = PP_CALLBACKS_POLL),
        .thread = pthread_self(),
    };
}

static void submit(struct seen *seen, int calls)
{
    for (int i = 0; i < calls; i++)
        CHECK(pp_apply_async(seen->pool, PP_CALL(square, 2), .callback = add_up,
                             .error_callback = count_error, .user = seen));
}

CASE(polling_what_cannot_be_polled)
{
    pp_pool *pool = new_pool(.processes = 1);

    CHECK_EQ(pp_poll(NULL), -EINVAL);
    CHECK_EQ(pp_pool_fd(NULL), -EINVAL);
    CHECK_EQ(pp_poll(pool), -EINVAL);
    CHECK_EQ(pp_pool_fd(pool), -EINVAL);
    finish(pool);
}

CASE(nothing_to_poll)
{
    struct seen seen = seen_of(1);

    CHECK_EQ(pp_poll(seen.pool), 0);
    CHECK_EQ(pp_apply(seen.pool, PP_CALL(square, 2), NULL), 0);
    CHECK_EQ(pp_poll(seen.pool), 0);
    finish(seen.pool);
}

CASE(poll_runs_callbacks)
{
    struct seen seen = seen_of(2);
    int calls = 0;

    submit(&seen, 100);
    CHECK_EQ(seen.calls, 0); /* not inside of submitting */
    while (calls < 100) {
        int ran = pp_poll(seen.pool);

        CHECK(ran >= 0);
        calls += ran;
        CHECK_EQ(seen.calls, calls);
    }
    CHECK_EQ(seen.sum, 400);
    CHECK_EQ(pp_poll(seen.pool), 0);
    finish(seen.pool);
    CHECK_EQ(seen.calls, 100);
}

CASE(waiting_runs_callbacks)
{
    struct seen seen = seen_of(1);
    pp_result *result = pp_apply_async(seen.pool, PP_CALL(square, 3), .callback = add_up,
                                       .user = &seen);
    long value = 0;

    CHECK_EQ(pp_get(result, &value), 0);
    CHECK_EQ(value, 9);
    CHECK_EQ(seen.calls, 1);
    submit(&seen, 50);
    CHECK_EQ(seen.calls, 1);
    CHECK_EQ(pp_close(seen.pool), 0);
    CHECK_EQ(pp_join(seen.pool), 0);
    CHECK_EQ(seen.calls, 51);
    CHECK_EQ(pp_pool_free(seen.pool), 0);
}

CASE(not_ready_before_polled)
{
    struct seen seen = seen_of(1);
    pp_result *result = pp_apply_async(seen.pool, PP_CALL(square, 3), .callback = add_up,
                                       .user = &seen);
    atomic_int *counter = counter_in(seen.pool);

    CHECK(pp_apply_async(seen.pool, PP_CALL(touch, counter)) != NULL);
    CHECK_SOON(atomic_load(counter) == 1); /* so that the one before is done */
    CHECK(!pp_ready(result));
    CHECK(!pp_successful(result));
    CHECK_EQ(seen.calls, 0);
    CHECK_SOON(pp_poll(seen.pool) == 1);
    CHECK(pp_ready(result));
    CHECK_EQ(seen.calls, 1);
    finish(seen.pool);
}

CASE(polled_error_callbacks)
{
    struct seen seen = seen_of(1);
    int codes[] = { 0, 7, 0 };

    CHECK(pp_map_async(seen.pool, raise_code, codes, 3, .callback = add_up,
                       .error_callback = count_error, .user = &seen));
    CHECK_SOON(pp_poll(seen.pool) == 1);
    CHECK_EQ(seen.errors, 1);
    CHECK_EQ(seen.code, PP_ERAISED);
    finish(seen.pool);
    CHECK_EQ(seen.calls, 0);
}

static bool readable(int fd)
{
    return poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, 0) == 1;
}

CASE(descriptor_is_readable_when_there_is_something)
{
    struct seen seen = seen_of(1);
    int fd = pp_pool_fd(seen.pool);

    CHECK(fd >= 0);
    CHECK_EQ(pp_pool_fd(seen.pool), fd);
    for (int i = 1; i <= 20; i++) {
        CHECK(!readable(fd));
        submit(&seen, 1);
        CHECK_SOON(readable(fd));
        CHECK_SOON(pp_poll(seen.pool) == 1);
        CHECK_EQ(seen.calls, i);
        CHECK_EQ(pp_poll(seen.pool), 0);
    }
    finish(seen.pool);
}

static bool has_nothing_to_do(pp_pool *pool)
{
    CHECK_EQ(pp_poll(pool), 0);
    return !readable(pp_pool_fd(pool));
}

/* While tasks run and nothing has ended it is quiet, but for a look now and then. */
CASE(descriptor_is_quiet_meanwhile)
{
    struct seen seen = seen_of(1);
    struct gate *gate = gate_in(seen.pool);

    CHECK(pp_apply_async(seen.pool, PP_CALL(wait_and_square, gate, 3), .callback = add_up,
                         .user = &seen));
    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    CHECK_SOON(has_nothing_to_do(seen.pool));
    gate_open(gate);
    CHECK_SOON(readable(pp_pool_fd(seen.pool)) && pp_poll(seen.pool) == 1);
    CHECK_EQ(seen.sum, 9);
    finish(seen.pool);
}

/* What the client ends itself has a callback to run as well. */
CASE(descriptor_is_readable_after_cancelling)
{
    struct seen seen = seen_of(1);
    struct gate *gate = gate_in(seen.pool);
    pp_result *result;

    CHECK(pp_apply_async(seen.pool, PP_CALL(wait_and_square, gate, 3)));
    result = pp_apply_async(seen.pool, PP_CALL(square, 3), .error_callback = count_error,
                            .user = &seen);
    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    CHECK_SOON(has_nothing_to_do(seen.pool));
    CHECK_EQ(pp_cancel(result), 0);
    CHECK(readable(pp_pool_fd(seen.pool)));
    CHECK_EQ(pp_poll(seen.pool), 1);
    CHECK_EQ(seen.code, PP_ECANCELLED);
    gate_open(gate);
    finish(seen.pool);
}

static void resubmit(pp_result *result, void *user)
{
    struct seen *seen = user;

    pp_result_free(result);
    if (++seen->calls < 500)
        CHECK(pp_apply_async(seen->pool, PP_CALL(square, 1), .callback = resubmit,
                             .user = seen));
}

/* An event loop: each callback submits the next call. */
CASE(event_loop)
{
    struct seen seen = seen_of(2);
    struct pollfd watched = { .fd = pp_pool_fd(seen.pool), .events = POLLIN };

    for (int i = 0; i < 4; i++)
        CHECK(pp_apply_async(seen.pool, PP_CALL(square, 1), .callback = resubmit,
                             .user = &seen));
    while (seen.calls < 500) {
        CHECK_EQ(poll(&watched, 1, 10000), 1);
        CHECK(pp_poll(seen.pool) >= 0);
    }
    finish(seen.pool);
}

static void poll_again(pp_result *result, void *user)
{
    struct seen *seen = user;

    (void)result;
    seen->code = pp_poll(seen->pool);
    seen->calls++;
}

CASE(polling_in_a_callback)
{
    struct seen seen = seen_of(1);

    CHECK(pp_apply_async(seen.pool, PP_CALL(square, 1), .callback = poll_again,
                         .user = &seen));
    CHECK_SOON(pp_poll(seen.pool) == 1);
    CHECK_EQ(seen.code, -EDEADLK);
    finish(seen.pool);
}

/* Beside workers that are threads. */
CASE(no_thread_for_callbacks)
{
    size_t before, none = threads();
    struct seen seen = seen_of(2);

    before = threads();
    CHECK(method == THREADS ? before >= none + 2 : before == none);
    submit(&seen, 10);
    while (seen.calls < 10)
        CHECK(pp_poll(seen.pool) >= 0);
    CHECK_EQ(threads(), before);
    finish(seen.pool);
}
