/* SPDX-License-Identifier: MIT */
/* The paths: what a client does meanwhile, and who is followed. */
#include <stdlib.h>
#include <string.h>

#include "harness.h"
#include "walk.h"

/* Items: 0 is nobody's, so that none dies by mistake. */
enum { FIRST = 1, DOOMED = 2, HELD = 2, OTHERS = 32 };

/* ---- Pieces ---- */

static void map_six(struct walk_client *client)
{
    walk_submit(client, FIRST, 6, 3);
}

static void map_and_judge(struct walk_client *client)
{
    map_six(client);
    walk_judge(client);
}

static void make_and_work(struct walk_client *client)
{
    walk_make_pool(client);
    if (client->pool)
        map_and_judge(client);
}

static void map_guided(struct walk_client *client)
{
    walk_submit(client, FIRST, 40, 0);
    walk_judge(client);
}

static void map_and_hold(struct walk_client *client)
{
    walk_submit(client, FIRST, 4, 2);
    walk_await_held(client, 1);
}

static void open_and_judge(struct walk_client *client)
{
    walk_open(client);
    walk_judge(client);
}

/* More records than a seat has room for; item HELD is the last before that is so. */
enum { ROOM = 1024 };

static void map_much(struct walk_client *client)
{
    for (long i = 0; i < 4; i++)
        walk_submit(client, OTHERS + i * 280, 280, 1);
    walk_submit(client, FIRST, 2, 1);
    walk_await_held(client, 1);
}

/* ---- What ends before it is done ---- */

static void cancel_held(struct walk_client *client)
{
    atomic_store(&client->stage->ending, true);
    for (unsigned i = 0; i < client->count; i++)
        walk_check(client, "pp_cancel", pp_cancel(client->results[i].result));
    walk_judge(client);
}

static void terminate(struct walk_client *client)
{
    atomic_store(&client->stage->ending, true);
    walk_check(client, "pp_terminate", pp_terminate(client->pool));
    walk_judge(client);
    walk_check(client, "pp_join", pp_join(client->pool));
}

static void finish(struct walk_client *client)
{
    atomic_store(&client->stage->ending, true);
    walk_check(client, "pp_close", pp_close(client->pool));
    walk_check(client, "pp_join", pp_join(client->pool));
    walk_judge(client);
}

static void finish_after_map(struct walk_client *client)
{
    map_six(client);
    finish(client);
}

static void free_pool(struct walk_client *client)
{
    pp_pool *pool = client->pool;

    atomic_store(&client->stage->ending, true);
    client->pool = NULL;
    client->judged = client->count;
    walk_check(client, "pp_pool_free", pp_pool_free(pool));
}

/* ---- Size ---- */

static void grow_and_shrink(struct walk_client *client)
{
    walk_check(client, "pp_pool_resize", pp_pool_resize(client->pool, 3));
    map_and_judge(client);
    walk_check(client, "pp_pool_resize", pp_pool_resize(client->pool, 1));
    walk_submit(client, OTHERS, 4, 2);
    walk_judge(client);
}

static void grow(struct walk_client *client)
{
    walk_check(client, "pp_pool_resize", pp_pool_resize(client->pool, 2));
    map_and_judge(client);
}

static void shrink(struct walk_client *client)
{
    walk_check(client, "pp_pool_resize", pp_pool_resize(client->pool, 1));
    map_and_judge(client);
}

/* ---- All ---- */

#define BIT(event) (1U << (event))

enum {
    /* While the client stands. */
    DYING = BIT(WALK_OTHERS_GO_ON) | BIT(WALK_WORKER_DIES) | BIT(WALK_SUPERVISOR_DIES),
    BESIDE_CLIENT = DYING | BIT(WALK_THREAD_MAPS),
    /* While the supervisor does. */
    BESIDE_SUPERVISOR = BIT(WALK_OTHERS_GO_ON) | BIT(WALK_WORKER_DIES) |
                        BIT(WALK_CLIENT_DIES) | BIT(WALK_THREAD_MAPS) |
                        BIT(WALK_THREAD_CANCELS),
    ENDING_SUPERVISOR =
        BIT(WALK_OTHERS_GO_ON) | BIT(WALK_WORKER_DIES) | BIT(WALK_CLIENT_DIES),
    /* While a worker does. */
    BESIDE_WORKER = BIT(WALK_OTHERS_GO_ON) | BIT(WALK_SUPERVISOR_DIES) |
                    BIT(WALK_CLIENT_DIES) | BIT(WALK_THREAD_MAPS) | BIT(WALK_THREAD_CANCELS),
    ENDING_WORKER =
        BIT(WALK_OTHERS_GO_ON) | BIT(WALK_SUPERVISOR_DIES) | BIT(WALK_CLIENT_DIES),
};

