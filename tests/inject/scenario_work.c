/* SPDX-License-Identifier: MIT */
/* Scenarios in which tasks are submitted, run and taken in; none of them does any harm. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "judge.h"
#include "scenarios.h"

/* ---- Calls ---- */

static void apply(pp_pool *pool, long id)
{
    pp_error *error = NULL;
    long value = 0;
    int code = pp_apply_with(pool, (pp_call){ number_task, &id }, &value,
                             &(pp_apply_options){ .size = sizeof(pp_apply_options),
                                                  .error = &error });

    judge_code(code, error, id, good(id));
    MUST(code != 0 || value == 5 * id + 3);
    free(error);
}

static pp_result *apply_async(pp_pool *pool, long id)
{
    return pp_apply_async_with(pool, (pp_call){ number_task, &id }, NULL);
}

static pp_result *map_async(pp_pool *pool, const pp_task *task, long first, size_t count,
                            long chunksize)
{
    long ids[ITEMS];

    for (size_t i = 0; i < count; i++)
        ids[i] = first + (long)i;
    return pp_map_async_with(pool, task, ids, count,
                             &(pp_map_async_options){ .size = sizeof(pp_map_async_options),
                                                      .chunksize = chunksize });
}

static void judge_numbers(pp_result *result, long first, size_t count)
{
    judge(result, &(struct expected){ first, count, wrong_number, good });
}

void run_calls(void)
{
    pp_pool *pool = POOL(.processes = 2);
    pp_result *results[4];

    for (long id = 0; id < 4; id++)
        apply(pool, id);
    for (long id = 4; id < 8; id++)
        results[id - 4] = apply_async(pool, id);
    for (long id = 4; id < 8; id++)
        judge_numbers(results[id - 4], id, 1);
    finish(pool, 0);
}

/* ---- Maps: values in the outbox, or in place ---- */

struct wide {
    long id;
    long others[7];
};

static struct wide widen(long id)
{
    atomic_fetch_add(&stage->runs[id], 1);
    return (struct wide){ id, { 1, 2, 3, 4, 5, 6, -id } };
}
PP_TASK(struct wide, widen, long, id);

static const char *wrong_wide(long id, const void *values, size_t i)
{
    const struct wide *wide = (const struct wide *)values + i;

    return wide->id == id && wide->others[6] == -id ? NULL : "another struct";
}

void run_map(void)
{
    pp_pool *pool = POOL(.processes = 2);
    pp_result *result = map_async(pool, &widen_pp_task, 0, 24, 7);

    judge(result, &(struct expected){ 0, 24, wrong_wide, good });
    judge_numbers(map_async(pool, number_task, 24, 16, 0), 24, 16);
    finish(pool, 0);
}

/* Items are numbers in shared memory, and become their values. */
static void map_in_place(pp_pool *pool, long *numbers, size_t count)
{
    pp_error *error = NULL;
    int code;

    for (size_t i = 0; i < count; i++)
        numbers[i] = (long)i;
    code = pp_map_with(pool, number_task, numbers, count, numbers,
                       &(pp_map_options){ .size = sizeof(pp_map_options), .chunksize = 5,
                                          .error = &error });
    if (code != 0)
        judge_code(code, error, error ? (long)error->index : 0, good(0));
    for (size_t i = 0; i < count; i++) {
        MUST(atomic_load(&stage->runs[i]) <= 1);
        MUST(code != 0 || numbers[i] == 5 * (long)i + 3);
    }
    free(error);
}

void run_shared(void)
{
    pp_pool *pool = POOL(.processes = 2);
    long *numbers = pp_shared_alloc(pool, 12 * sizeof *numbers);

    if (numbers)
        map_in_place(pool, numbers, 12);
    else
        MUST(errno == ESHUTDOWN && was_killed(SUPERVISOR));
    MUST(pp_shared_free(pool, numbers) == 0);
    finish(pool, 0);
}

/* ---- Strings: in the record, in the outbox, among the arguments, and none ---- */

enum { LONG_TEXT = 100 };

static void spell(long id, char *text)
{
    snprintf(text, LONG_TEXT, id % 2 ? "%ld" : "the text of item number %ld", id);
}

static const char *tell(long id)
{
    static char text[LONG_TEXT];
    char *place = id % 3 == 0 ? pp_reserve(LONG_TEXT) : text;

    atomic_fetch_add(&stage->runs[id], 1);
    if (id % 5 == 4 || !place)
        return NULL;
    spell(id, place);
    return place;
}
PP_TASK(const char *, tell, long, id);

static const char *wrong_text(long id, const void *values, size_t i)
{
    const char *text = ((const char *const *)values)[i];
    char right[LONG_TEXT];

    spell(id, right);
    if (id % 5 == 4)
        return text ? "a string in the place of none" : NULL;
    return text && strcmp(text, right) == 0 ? NULL : "another string";
}

static const char *echo(const char *text, long id)
{
    atomic_fetch_add(&stage->runs[id], 1);
    return text;
}
PP_TASK(const char *, echo, const char *, text, long, id);

void run_strings(void)
{
    static const char text[] = "a string that goes there and back";
    pp_pool *pool = POOL(.processes = 2);
    pp_error *error = NULL;
    char *back = NULL;
    const char *value;
    int code;

    judge(map_async(pool, &tell_pp_task, 0, 20, 5),
          &(struct expected){ 0, 20, wrong_text, good });
    code = pp_apply(pool, PP_CALL(echo, text, 20), &value, .error = &error);
    judge_code(code, error, 20, good(20));
    back = code == 0 ? (char *)(uintptr_t)value : NULL;
    MUST(code != 0 || strcmp(back, text) == 0);
    free(back);
    free(error);
    finish(pool, 0);
}

