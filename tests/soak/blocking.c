/* SPDX-License-Identifier: MIT */
/* What waits for its own end: pp_apply(), pp_map(), maps in shared memory, iterators. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "round.h"

static bool is_of_submitting(int code)
{
    return code < 0 && code > PP_ERAISED;
}

/* Whether it was taken at all. */
static bool was_taken(struct order *order, int code)
{
    if (is_of_submitting(code)) {
        check_refusal(order->round, code);
        return false;
    }
    atomic_fetch_add(&order->round->least, order->count);
    atomic_fetch_add(&order->round->most, order->count);
    atomic_fetch_add(&scene->totals.orders, 1);
    step();
    return true;
}

/* ---- One call ---- */

static void free_value(enum type type, void *value)
{
    if (type == TEXT)
        free(*(char **)value);
    if (type == BLOB)
        free((void *)(uintptr_t)((pp_bytes *)value)->data);
}

void call_and_wait(struct round *round, uint64_t *random)
{
    struct order order;
    pp_bytes value = { NULL, 0 };
    pp_error *error = NULL;
    void *items;
    int code;

    do {
        if (!plan_order(round, &order, random))
            return;
    } while (!order.single);
    items = make_items(&order);
    code = pp_apply_with(round->pool, (pp_call){ tasks[order.type], items }, &value,
                         &(pp_apply_options){ .size = sizeof(pp_apply_options),
                                              .error = &error,
                                              .time_limit = order.limit,
                                              .grace = order.grace,
                                              .retries = order.retries });
    free_items(&order, items);
    if (was_taken(&order, code)) {
        MUST((code == 0) == (error == NULL));
        judge(&order, 0, error, &value);
        free_value(order.type, &value);
    }
    free(error);
}

/* ---- A map ---- */

enum { NO_VALUE = 0x55 };

static bool has_value(const char *value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (value[i] != NO_VALUE)
            return true;
    return false;
}

static int run_map(struct order *order, const void *items, void *values, pp_error **error)
{
    return pp_map_with(order->round->pool, tasks[order->type], items, order->count, values,
                       &(pp_map_options){ .size = sizeof(pp_map_options),
                                          .chunksize = order->chunksize,
                                          .error = error,
                                          .time_limit = order->limit,
                                          .grace = order->grace,
                                          .retries = order->retries,
                                          .stop_on_error = order->stop });
}

/* The first failure is described, of the others there is no value. */
static void judge_values(struct order *order, int code, char *values, const pp_error *error)
{
    size_t size = order->type == BLOB ? sizeof(pp_bytes) : sizeof(long);

    MUST((code == 0) == (error == NULL));
    for (size_t i = 0; i < order->count; i++) {
        char *value = values + i * size;

        if (error && error->index == i) {
            judge(order, i, error, NULL);
            continue;
        }
        if (code == 0 || has_value(value, size)) {
            judge(order, i, NULL, value);
            free_value(order->type, value);
        } else {
            judge_unknown(order, i, false, NULL);
        }
    }
}

void map_and_wait(struct round *round, uint64_t *random)
{
    struct order order;
    pp_error *error = NULL;
    char *values;
    void *items;
    int code;

    do {
        if (!plan_order(round, &order, random))
            return;
    } while (order.single || order.type == NOTHING);
    items = make_items(&order);
    values = malloc(order.count * sizeof(pp_bytes));
    MUST(values);
    memset(values, NO_VALUE, order.count * sizeof(pp_bytes));
    code = run_map(&order, items, values, &error);
    free_items(&order, items);
    if (was_taken(&order, code))
        judge_values(&order, code, values, error);
    free(values);
    free(error);
}

/* ---- A map in shared memory ---- */

static bool gone(const struct round *round)
{
    return errno == ESHUTDOWN &&
           (atomic_load(&round->closing) || atomic_load(&scene->supervisor_killed) ||
            round->may_break);
}

/* Values come into the place of the items, or beside them. */
static void map_in(struct order *order, long *block, bool in_place)
{
    long *out = in_place ? block : block + order->count;
    pp_error *error = NULL;
    int code;

    for (size_t i = 0; i < order->count; i++) {
        out[i] = -1;
        block[i] = order->first + (long)i;
    }
    code = run_map(order, block, out, &error);
    if (was_taken(order, code)) {
        MUST((code == 0) == (error == NULL));
        if (code != 0) /* the value may be there, of an item that was lost with its chunk */
            atomic_store(&order->round->unseen, true);
        for (size_t i = 0; i < order->count; i++)
            judge_unknown(order, i,
                          code == 0 || (out[i] == number_of(order->first + (long)i) &&
                                        !(error && error->index == i)),
                          &out[i]);
    }
    free(error);
}