const struct walk_scenario walk_scenarios[] = {
    { .name = "client makes a pool", .party = WALK_CLIENT, .workers = 2, .late = true,
      .path = walk_make_pool, .events = DYING },
    { .name = "client submits", .party = WALK_CLIENT, .workers = 2, .path = map_six,
      .events = BESIDE_CLIENT },
    { .name = "client gets", .party = WALK_CLIENT, .workers = 2, .path = map_and_judge,
      .events = BESIDE_CLIENT },
    { .name = "client gets a crash", .party = WALK_CLIENT, .workers = 2, .dies = DOOMED,
      .path = map_and_judge, .events = BESIDE_CLIENT },
    { .name = "client resizes", .party = WALK_CLIENT, .workers = 2, .path = grow_and_shrink,
      .events = BESIDE_CLIENT },
    { .name = "client cancels", .party = WALK_CLIENT, .workers = 2, .holds = HELD,
      .prepare = map_and_hold, .path = cancel_held, .events = BESIDE_CLIENT },
    { .name = "client closes and joins", .party = WALK_CLIENT, .workers = 2,
      .path = finish_after_map, .events = DYING },
    { .name = "client terminates", .party = WALK_CLIENT, .workers = 2, .holds = HELD,
      .prepare = map_and_hold, .path = terminate, .events = DYING },
    { .name = "client frees a pool", .party = WALK_CLIENT, .workers = 2, .holds = HELD,
      .prepare = map_and_hold, .path = free_pool, .events = DYING },

    { .name = "supervisor starts", .party = WALK_SUPERVISOR, .workers = 2, .late = true,
      .from_birth = true, .path = make_and_work, .events = ENDING_SUPERVISOR },
    { .name = "supervisor and a crash", .party = WALK_SUPERVISOR, .workers = 2, .dies = DOOMED,
      .path = map_and_judge, .events = BESIDE_SUPERVISOR },
    { .name = "supervisor and a retry", .party = WALK_SUPERVISOR, .workers = 1, .dies = DOOMED,
      .retries = 1, .path = map_and_judge, .events = BESIDE_SUPERVISOR },
    { .name = "supervisor and a time limit", .party = WALK_SUPERVISOR, .workers = 2,
      .holds = HELD, .limit = 0.005, .path = map_and_judge, .events = BESIDE_SUPERVISOR },
    { .name = "supervisor and a grace period", .party = WALK_SUPERVISOR, .workers = 1,
      .holds = HELD, .limit = 0.005, .grace = 10, .path = map_and_judge,
      .events = BESIDE_SUPERVISOR },
    { .name = "supervisor and a cancel", .party = WALK_SUPERVISOR, .workers = 2, .holds = HELD,
      .prepare = map_and_hold, .path = cancel_held, .events = BESIDE_SUPERVISOR },
    { .name = "supervisor and a retirement", .party = WALK_SUPERVISOR, .workers = 1,
      .max_tasks = 2, .finalizer = true, .path = map_and_judge, .events = BESIDE_SUPERVISOR },
    { .name = "supervisor and another size", .party = WALK_SUPERVISOR, .workers = 2,
      .path = grow_and_shrink, .events = BESIDE_SUPERVISOR },
    { .name = "supervisor calls a spare", .party = WALK_SUPERVISOR, .workers = 1,
      .dies = DOOMED, .large = true, .path = map_and_judge, .events = ENDING_SUPERVISOR },
    { .name = "supervisor finishes", .party = WALK_SUPERVISOR, .workers = 2,
      .path = finish_after_map, .events = ENDING_SUPERVISOR },
    { .name = "supervisor is terminated", .party = WALK_SUPERVISOR, .workers = 2,
      .holds = HELD, .prepare = map_and_hold, .path = terminate, .events = ENDING_SUPERVISOR },
    { .name = "supervisor loses its client", .party = WALK_SUPERVISOR, .workers = 2,
      .holds = HELD, .prepare = map_and_hold, .events = BIT(WALK_WORKER_DIES) },

    { .name = "worker starts", .party = WALK_WORKER, .workers = 1, .from_birth = true,
      .path = grow, .events = BESIDE_WORKER },
    { .name = "worker was a spare", .party = WALK_WORKER, .workers = 1, .dies = DOOMED,
      .large = true, .path = map_and_judge, .events = ENDING_WORKER },
    { .name = "worker runs chunks", .party = WALK_WORKER, .workers = 1, .path = map_and_judge,
      .events = BESIDE_WORKER },
    { .name = "worker runs guided chunks", .party = WALK_WORKER, .workers = 1,
      .path = map_guided, .events = BESIDE_WORKER },
    { .name = "worker with a time limit", .party = WALK_WORKER, .workers = 1, .limit = 3600,
      .path = map_and_judge, .events = BESIDE_WORKER },
    { .name = "worker goes on in a task", .party = WALK_WORKER, .workers = 1, .holds = HELD,
      .prepare = map_and_hold, .path = open_and_judge, .events = BESIDE_WORKER },
    { .name = "worker waits for room", .party = WALK_WORKER, .workers = 1, .holds = FIRST,
      .prepare = map_much, .path = open_and_judge, .events = BESIDE_WORKER },
    { .name = "worker retires", .party = WALK_WORKER, .workers = 1, .max_tasks = 2,
      .finalizer = true, .path = map_and_judge, .events = BESIDE_WORKER },
    { .name = "worker is dismissed", .party = WALK_WORKER, .workers = 2, .finalizer = true,
      .path = shrink, .events = BESIDE_WORKER },
    { .name = "worker finishes", .party = WALK_WORKER, .workers = 1, .finalizer = true,
      .path = finish_after_map, .events = ENDING_WORKER },
    { .name = "worker crashes", .party = WALK_WORKER, .workers = 1, .crashes = DOOMED,
      .path = map_and_judge, .events = BESIDE_WORKER },
};

const unsigned walk_count = sizeof walk_scenarios / sizeof *walk_scenarios;

const struct walk_scenario *walk_scenario(const char *name)
{
    for (unsigned i = 0; i < walk_count; i++)
        if (strcmp(walk_scenarios[i].name, name) == 0)
            return &walk_scenarios[i];
    FAIL("no walk %s", name);
}
