/* SPDX-License-Identifier: MIT */
/* Progress within chunks, from what seats say: whatever they say. */
#include <procpool.h>
#include <stdlib.h>

#include "client/client.h"
#include "harness.h"

enum { SEATS = 4, BEGIN = 10, END = 20, POSITION = 7 };

static unsigned char creator = 1;

static long nothing(long x)
{
    return x;
}
PP_TASK(long, nothing, long, x);

/* A pool without processes, and a result whose items 10 to 19 are in flight. */
static pp_pool *make_pool(pp_result **result)
{
    pp_pool *pool = calloc(1, sizeof *pool);
    struct ppi_flight *flight;

    CHECK(pool != NULL);
    pool->flights = ppi_flights_new();
    CHECK(pool->flights != NULL);
    pool->creator = &creator;
    pool->queue = &pool->heritage.queue;
    ppi_loop_init(pool);
    ppi_init_results(pool);
    CHECK_EQ(ppi_queue_create(pool->queue, SEATS, 1 << 16, 1 << 16, 1 << 16), 0);
    pool->queue->poke = pool->queue->event = PPI_NO_WAKER;
    *result = ppi_result_new(pool, &nothing_pp_task, 30, true);
    CHECK(*result != NULL);
    flight = &pool->flights[POSITION];
    *flight = (struct ppi_flight){ .result = *result, .position = POSITION, .begin = BEGIN,
                                   .end = END, .left = END - BEGIN };
    (*result)->in_flight = 1;
    return pool;
}

static void free_pool(pp_pool *pool, pp_result *result)
{
    ppi_result_destroy(result);
    ppi_slab_destroy(&pool->slab);
    ppi_slab_destroy(&pool->chunks);
    ppi_queue_destroy(pool->queue);
    ppi_flights_free(pool->flights);
    free(pool);
}

/* A seat that says that it is at this item of that position. */
static void say(pp_pool *pool, unsigned seat, uint64_t position, uint64_t item)
{
    struct ppi_seat_shm *shm = ppi_queue_seat(pool->queue, seat);

    pool->queue->control->seats[seat].incarnation = 1;
    shm->incarnation = 1;
    shm->runs = position;
    shm->item = item;
}

TEST(what_seats_say)
{
    static const struct {
        uint64_t position, item;
        size_t done;
    } cases[] = {
        { POSITION, 15, 5 },
        { POSITION, BEGIN, 0 },
        { POSITION, END, 10 },
        { POSITION, END + 1, 10 }, /* of its next task: this one is done */
        { POSITION, UINT64_MAX, 10 },
        { POSITION, BEGIN - 1, 0 },
        { POSITION, 0, 0 },
        { POSITION + PPI_WINDOW, 15, 0 },
        { POSITION + 1, 15, 0 },
        { PPI_NO_POSITION, 15, 0 },
        { UINT64_MAX - PPI_WINDOW + 1 + POSITION, 15, 0 },
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        pp_result *result;
        pp_pool *pool = make_pool(&result);

        say(pool, 0, cases[i].position, cases[i].item);
        CHECK_EQ(pp_progress_of(result).done, cases[i].done);
        CHECK_EQ(pp_progress_of(result).done, cases[i].done);
        free_pool(pool, result);
    }
}

TEST(never_back)
{
    pp_result *result;
    pp_pool *pool = make_pool(&result);

    say(pool, 0, POSITION, 18);
    CHECK_EQ(pp_progress_of(result).done, 8);
    say(pool, 0, POSITION, 12);
    CHECK_EQ(pp_progress_of(result).done, 8);
    say(pool, 0, POSITION, 19);
    CHECK_EQ(pp_progress_of(result).done, 9);
    free_pool(pool, result);
}

/* Of three items there are outcomes already. */
TEST(what_is_recorded_counts_once)
{
    pp_result *result;
    pp_pool *pool = make_pool(&result);

    pool->flights[POSITION].left -= 3;
    result->done = 3;
    say(pool, 0, POSITION, 12);
    CHECK_EQ(pp_progress_of(result).done, 3);
    say(pool, 0, POSITION, 15);
    CHECK_EQ(pp_progress_of(result).done, 5);
    free_pool(pool, result);
}

/* The first worker has died, which the client does not know yet, the second goes on. */
TEST(two_seats_with_the_same_task)
{
    pp_result *result;
    pp_pool *pool = make_pool(&result);

    say(pool, 0, POSITION, 13);
    say(pool, 1, POSITION, 17);
    say(pool, 2, POSITION, 15);
    CHECK_EQ(pp_progress_of(result).done, 7);
    free_pool(pool, result);
}

/* A dead worker's seat that is free again, and what a new one has not made its own yet. */
TEST(seats_that_are_nobodys)
{
    pp_result *result;
    pp_pool *pool = make_pool(&result);

    say(pool, 0, POSITION, 13);
    pool->released[0] = 1;
    CHECK_EQ(pp_progress_of(result).done, 0);
    pool->queue->control->seats[0].incarnation = 2;
    CHECK_EQ(pp_progress_of(result).done, 0);
    ppi_queue_seat(pool->queue, 0)->incarnation = 2;
    CHECK_EQ(pp_progress_of(result).done, 3);
    say(pool, 2, POSITION, 15); /* behind one that never was */
    CHECK_EQ(pp_progress_of(result).done, 3);
    free_pool(pool, result);
}
