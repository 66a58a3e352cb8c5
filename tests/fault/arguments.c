/* SPDX-License-Identifier: MIT */
/*
 * A task that returns a part of its arguments only says so: the worker copies nothing.
 * What a worker says that is not so is nonsense, and the worker is ended.
 */
#include <procpool.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "queue/layout.h"
#include "worker/worker.h"

/* ---- Nothing is copied ---------------------------------------------------- */

static pp_bytes echo(pp_bytes bytes)
{
    return bytes;
}
PP_TASK(pp_bytes, echo, pp_bytes, bytes);

static size_t outbox_used(void)
{
    return ppi_current_worker->seat.outbox.highest;
}
PP_TASK(size_t, outbox_used);

static const char *after_slash(const char *text)
{
    return strchr(text, '/') + 1;
}
PP_TASK(const char *, after_slash, const char *, text);

static const char *constant(int which)
{
    return which ? "a text of the program's own, for longer than a record" : NULL;
}
PP_TASK(const char *, constant, int, which);

static pp_bytes echo_the_last(pp_bytes bytes)
{
    static pp_bytes last;
    pp_bytes before = last;

    last = bytes;
    return before;
}
PP_TASK(pp_bytes, echo_the_last, pp_bytes, bytes);

static size_t used_in(pp_pool *pool)
{
    size_t used = SIZE_MAX;

    CHECK_EQ(pp_apply(pool, PP_CALL(outbox_used), &used), 0);
    return used;
}

TEST(parts_of_arguments_are_not_copied)
{
    const char *items[] = { "a path/in the slot, longer than it", "b/for an item of its own",
                            "another/one of them, and the last" };
    pp_pool *pool = pp_pool_new(.processes = 1);
    char data[3000] = "data";
    const char *texts[3];
    pp_result *result;
    pp_bytes value;

    for (size_t size = 17; size <= sizeof data; size += 331) {
        CHECK_EQ(pp_apply(pool, PP_CALL(echo, { data, size }), &value), 0);
        free((void *)value.data);
    }
    CHECK_EQ(pp_map(pool, after_slash, items, 3, texts, .chunksize = 2), 0);
    for (int i = 0; i < 3; i++)
        free((void *)texts[i]);
    result = pp_map_async(pool, after_slash, items, 3, .chunksize = 2);
    CHECK_EQ(pp_wait(result), 0);
    CHECK_EQ(used_in(pool), 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(constant, 1), &texts[0]), 0);
    CHECK(used_in(pool) > 0);
    free((void *)texts[0]);
    CHECK_EQ(pp_pool_free(pool), 0);
}

/* Those of an earlier call, which the client may free at any time.  Here it has not yet. */
TEST(other_arguments_are_copied)
{
    pp_pool *pool = pp_pool_new(.processes = 1);
    char first[1000] = "first", second[1000] = "second";
    pp_result *one = pp_apply_async(pool, PP_CALL(echo_the_last, { first, 1000 }));
    pp_result *two = pp_apply_async(pool, PP_CALL(echo_the_last, { second, 1000 }));
    pp_bytes value;

    CHECK_EQ(pp_get(two, &value), 0);
    CHECK_STR((const char *)value.data, "first");
    CHECK_EQ(pp_get(one, &value), 0);
    CHECK_EQ(value.size, 0);
    CHECK(used_in(pool) > 0);
    CHECK_EQ(pp_pool_free(pool), 0);
}

/* ---- Lies ----------------------------------------------------------------- */

enum lie {
    BEGINS_BEFORE,
    ENDS_BEHIND,
    BEGINS_BEHIND,
    IS_FAR_AWAY,
    IS_AT_THE_FRONT,
    WRAPS_AROUND,
    IS_ENDLESS,
    IS_IN_PLACE,
    IS_A_MESSAGE,
    LIES,
    IS_TRUE = LIES,
    IS_NOTHING_IN_PLACE
};

static void tell(enum lie lie, struct ppi_record_shm *record, const struct ppi_slot_shm *slot)
{
    record->flags = PPI_IN_ARGS | PPI_LAST;
    record->outcome = lie == IS_A_MESSAGE ? PPI_RAISE : PPI_OK;
    record->payload = slot->args;
    record->payload_size = 17;
    if (lie == BEGINS_BEFORE)
        record->payload = slot->args - 1;
    else if (lie == ENDS_BEHIND)
        record->payload_size = slot->args_end - slot->args + 1;
    else if (lie == BEGINS_BEHIND)
        record->payload = slot->args_end + 1;
    else if (lie == IS_FAR_AWAY)
        record->payload = slot->args + ((uint64_t)1 << 40);
    else if (lie == IS_AT_THE_FRONT)
        record->payload = 0;
    else if (lie == WRAPS_AROUND)
        record->payload = UINT64_MAX - 8;
    else if (lie == IS_ENDLESS)
        record->payload_size = UINT64_MAX - 8;
    else if (lie == IS_IN_PLACE || lie == IS_NOTHING_IN_PLACE)
        record->flags |= PPI_IN_PLACE;
    if (lie == IS_NOTHING_IN_PLACE)
        record->payload_size = 0;
}

