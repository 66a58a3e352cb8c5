/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "round.h"

static struct totals *totals(void)
{
    return &scene->totals;
}

/* ---- One item ---- */

static bool is_right(enum type type, long id, const void *value)
{
    char wanted[160];
    pp_bytes bytes;

    switch (type) {
    case TEXT:
        text_of(id, wanted, sizeof wanted);
        return strcmp(*(const char *const *)value, wanted) == 0;
    case BLOB:
        memcpy(&bytes, value, sizeof bytes);
        return is_blob(id, bytes.data, bytes.size);
    case NOTHING:
        return true;
    default:
        return *(const long *)value == number_of(id);
    }
}

static bool can_succeed(const struct item *item)
{
    return item->kind == QUICK || item->kind == WORK || item->kind == NAP ||
           item->kind == LINGER || (item->kind == CRASH_ONCE && item->retries > 0);
}

static void judge_success(struct order *order, long id, const void *value)
{
    const struct item *item = &scene->items[id];
    unsigned begun = atomic_load(&item->begun), ended = atomic_load(&item->ended);

    if (!can_succeed(item) || begun < 1 || begun > 1u + item->retries || ended < 1 ||
        ended > begun)
        WRONG("item %ld of kind %d succeeded; it began %u times and ended %u times", id,
              item->kind, begun, ended);
    if (!is_right(order->type, id, value))
        WRONG("the value of item %ld (type %d) is wrong", id, order->type);
    atomic_fetch_add(&totals()->again, begun - 1 - (item->kind == CRASH_ONCE && begun > 1));
}

/* Of an item that does not fail by itself; true if the round explains it. */
static bool explain(struct order *order, const pp_error *error)
{
    struct round *round = order->round;

    switch (error->kind) {
    case PP_CRASHED:
        if (error->signal == SIGKILL && error->pid > 0 &&
            atomic_load(&mark_of(error->pid)->killed) == error->pid) {
            atomic_fetch_add(&totals()->lost, 1);
            atomic_fetch_add(&round->lost, 1);
            return true;
        }
        atomic_fetch_add(&totals()->ended, 1);
        return atomic_load(&scene->supervisor_killed);
    case PP_TIMED_OUT:
        atomic_fetch_add(&totals()->timed_out, 1);
        return order->limit > 0;
    case PP_CANCELLED:
        atomic_fetch_add(&totals()->cancelled, 1);
        return order->cancelled || order->stop || atomic_load(&round->terminating);
    case PP_BROKEN:
        atomic_fetch_add(&totals()->broken, 1);
        return round->may_break || atomic_load(&scene->supervisor_killed);
    default:
        return false;
    }
}

static void judge_failure(struct order *order, size_t i, const pp_error *error)
{
    long id = order->first + (long)i;
    const struct item *item = &scene->items[id];

    MUST(error->message && error->function);
    MUST(strcmp(error->function, tasks[order->type]->name) == 0);
    MUST(error->index == i);
    if (own_failure(item, id, error))
        atomic_fetch_add(error->kind == PP_RAISED ? &totals()->raised : &totals()->crashed, 1);
    else if (!explain(order, error))
        WRONG("item %ld of kind %d failed without a reason: kind %d, code %d, signal %d, status "
              "%d, pid %d: %s",
              id, item->kind, error->kind, error->code, error->signal, error->status,
              error->pid, error->message);
    if (atomic_load(&item->begun) > 1u + item->retries)
        WRONG("item %ld began %u times", id, atomic_load(&item->begun));
    atomic_fetch_add(&totals()->failed, 1);
    atomic_fetch_add(&order->round->failed, 1);
}

static void note_outcome(struct order *order, long id)
{
    if (++scene->items[id].outcomes != 1)
        WRONG("item %ld of type %d has more than one outcome", id, order->type);
    atomic_fetch_add(&totals()->items, 1);
}

void judge(struct order *order, size_t i, const pp_error *error, const void *value)
{
    long id = order->first + (long)i;

    note_outcome(order, id);
    if (error)
        judge_failure(order, i, error);
    else
        judge_success(order, id, value);
}

