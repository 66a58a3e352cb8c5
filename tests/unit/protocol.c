/* SPDX-License-Identifier: MIT */
/*
 * The whole protocol, in schedules of steps in which workers die anywhere: every
 * item gets one outcome and is run at most once, and nothing hangs.
 */
#include "stepping.h"

#include <errno.h>
#include <procpool.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>

#include "engine.h"
#include "harness.h"
#include "rounds.h"
#include "steps.h"

enum { MOST_ITEMS = 24, MOST_RESULTS = 12 };

static struct random *source;
static unsigned runs[MOST_RESULTS * MOST_ITEMS]; /* how often each item was begun */
static bool endless[MOST_RESULTS * MOST_ITEMS];  /* these do not end unless they are stopped */

/* ---- Tasks: number says which item it is --------------------------------- */

static bool raises(long number)
{
    return number % 11 == 7;
}

static bool never(void *what)
{
    (void)what;
    return false;
}

static void begin_item(long number)
{
    runs[number]++;
    steps_yield();
    if (endless[number])
        steps_await(never, NULL);
    if (raises(number))
        pp_raise((int)number, "number %ld", number);
}

static long square(long number)
{
    begin_item(number);
    return number * number;
}
PP_TASK(long, square, long, number);

struct large {
    long value[100];
};

static struct large enlarge(long number)
{
    struct large large;

    begin_item(number);
    for (int i = 0; i < 100; i++)
        large.value[i] = number + i;
    return large;
}
PP_TASK(struct large, enlarge, long, number);

static void look(long number)
{
    begin_item(number);
}
PP_TASK(void, look, long, number);

/* NULL, a short text or a long one. */
static const char *expected_text(long number, char *text, size_t size)
{
    snprintf(text, size, "%0*ld", number % 3 == 1 ? 8 : 200, number);
    return number % 3 == 0 ? NULL : text;
}

static const char *spell(long number)
{
    static char texts[MOST_RESULTS * MOST_ITEMS][256];
    char *text = texts[number];

    begin_item(number);
    if (number % 2)
        text = pp_reserve(256);
    HOLDS(*source, text);
    return expected_text(number, text, 256);
}
PP_TASK(const char *, spell, long, number);

struct kind {
    const pp_task *task;
    bool (*is_right)(const char *value, long number);
};

static bool is_square(const char *value, long number)
{
    return *(const long *)(const void *)value == number * number;
}

static bool is_enlarged(const char *value, long number)
{
    const struct large *large = (const void *)value;

    return large->value[0] == number && large->value[99] == number + 99;
}

static bool is_looked_at(const char *value, long number)
{
    (void)value;
    (void)number;
    return true;
}

static bool is_spelt(const char *value, long number)
{
    char text[256];
    const char *expected = expected_text(number, text, sizeof text);
    const char *found = *(const char *const *)(const void *)value;

    return expected ? found && strcmp(found, expected) == 0 : !found;
}

static const struct kind kinds[] = {
    { &square_pp_task, is_square },
    { &enlarge_pp_task, is_enlarged },
    { &look_pp_task, is_looked_at },
    { &spell_pp_task, is_spelt },
};

/* ---- What the client does ------------------------------------------------ */

struct order {
    const struct kind *kind;
    long first; /* number */
    size_t count;
    pp_result *result;
    bool has_callback;
    unsigned called; /* back */
    bool limited, stops_on_error, is_cancelled;
    unsigned retries;
    size_t shown;    /* items done, as pp_progress_of() said last */
};

enum { MOST_THREADS = 3, EACH = MOST_RESULTS / MOST_THREADS };

static struct {
    pp_pool *pool;
    bool terminates, damaged, stops;
    bool loops; /* waits in an event loop until every callback was called */
    unsigned most; /* workers, in a pool that is resized; or 0 */
    unsigned threads;
    struct order orders[MOST_RESULTS]; /* so many for each thread */
    unsigned crashed;                  /* items */
} script;

static void called_back(pp_result *result, void *what)
{
    struct order *order = what;

    HOLDS(*source, order->called++ == 0);
    HOLDS(*source, pp_ready(result) && pp_failures(result) == 0);
}