void map_shared(struct round *round, uint64_t *random)
{
    struct order order;
    long *block;

    do {
        if (!plan_order(round, &order, random))
            return;
    } while (order.single || order.type != NUMBER);
    block = pp_shared_alloc(round->pool, 2 * order.count * sizeof *block);
    if (!block) {
        if (!gone(round))
            WRONG("no shared memory: %s", strerror(errno));
        return;
    }
    map_in(&order, block, once_in(random, 2));
    MUST(pp_shared_free(round->pool, block) == 0);
}

/* ---- Iterators ---- */

struct input {
    const struct order *order;
    const char *items;
    size_t drawn;
};

static bool give(void *item, void *user)
{
    struct input *input = user;
    size_t size = input->order->type == MIXED ? sizeof(struct mixed_args) : sizeof(long);

    if (input->drawn == input->order->count)
        return false;
    memcpy(item, input->items + size * input->drawn++, size);
    return true;
}

static pp_iter *start_iterator(struct order *order, struct input *input, bool ordered,
                               uint64_t *random)
{
    bool array = once_in(random, 2);
    pp_imap_options options = {
        .size = sizeof options,
        .items = array ? input->items : NULL,
        .count = array ? order->count : 0,
        .input = array ? NULL : give,
        .user = input,
        .chunksize = once_in(random, 2) ? 0 : 1 + (long)below(random, 10),
        .window = once_in(random, 2) ? 0 : 10 + (long)below(random, 200),
        .time_limit = order->limit,
        .grace = order->grace,
        .retries = order->retries,
    };

    if (ordered)
        return pp_imap_with(order->round->pool, tasks[order->type], &options);
    return pp_imap_unordered_with(order->round->pool, tasks[order->type], &options);
}

static bool is_item(int code)
{
    return code == 0 || (code <= PP_ERAISED && code >= PP_EBROKEN);
}

/* Whether the iteration goes on. */
static bool next(struct order *order, pp_iter *iter, bool ordered, size_t *seen,
                 uint64_t *random)
{
    pp_bytes value = { NULL, 0 };
    double timeout = once_in(random, 4) ? below(random, 2000) * 1e-6 : PP_FOREVER;
    size_t index = SIZE_MAX;
    int code = pp_next(iter, &value, .timeout = timeout, .index = &index);

    step();
    if (code == -ETIMEDOUT)
        return true;
    if (!is_item(code))
        return false;
    MUST(index < order->count);
    MUST(!ordered || index == *seen);
    judge(order, index, pp_iter_error(iter), &value);
    ++*seen;
    return true;
}

static void read_all(struct order *order, pp_iter *iter, bool ordered, uint64_t *random)
{
    bool give_up = once_in(random, 5);
    size_t seen = 0, enough = give_up ? below(random, 50) : SIZE_MAX;

    while (seen < enough && next(order, iter, ordered, &seen, random))
        ;
    pp_iter_free(iter);
    atomic_fetch_add(&order->round->least, seen);
    atomic_fetch_add(&order->round->most, order->count);
    atomic_fetch_add(&scene->totals.orders, 1);
    if (seen == order->count)
        return;
    atomic_store(&order->round->unseen, true);
    atomic_fetch_add(&scene->totals.unseen, order->count - seen);
    if (!give_up && !atomic_load(&order->round->closing) &&
        !atomic_load(&scene->supervisor_killed) && !order->round->may_break)
        WRONG("an iterator of %zu items ended after %zu", order->count, seen);
}

void iterate(struct round *round, uint64_t *random)
{
    bool ordered = once_in(random, 2);
    struct order order;
    struct input input = { .order = &order };
    pp_iter *iter;
    void *items;

    do {
        if (!plan_order(round, &order, random))
            return;
    } while (order.single);
    order.stop = false;
    items = make_items(&order);
    input.items = items;
    iter = start_iterator(&order, &input, ordered, random);
    if (iter)
        read_all(&order, iter, ordered, random);
    else
        check_refusal(round, -errno);
    free_items(&order, items);
}