/* Commits a record of its own for the running item, and waits for what comes of it. */
static void commit(int lie)
{
    struct ppi_worker *worker = ppi_current_worker;
    struct ppi_record_shm record = { .position = worker->position,
                                     .first = worker->item,
                                     .count = 1,
                                     .seat = (uint16_t)worker->seat.index };

    tell((enum lie)lie, &record, worker->slot);
    ppi_seat_commit(&worker->seat, &record, ppi_outbox_mark(&worker->seat.outbox));
    ppi_seat_tell(&worker->seat);
    for (;;)
        pause();
}

static pp_bytes lie_of_bytes(int lie, pp_bytes bytes)
{
    commit(lie);
    return bytes;
}
PP_TASK(pp_bytes, lie_of_bytes, int, lie, pp_bytes, bytes);

/* Of a size that a record has no room for, as the lies are. */
struct number {
    char digits[17];
};

static struct number lie_of_number(int lie)
{
    commit(lie);
    return (struct number){ "" };
}
PP_TASK(struct number, lie_of_number, int, lie);

static int the_lie;

static const char *lie_without_arguments(void)
{
    commit(the_lie);
    return "";
}
PP_TASK(const char *, lie_without_arguments);

static void check_lie(int error, pp_error *failure)
{
    CHECK_EQ(error, PP_ECRASHED);
    CHECK(failure && failure->signal == SIGKILL);
    free(failure);
}

/* With arguments in the slot, and in the arena. */
static void check_bytes(pp_pool *pool, enum lie lie, size_t size)
{
    char data[1000] = "data";
    pp_bytes value = { data, 5 };
    pp_error *failure = NULL;
    int error = pp_apply(pool, PP_CALL(lie_of_bytes, (int)lie, { data, size }), &value,
                         .error = &failure);

    check_lie(error, failure);
    CHECK(value.data == data && value.size == 5);
}

TEST(parts_that_are_none, .timeout = 120)
{
    for (int lie = 0; lie < LIES; lie++) {
        pp_pool *pool = pp_pool_new(.processes = 1);

        check_bytes(pool, (enum lie)lie, 20);
        check_bytes(pool, (enum lie)lie, 1000);
        CHECK_EQ(pp_pool_free(pool), 0);
    }
}

TEST(parts_that_are)
{
    pp_pool *pool = pp_pool_new(.processes = 1);
    char data[1000] = "data";
    pp_bytes value;

    CHECK_EQ(pp_apply(pool, PP_CALL(lie_of_bytes, IS_TRUE, { data, 1000 }), &value), 0);
    CHECK_EQ(value.size, 17);
    free((void *)value.data);
    CHECK_EQ(pp_pool_free(pool), 0);
}

/* Values of fixed size are never part of the arguments. */
TEST(numbers_are_no_parts)
{
    pp_pool *pool = pp_pool_new(.processes = 1);
    struct number value = { "mine" }, *shared = pp_shared_alloc(pool, sizeof value);
    PP_ARGS(lie_of_number) items[] = { { IS_TRUE }, { IS_NOTHING_IN_PLACE } };
    pp_error *failure = NULL;
    int error = pp_apply(pool, PP_CALL(lie_of_number, IS_TRUE), &value, .error = &failure);

    check_lie(error, failure);
    CHECK_STR(value.digits, "mine");
    for (int i = 0; i < 2; i++) {
        error = pp_starmap(pool, lie_of_number, &items[i], 1, shared, .error = &failure);
        check_lie(error, failure);
    }
    CHECK_STR(shared->digits, "");
    CHECK_EQ(pp_pool_free(pool), 0);
}

/* A map without arguments that does not wait has none anywhere. */
TEST(nothing_has_no_parts)
{
    static const int lies[] = { IS_TRUE, IS_AT_THE_FRONT };

    for (int i = 0; i < 2; i++) {
        PP_ARGS(lie_without_arguments) *nothing = NULL;
        pp_pool *pool;
        pp_result *result;

        the_lie = lies[i];
        pool = pp_pool_new(.processes = 1);
        result = pp_starmap_async(pool, lie_without_arguments, nothing, 1);
        CHECK_EQ(pp_get(result, NULL), PP_ECRASHED);
        CHECK_EQ(pp_error_of(result)->signal, SIGKILL);
        CHECK_EQ(pp_pool_free(pool), 0);
    }
}