static void called_back_with_error(pp_result *result, void *what)
{
    struct order *order = what;

    HOLDS(*source, order->called++ == 0);
    HOLDS(*source, pp_ready(result) && pp_failures(result) > 0);
}

/* Limits, and items that they are needed for. */
static void draw_limits(struct order *order, pp_map_async_options *options)
{
    order->limited = random_percent(source, 30);
    order->retries = random_percent(source, 30) ? random_below(source, 3) : 0;
    order->stops_on_error = random_percent(source, 20);
    order->is_cancelled = random_percent(source, 30);
    if ((order->limited || order->is_cancelled) && order->count > 0 &&
        random_percent(source, 60))
        endless[order->first + (long)random_below(source, (unsigned)order->count)] = true;
    options->time_limit = order->limited ? 1e-9 * (1 + random_below(source, 100)) : 0;
    options->grace = random_percent(source, 40) ? 1e-3 : 0;
    options->retries = (int)order->retries;
    options->stop_on_error = order->stops_on_error;
}

static void submit(struct order *order)
{
    long items[MOST_ITEMS];
    pp_map_async_options options = { .size = sizeof options, .user = order };

    order->kind = &kinds[random_below(source, 4)];
    order->first = (order - script.orders) * MOST_ITEMS;
    order->count = random_below(source, MOST_ITEMS + 1);
    order->has_callback =
        script.loops || (script.threads > 0 && random_percent(source, 30));
    options.chunksize = (long)random_below(source, 7);
    if (order->has_callback) {
        options.callback = called_back;
        options.error_callback = called_back_with_error;
    }
    if (script.stops)
        draw_limits(order, &options);
    for (size_t i = 0; i < order->count; i++)
        items[i] = order->first + (long)i;
    order->result =
        pp_map_async_with(script.pool, order->kind->task, items, order->count, &options);
    HOLDS(*source, order->result);
    HOLDS(*source, order->count > 0 || order->has_callback || pp_ready(order->result));
}

/* Cancels what is to be cancelled. */
static void cancel(const struct order *order)
{
    int error;

    if (!order->is_cancelled)
        return;
    error = pp_cancel(order->result);
    HOLDS(*source, error == 0 || (error == -EALREADY &&
                                  (order->has_callback || pp_ready(order->result))));
}

/* Waits for one of these, which must not be behind another that never ends. */
static void wait_for(const struct order *orders, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        cancel(&orders[i]);
    pp_wait(orders[random_below(source, count)].result);
}

/* Never back, and never more than were begun; a death may come just before that. */
static void check_progress(struct order *order)
{
    pp_progress progress = pp_progress_of(order->result);
    size_t begun = engine_deaths();

    for (size_t i = 0; i < order->count; i++)
        begun += runs[order->first + (long)i];
    HOLDS(*source, progress.total == order->count);
    HOLDS(*source, progress.done >= order->shown && progress.done <= progress.total);
    HOLDS(*source, progress.done <= begun || script.damaged || script.stops);
    HOLDS(*source, progress.failed <= progress.done);
    order->shown = progress.done;
}

static void resize_perhaps(void)
{
    while (script.most > 0 && random_percent(source, 30))
        HOLDS(*source,
              pp_pool_resize(script.pool, 1 + (int)random_below(source, script.most)) == 0);
}

/* When there is nothing to do, those that are dismissed go: none sleeps on. */
static void shrink_perhaps(void)
{
    if (script.most == 0 || script.stops || !random_percent(source, 30))
        return;
    for (unsigned i = 0; i < MOST_RESULTS; i++)
        if (script.orders[i].result)
            pp_wait(script.orders[i].result);
    HOLDS(*source, pp_pool_resize(script.pool, 1) == 0);
    engine_await_workers(1);
}

