/* SPDX-License-Identifier: MIT */
#include "standard.h"

#include <stdio.h>

enum { POSITION = 5, BYSTANDER_US = 5000, ANSWER_S = 10 };

/* Of whom nobody dies; in a replacement it tells when that began to work. */
static long bystander(long x)
{
    if (pp_worker_incarnation() > 1)
        replaced_now();
    sleep_for(BYSTANDER_US);
    return x * x;
}
PP_TASK(long, bystander, long, x);

static const char *code_name(int error)
{
    switch (error) {
    case PP_ERAISED:
        return "PP_ERAISED";
    case PP_ECRASHED:
        return "PP_ECRASHED";
    case PP_ETIMELIMIT:
        return "PP_ETIMELIMIT";
    case PP_ECANCELLED:
        return "PP_ECANCELLED";
    case PP_EBROKEN:
        return "PP_EBROKEN";
    case 0:
        return "success";
    default:
        return strerrorname_np(-error);
    }
}

const char *ending_words(int error, const pp_error *details)
{
    static _Thread_local char text[128];
    const char *name = code_name(error);

    if (error == PP_ECRASHED && details && details->signal)
        snprintf(text, sizeof text, "%s, SIG%s", name, sigabbrev_np(details->signal));
    else if (error == PP_ECRASHED && details)
        snprintf(text, sizeof text, "%s, exit status %d", name, details->status);
    else if (error == PP_ERAISED && details)
        snprintf(text, sizeof text, "%s, code %d", name, details->code);
    else
        snprintf(text, sizeof text, "%s%s", error < 0 && error > PP_ERAISED ? "-" : "", name);
    return text;
}

int get(pp_result *result, void *out)
{
    int error = pp_get(result, out, .timeout = ANSWER_S * harness_time_factor());

    if (error == -ETIMEDOUT)
        HANG("no answer");
    return error;
}

void check_ending(pp_result *result, const struct ending *must)
{
    int error = get(result, NULL);
    const pp_error *details = pp_error_of(result);

    answered_now();
    saw("%s", ending_words(error, details));
    CHECK_EQ(error, must->error);
    if (error == 0)
        return;
    CHECK_EQ(details->signal, must->signal);
    CHECK_EQ(details->status, must->status);
    if (must->code)
        CHECK_EQ(details->code, must->code);
    CHECK(*details->message);
    if (must->has)
        CHECK_HAS(details->message, must->has);
}

void bystanders_submit(struct bystanders *all, pp_pool *pool, int from, int to)
{
    for (int i = from; i < to; i++)
        CHECK((all->results[i] = pp_apply_async(pool, PP_CALL(bystander, i))) != NULL);
}

int bystanders_right(struct bystanders *all)
{
    int right = 0;

    for (int i = 0; i < BYSTANDERS; i++) {
        long value = -1;

        if (get(all->results[i], &value) == 0) {
            CHECK_EQ(value, (long)i * i);
            right++;
        }
        pp_result_free(all->results[i]);
    }
    return right;
}

void bystanders_check(struct bystanders *all)
{
    int right = bystanders_right(all);

    saw("%d of %d others right", right, BYSTANDERS);
    CHECK_EQ(right, BYSTANDERS);
}

void check_bystanders(pp_pool *pool)
{
    struct bystanders all;

    bystanders_submit(&all, pool, 0, BYSTANDERS);
    CHECK_EQ(bystanders_right(&all), BYSTANDERS);
}

void check_terminated(pp_call endless, const struct gate *gate)
{
    const struct ending cancelled = { .error = PP_ECANCELLED };
    pp_pool *pool = pool_of(2);
    pp_result *result = pp_apply_async_with(pool, endless, NULL);

    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    fault_now();
    CHECK_EQ(pp_terminate(pool), 0);
    check_ending(result, &cancelled);
    CHECK_EQ(processes(), 0);
    end_pool(pool);
}

void check_works(pp_pool *pool)
{
    pp_result *result = pp_apply_async(pool, PP_CALL(bystander, 99));
    long value = 0;

    CHECK(result != NULL);
    CHECK_EQ(get(result, &value), 0);
    CHECK_EQ(value, 99 * 99);
    saw("pool works on");
}

void await_replacement(pp_pool *pool)
{
    double end = harness_now() + ANSWER_S * harness_time_factor();

    while (!is_replaced()) {
        pp_result *one = pp_apply_async(pool, PP_CALL(bystander, 1));
        pp_result *other = pp_apply_async(pool, PP_CALL(bystander, 2));

        CHECK(one && other);
        CHECK_EQ(get(one, NULL), 0);
        CHECK_EQ(get(other, NULL), 0);
        if (harness_now() > end)
            HANG("the worker is not replaced");
    }
}

pid_t worker_pid(pp_pool *pool, int id)
{
    pp_worker_stats workers[8];
    size_t count = pp_worker_stats_of(pool, workers, 8);

    for (size_t i = 0; i < count && i < 8; i++)
        if (workers[i].id == id)
            return workers[i].pid;
    FAIL("there is no worker %d", id);
}

void end_pool(pp_pool *pool)
{
    double begun = harness_now();

    CHECK_EQ(pp_terminate(pool), 0);
    CHECK_EQ(pp_pool_free(pool), 0);
    ended_in(harness_now() - begun);
    saw("terminated");
}

void standard(const struct standard *standard)
{
    pp_pool *pool = standard->pool ? standard->pool : pool_of(2);
    pp_async_options options = standard->options;
    struct bystanders all;
    pp_result *victim;

    options.size = sizeof options;
    bystanders_submit(&all, pool, 0, POSITION);
    victim = pp_apply_async_with(pool, standard->victim, &options);
    CHECK(victim != NULL);
    bystanders_submit(&all, pool, POSITION, BYSTANDERS);
    check_ending(victim, &standard->must);
    bystanders_check(&all);
    check_works(pool);
    if (!standard->none_dies)
        await_replacement(pool);
    end_pool(pool);
}
