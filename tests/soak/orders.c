/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "round.h"

/* ---- What is asked for ---- */

enum profile { PLAIN, SLOW, FAILING, LIMITED, PROFILES };

static enum profile choose_profile(uint64_t *random)
{
    unsigned n = below(random, 16);

    return n < 8 ? PLAIN : n < 11 ? SLOW : n < 14 ? FAILING : LIMITED;
}

static enum kind choose_kind(const struct order *order, enum profile profile, uint64_t *random)
{
    static const enum kind failing[] = { RAISE, SEGV, ABORT, EXIT, SUICIDE, CRASH_ONCE };

    if (profile == FAILING && once_in(random, order->count > 100 ? 40 : 6))
        return failing[below(random, 6)];
    if (profile == LIMITED && once_in(random, 3))
        return order->grace > 0 && once_in(random, 2) ? LINGER
               : once_in(random, 4)                   ? FREEZE
                                                      : HANG;
    if (profile == SLOW)
        return once_in(random, 3) ? NAP : WORK;
    return once_in(random, 8) ? WORK : QUICK;
}

static size_t choose_count(const struct round *round, enum profile profile, uint64_t *random)
{
    bool short_lived = round->options.max_tasks_per_child > 0; /* a fork for a few items */
    static const unsigned most[PROFILES][3] = {
        [PLAIN] = { 40, 600, 6000 },
        [SLOW] = { 5, 15, 50 },
        [FAILING] = { 10, 40, 300 },
        [LIMITED] = { 1, 2, 4 },
    };

    return 1 + below(random, most[profile][below(random, short_lived ? 2 : 3)]);
}

static unsigned choose_size(const struct order *order, uint64_t *random)
{
    if (order->count <= 4 && once_in(random, 4))
        return 2;
    return order->count <= 100 && once_in(random, 3) ? 1 : 0;
}

static void plan_limits(struct order *order, enum profile profile, uint64_t *random)
{
    order->retries = once_in(random, 3) ? 1 + (int)below(random, 3) : 0;
    if (profile == LIMITED)
        order->limit = (3 + below(random, 25)) * 1e-3;
    else if (once_in(random, 8))
        order->limit = 0.05 + below(random, 100) * 1e-2;
    if (once_in(random, 3))
        order->grace = (1 + below(random, 20)) * 1e-3;
    order->stop = !order->single && once_in(random, 8);
    order->chunksize = once_in(random, 3) ? 0 : 1 + (long)below(random, 60);
}

bool plan_order(struct round *round, struct order *order, uint64_t *random)
{
    enum profile profile = choose_profile(random);
    unsigned size;

    memset(order, 0, sizeof *order);
    order->round = round;
    order->type = (enum type)below(random, TYPES);
    order->single = once_in(random, 2);
    order->count = order->single ? 1 : choose_count(round, profile, random);
    plan_limits(order, profile, random);
    order->first = atomic_fetch_add(&round->next, (long)order->count);
    if (order->first + (long)order->count > ITEMS)
        return false;
    size = choose_size(order, random);
    for (size_t i = 0; i < order->count; i++) {
        struct item *item = &scene->items[order->first + (long)i];

        item->kind = (uint8_t)choose_kind(order, profile, random);
        item->retries = (uint8_t)order->retries;
        item->size = (uint8_t)size;
    }
    return true;
}

/* ---- Items ---- */

static struct mixed_args make_mixed(long id)
{
    struct mixed_args args = { .id = id };
    char *text = malloc(160), *data = malloc(size_of(id) + 1);

    MUST(text && data);
    text_of(id, text, 160);
    fill_blob(id, data, size_of(id));
    args.text = text;
    args.data = (pp_bytes){ data, size_of(id) };
    return args;
}

void *make_items(const struct order *order)
{
    struct mixed_args *args;
    long *ids;

    if (order->type == MIXED) {
        args = calloc(order->count, sizeof *args);
        MUST(args);
        for (size_t i = 0; i < order->count; i++)
            args[i] = make_mixed(order->first + (long)i);
        return args;
    }
    ids = calloc(order->count, sizeof *ids);
    MUST(ids);
    for (size_t i = 0; i < order->count; i++)
        ids[i] = order->first + (long)i;
    return ids;
}

void free_items(const struct order *order, void *items)
{
    struct mixed_args *args = items;

    for (size_t i = 0; order->type == MIXED && i < order->count; i++) {
        free((void *)(uintptr_t)args[i].text);
        free((void *)(uintptr_t)args[i].data.data);
    }
    free(items);
}

/* ---- Submitting ---- */

void check_refusal(const struct round *round, int code)
{
    if (code == -ESHUTDOWN && atomic_load(&round->closing))
        return;
    if (code == -ENOTRECOVERABLE &&
        (atomic_load(&scene->supervisor_killed) || round->may_break))
        return;
    WRONG("submitting is refused: %s", pp_strerror(code));
}

/* Either callback: once for each order. */
static void on_end(pp_result *result, void *user)
{
    struct order *order = user;

    (void)result;
    atomic_fetch_add(&order->called, 1);
}

static pp_result *submit_call(struct order *order, const void *item)
{
    pp_async_options options = {
        .size = sizeof options,
        .callback = order->with_callbacks ? on_end : NULL,
        .error_callback = order->with_callbacks ? on_end : NULL,
        .user = order,
        .time_limit = order->limit,
        .grace = order->grace,
        .retries = order->retries,
    };

    return pp_apply_async_with(order->round->pool, (pp_call){ tasks[order->type], item },
                               &options);
}

static pp_result *submit_map(struct order *order, const void *items)
{
    pp_map_async_options options = {
        .size = sizeof options,
        .chunksize = order->chunksize,
        .callback = order->with_callbacks ? on_end : NULL,
        .error_callback = order->with_callbacks ? on_end : NULL,
        .user = order,
        .time_limit = order->limit,
        .grace = order->grace,
        .retries = order->retries,
        .stop_on_error = order->stop,
    };

    return pp_map_async_with(order->round->pool, tasks[order->type], items, order->count,
                             &options);
}

bool submit(struct order *order, uint64_t *random)
{
    void *items = make_items(order);
    int error;

    order->with_callbacks = once_in(random, 2);
    order->result = order->single ? submit_call(order, items) : submit_map(order, items);
    error = errno;
    free_items(order, items);
    if (!order->result) {
        check_refusal(order->round, -error);
        return false;
    }
    atomic_fetch_add(&order->round->least, order->count);
    atomic_fetch_add(&order->round->most, order->count);
    return true;
}