/* One thread's part. */
static void *submit_some(void *what)
{
    struct order *orders = what;
    unsigned wanted = random_below(source, EACH + 1);

    for (unsigned i = 0; i < wanted; i++) {
        submit(&orders[i]);
        resize_perhaps();
        while (random_percent(source, 40))
            check_progress(&orders[random_below(source, i + 1)]);
        if (random_percent(source, 30))
            wait_for(orders, i + 1);
        if (random_percent(source, 30))
            cancel(&orders[random_below(source, i + 1)]);
        resize_perhaps();
    }
    for (unsigned i = 0; i < wanted; i++)
        cancel(&orders[i]);
    return NULL;
}

/* An item that failed: for a reason, which is that of its result or the death of its
   worker. */
static void check_failure(const struct order *order, const pp_error *error)
{
    long number = order->first + (long)error->index;

    HOLDS(*source, error->index < order->count);
    HOLDS(*source, runs[number] <= 1 + order->retries);
    switch (error->kind) {
    case PP_RAISED:
        HOLDS(*source, raises(number) && error->code == number && runs[number] >= 1);
        break;
    case PP_TIMED_OUT:
        HOLDS(*source, order->limited); /* perhaps before its first step */
        break;
    case PP_CRASHED:
        HOLDS(*source, error->signal == SIGKILL || script.damaged);
        script.crashed++;
        break;
    case PP_CANCELLED:
        HOLDS(*source, script.terminates || order->is_cancelled || order->stops_on_error);
        break;
    default:
        FAIL_ROUND(*source, "a failure of a kind that cannot be");
    }
}

static void check_order(const struct order *order)
{
    static _Alignas(16) char values[MOST_ITEMS * sizeof(struct large)];
    size_t size = order->kind->task->result_size, failures = pp_failures(order->result);
    size_t failure = 0;

    memset(values, 0xee, sizeof values);
    HOLDS(*source, (pp_get(order->result, values) == 0) == (failures == 0));
    for (size_t i = 0; i < order->count; i++) {
        const pp_error *error = pp_failure(order->result, failure);
        long number = order->first + (long)i;

        if (error && error->index == i) {
            check_failure(order, error);
            failure++;
        } else {
            HOLDS(*source, runs[number] >= 1 && runs[number] <= 1 + order->retries);
            HOLDS(*source, !raises(number) && !endless[number]);
            HOLDS(*source, order->kind->is_right(values + i * size, number));
        }
    }
    HOLDS(*source, failure == failures);
}

static void submit_all(void)
{
    pthread_t threads[MOST_THREADS];

    for (unsigned i = 1; i < script.threads; i++)
        pthread_create(&threads[i], NULL, submit_some, &script.orders[i * EACH]);
    submit_some(script.orders);
    for (unsigned i = 1; i < script.threads; i++)
        pthread_join(threads[i], NULL);
}

static bool all_called(void)
{
    for (unsigned i = 0; i < MOST_RESULTS; i++)
        if (script.orders[i].result && script.orders[i].called == 0)
            return false;
    return true;
}

static bool is_readable(void *fd)
{
    struct pollfd poller = { .fd = *(int *)fd, .events = POLLIN };

    return poll(&poller, 1, 0) > 0;
}

static void loop(pp_pool *pool)
{
    int fd = pp_pool_fd(pool);

    HOLDS(*source, fd >= 0);
    while (!all_called()) {
        if (!is_readable(&fd))
            steps_await(is_readable, &fd);
        HOLDS(*source, pp_poll(pool) >= 0);
    }
}

static void use(pp_pool *pool)
{
    script.pool = pool;
    submit_all();
    if (script.loops)
        loop(pool);
    shrink_perhaps();
    HOLDS(*source, (script.terminates ? pp_terminate(pool) : pp_close(pool)) == 0);
    if (!script.terminates)
        resize_perhaps();
    HOLDS(*source, pp_join(pool) == 0);
    for (unsigned i = 0; i < MOST_RESULTS; i++) {
        const struct order *order = &script.orders[i];

        if (order->result) {
            check_order(order);
            HOLDS(*source, order->called == order->has_callback);
        }
    }
}

/* Drawn one after the other: the order in an initializer is the compiler's choice. */
static struct engine_options any_options(struct random *random)
{
    struct engine_options options = { .workers = 1 + random_below(random, 3) };