/* ---- More than there is room for ---- */

/* A ring has room for 1024 records, and who submits takes none of them in. */
void run_full(void)
{
    enum { COUNT = 1040 };
    pp_pool *pool = POOL(.processes = 1, .callbacks = PP_CALLBACKS_POLL);
    pp_result *result = map_async(pool, &tell_pp_task, 0, COUNT, COUNT);

    while (result && atomic_load(&stage->runs[1024]) == 0 && !was_killed(WORKER) &&
           !was_killed(SUPERVISOR))
        harness_nap();
    judge(result, &(struct expected){ 0, COUNT, wrong_text, good });
    finish(pool, 0);
}

/* The window has room for 4096 tasks, of which 3072 are used. */
void run_backlog(void)
{
    enum { COUNT = 3080 };
    pp_pool *pool = POOL(.processes = 2);

    judge_numbers(map_async(pool, number_task, 0, COUNT, 1), 0, COUNT);
    finish(pool, 0);
}

/* ---- Iterators ---- */

static bool draw(void *item, void *user)
{
    long *next = user;

    *(long *)item = (*next)++;
    return *next <= 12;
}

static void read_all(pp_iter *iter)
{
    long value, items = 0;
    size_t index;
    int code;

    while ((code = pp_next(iter, &value, .index = &index)) != PP_STOP_ITERATION) {
        if (code == -ESHUTDOWN) {
            MUST(was_killed(SUPERVISOR));
            break;
        }
        judge_code(code, pp_iter_error(iter), (long)index, good((long)index));
        MUST(code != 0 || value == 5 * (long)index + 3);
        items++;
    }
    MUST(items == 12 || was_killed(SUPERVISOR));
    pp_iter_free(iter);
}

static void iterate(bool ordered, long window)
{
    pp_pool *pool = POOL(.processes = 2);
    long next = 0;
    const pp_imap_options options = { .size = sizeof options, .input = draw, .user = &next,
                                      .chunksize = 3, .window = window };
    pp_iter *iter = ordered ? pp_imap_with(pool, number_task, &options)
                            : pp_imap_unordered_with(pool, number_task, &options);

    if (iter)
        read_all(iter);
    else
        MUST(errno == ENOTRECOVERABLE && was_killed(SUPERVISOR));
    finish(pool, 0);
}

void run_imap(void)
{
    iterate(true, 6);
}

void run_imap_unordered(void)
{
    iterate(false, 9);
}

/* ---- Threads of the client's ---- */

struct caller {
    pp_pool *pool;
    long first;
};

static void *call_often(void *what)
{
    const struct caller *caller = what;

    for (long id = caller->first; id < caller->first + 3; id++)
        apply(caller->pool, id);
    return NULL;
}

void run_followers(void)
{
    pp_pool *pool = POOL(.processes = 2);
    struct caller callers[3] = { { pool, 0 }, { pool, 3 }, { pool, 6 } };
    pthread_t threads[3];

    for (int i = 0; i < 3; i++)
        MUST(pthread_create(&threads[i], NULL, call_often, &callers[i]) == 0);
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    finish(pool, 0);
}

/* ---- Callbacks ---- */

static void on_end(pp_result *result, void *user)
{
    (void)result;
    atomic_fetch_add((atomic_uint *)user, 1);
}

static pp_result *call_back(pp_pool *pool, long id, atomic_uint *called)
{
    return pp_apply_async_with(pool, (pp_call){ number_task, &id },
                               &(pp_async_options){ .size = sizeof(pp_async_options),
                                                    .callback = on_end,
                                                    .error_callback = on_end,
                                                    .user = called });
}

void run_callbacks(void)
{
    pp_pool *pool = POOL(.processes = 2);
    atomic_uint called[4] = { 0 };
    pp_result *results[4];

    for (long id = 0; id < 4; id++)
        results[id] = call_back(pool, id, &called[id]);
    for (long id = 0; id < 4; id++) {
        bool submitted = results[id];

        judge_numbers(results[id], id, 1);
        MUST(atomic_load(&called[id]) == submitted);
    }
    finish(pool, 0);
}

static void poll_until_called(pp_pool *pool, const atomic_uint *called)
{
    struct pollfd fd = { .fd = pp_pool_fd(pool), .events = POLLIN };

    while (atomic_load(called) == 0)
        if (poll(&fd, 1, -1) > 0)
            MUST(pp_poll(pool) >= 0);
}

void run_poll(void)
{
    pp_pool *pool = POOL(.processes = 2, .callbacks = PP_CALLBACKS_POLL);
    atomic_uint called[3] = { 0 };

    for (long id = 0; id < 3; id++) {
        pp_result *result = call_back(pool, id, &called[id]);

        if (result)
            poll_until_called(pool, &called[id]);
        judge_numbers(result, id, 1);
        MUST(atomic_load(&called[id]) <= 1);
    }
    finish(pool, 0);
}

/* ---- Waiting awake ---- */

/* A burst of short tasks, then single ones: workers search and nap, the client waits awake. */
void run_search(void)
{
    const pp_pool_options options = { .size = sizeof options, .processes = 2 };
    pp_pool *pool = open_pool(&options);

    judge_numbers(map_async(pool, number_task, 0, 200, 1), 0, 200);
    for (long id = 200; id < 220; id++)
        apply(pool, id);
    finish(pool, 0);
}