/* Whether an item may fail that would not by itself. */
static bool may_fail(const struct order *order)
{
    return scene->fury.pause_us > 0 || order->limit > 0 || order->stop ||
           atomic_load(&order->round->terminating) || order->round->may_break ||
           atomic_load(&scene->supervisor_killed);
}

void judge_unknown(struct order *order, size_t i, bool succeeded, const void *value)
{
    long id = order->first + (long)i;
    const struct item *item = &scene->items[id];

    note_outcome(order, id);
    if (succeeded) {
        judge_success(order, id, value);
        return;
    }
    if (can_succeed(item) && !may_fail(order))
        WRONG("item %ld of kind %d has no value", id, item->kind);
    if (atomic_load(&item->begun) > 1u + item->retries)
        WRONG("item %ld began %u times", id, atomic_load(&item->begun));
    atomic_fetch_add(&totals()->failed, 1);
    atomic_fetch_add(&order->round->failed, 1);
}

/* ---- Orders ---- */

static void watch_progress(struct order *order, size_t *done)
{
    pp_progress progress = pp_progress_of(order->result);

    MUST(progress.total == order->count);
    MUST(progress.done <= progress.total && progress.failed <= progress.done);
    MUST(progress.done >= *done);
    *done = progress.done;
}

static void wait_impatiently(struct order *order, uint64_t *random)
{
    size_t done = 0;
    int code;

    while ((code = pp_wait(order->result, .timeout = below(random, 3000) * 1e-6)) ==
           -ETIMEDOUT) {
        watch_progress(order, &done);
        step();
    }
    MUST(code == 0);
}

static void cancel(struct order *order, uint64_t *random)
{
    int code;

    if (once_in(random, 2))
        spin_us(below(random, 300));
    order->cancelled = true;
    code = pp_cancel(order->result);
    MUST(code == 0 || code == -EALREADY);
}

static void *values_of(struct order *order, int *code)
{
    void *values = calloc(order->count, sizeof(pp_bytes));

    MUST(values);
    *code = pp_get(order->result, values);
    return values;
}

static size_t size_of_value(enum type type)
{
    return type == BLOB ? sizeof(pp_bytes) : type == NOTHING ? 0 : sizeof(long);
}

static int code_of(const pp_error *error)
{
    static const int codes[] = {
        [PP_RAISED] = PP_ERAISED,       [PP_CRASHED] = PP_ECRASHED,
        [PP_TIMED_OUT] = PP_ETIMELIMIT, [PP_CANCELLED] = PP_ECANCELLED,
        [PP_BROKEN] = PP_EBROKEN,
    };

    return codes[error->kind];
}

static void check_all(struct order *order)
{
    size_t failures, failure = 0;
    int code;
    char *values = values_of(order, &code);

    failures = pp_failures(order->result);
    MUST((failures == 0) == (code == 0));
    MUST(pp_successful(order->result) == (code == 0));
    if (failures > 0)
        MUST(code == code_of(pp_error_of(order->result)));
    for (size_t i = 0; i < order->count; i++) {
        const pp_error *error = pp_failure(order->result, failure);

        if (error && error->index != i)
            error = NULL;
        failure += error != NULL;
        judge(order, i, error, values + i * size_of_value(order->type));
    }
    MUST(failure == failures);
    free(values);
}

void settle(struct order *order, uint64_t *random)
{
    if (once_in(random, 10))
        cancel(order, random);
    if (once_in(random, 3))
        wait_impatiently(order, random);
    check_all(order);
    if (order->with_callbacks && atomic_load(&order->called) != 1)
        WRONG("%d callbacks of one result", atomic_load(&order->called));
    pp_result_free(order->result);
    free(order);
    atomic_fetch_add(&totals()->orders, 1);
    step();
}

void drop(struct order *order, bool at_the_end)
{
    struct round *round = order->round;

    atomic_store(&round->unseen, true);
    atomic_fetch_add(&totals()->unseen, order->count);
    if (!at_the_end)
        pp_result_free(order->result);
    order->next = atomic_load(&round->dropped);
    while (!atomic_compare_exchange_weak(&round->dropped, &order->next, order))
        ;
}