    options.spare_seats = 1 + random_below(random, 3);
    options.deaths = random_percent(random, 80) ? random_below(random, 6) : 0;
    options.max_items = random_percent(random, 30) ? 1 + random_below(random, 9) : 0;
    options.first_position = random_below(random, 5 * PPI_WINDOW);
    return options;
}

static void run_schedule(struct random *random, const struct engine_options *options,
                         unsigned threads, bool stops)
{
    source = random;
    memset(runs, 0, sizeof runs);
    memset(endless, 0, sizeof endless);
    memset(&script, 0, sizeof script);
    script.damaged = options->vandals;
    script.threads = threads;
    script.most = options->most;
    script.stops = stops;
    script.terminates = random_percent(random, 20);
    script.loops = options->callbacks == PP_CALLBACKS_POLL && random_percent(random, 40);
    HOLDS(*random, engine_run(random, options, use));
}

static void check_costs(struct random *random)
{
    HOLDS(*random, !engine_condemned());
    HOLDS(*random, !engine_unjust());
    HOLDS(*random, script.crashed <= engine_deaths());
    HOLDS(*random, script.terminates || script.crashed == engine_costs());
}

TEST(every_item_gets_one_outcome, .timeout = 40)
{
    FOR_ROUNDS(random, 4000) {
        struct engine_options options = any_options(&random);

        options.callbacks = PP_CALLBACKS_POLL;
        run_schedule(&random, &options, 0, false);
        check_costs(&random);
    }
}

/* Items are stopped at time limits, cancelled and retried. */
TEST(every_item_gets_one_outcome_when_some_are_stopped, .timeout = 60)
{
    FOR_ROUNDS(random, 6000) {
        struct engine_options options = any_options(&random);

        options.callbacks = PP_CALLBACKS_POLL;
        run_schedule(&random, &options, 0, true);
        HOLDS(random, script.crashed <= engine_deaths());
        HOLDS(random, !engine_condemned());
        HOLDS(random, !engine_unjust());
    }
}

TEST(every_item_gets_one_outcome_when_threads_stop_some, .timeout = 60)
{
    FOR_ROUNDS(random, 4000) {
        struct engine_options options = any_options(&random);

        run_schedule(&random, &options, 1 + random_below(&random, MOST_THREADS), true);
        HOLDS(random, script.crashed <= engine_deaths());
        HOLDS(random, !engine_condemned());
        HOLDS(random, !engine_unjust());
    }
}

/* The client has several threads, and the library one of its own. */
TEST(every_item_gets_one_outcome_in_threads, .timeout = 40)
{
    FOR_ROUNDS(random, 3000) {
        struct engine_options options = any_options(&random);

        run_schedule(&random, &options, 1 + random_below(&random, MOST_THREADS), false);
        check_costs(&random);
    }
}

/* Workers that damage the claims cost more items, but no more than that. */
TEST(every_item_gets_one_outcome_whatever_is_damaged, .timeout = 40)
{
    FOR_ROUNDS(random, 3000) {
        struct engine_options options = any_options(&random);

        options.vandals = true;
        options.callbacks = PP_CALLBACKS_POLL;
        run_schedule(&random, &options, 0, false);
    }
}

/* Workers come and go meanwhile, in whatever they are. */
TEST(every_item_gets_one_outcome_when_the_pool_is_resized, .timeout = 60)
{
    FOR_ROUNDS(random, 4000) {
        struct engine_options options = any_options(&random);

        options.most = options.workers + random_below(&random, 4);
        options.callbacks = PP_CALLBACKS_POLL;
        run_schedule(&random, &options, 0, false);
        check_costs(&random);
    }
}

TEST(every_item_gets_one_outcome_when_threads_resize_and_stop_some, .timeout = 60)
{
    FOR_ROUNDS(random, 4000) {
        struct engine_options options = any_options(&random);

        options.most = options.workers + random_below(&random, 4);
        run_schedule(&random, &options, 1 + random_below(&random, MOST_THREADS), true);
        HOLDS(random, script.crashed <= engine_deaths());
        HOLDS(random, !engine_condemned());
        HOLDS(random, !engine_unjust());
    }
}
