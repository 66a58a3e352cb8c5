/* SPDX-License-Identifier: MIT */
/* Who a worker is: its id, incarnation, seed and the pointer of its own. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

/* What a worker says of itself. */
struct passport {
    int id, incarnation;
    uint64_t seed;
    pid_t pid;
    char name[16];
};

static struct passport show(struct gate *gate)
{
    struct passport passport = {
        .id = pp_worker_id(),
        .incarnation = pp_worker_incarnation(),
        .seed = pp_random_seed(),
        .pid = getpid(),
    };

    prctl(PR_GET_NAME, passport.name);
    if (gate)
        gate_wait(gate);
    return passport;
}
PP_TASK(struct passport, show, struct gate *, gate);

static void die(void)
{
    raise(SIGKILL);
}
PP_TASK(void, die);

/* All workers of a pool at the same time; the gate is older than the pool. */
static void ask_all(pp_pool *pool, int workers, struct gate *gate, struct passport *passports)
{
    struct gate *gates[256];
    pp_result *result;

    for (int i = 0; i < workers; i++)
        gates[i] = gate;
    result = pp_map_async(pool, show, gates, (size_t)workers, .chunksize = 1);
    CHECK_SOON(atomic_load(&gate->waiting) == workers);
    gate_open(gate);
    CHECK_EQ(pp_get(result, passports), 0);
    pp_result_free(result);
}

static int by_id(const void *a, const void *b)
{
    return ((const struct passport *)a)->id - ((const struct passport *)b)->id;
}

static int by_seed(const void *a, const void *b)
{
    uint64_t x = ((const struct passport *)a)->seed, y = ((const struct passport *)b)->seed;

    return (x > y) - (x < y);
}

static void check_seeds_differ(struct passport *passports, int count)
{
    qsort(passports, (size_t)count, sizeof *passports, by_seed);
    for (int i = 1; i < count; i++)
        CHECK(passports[i - 1].seed != passports[i].seed);
}

static void check_ids(int workers)
{
    struct passport passports[256];
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(workers);

    ask_all(pool, workers, gate, passports);
    qsort(passports, (size_t)workers, sizeof *passports, by_id);
    for (int i = 0; i < workers; i++) {
        CHECK_EQ(passports[i].id, i);
        CHECK_EQ(passports[i].incarnation, 1);
    }
    check_seeds_differ(passports, workers);
    finish(pool);
    gate_free(gate);
}

TEST(each_worker_has_its_own_id)
{
    check_ids(1);
    check_ids(5);
}

TEST(two_hundred_workers, .timeout = 60)
{
    check_ids(200);
}

/* Whether there is one worker, and it is not this one. */
static bool is_replaced(pid_t pid)
{
    struct census census;

    return take_census(&census, 1) && census.workers[0] != pid;
}

/* What ps and top show says the same, also of one that takes another place in shared memory:
   nobody has looked after that of the dead. */
TEST(a_process_is_named_by_its_id)
{
    struct passport passport;
    pp_pool *pool = pool_of(1);

    for (int i = 0; i < 3; i++) {
        CHECK_EQ(pp_apply(pool, PP_CALL(show, NULL), &passport), 0);
        CHECK_STR(passport.name, "pp-worker-0");
        CHECK_EQ(passport.id, 0);
        CHECK_EQ(kill(passport.pid, SIGKILL), 0);
        CHECK_SOON(is_replaced(passport.pid));
    }
    finish(pool);
}

/* The worker that replaces another has its id, and is the next of it. */
TEST(replacements_are_counted)
{
    struct passport passports[20];
    pp_pool *pool = pool_of(1);

    for (int i = 0; i < 20; i++) {
        CHECK_EQ(pp_apply(pool, PP_CALL(show, NULL), &passports[i]), 0);
        CHECK_EQ(passports[i].id, 0);
        CHECK_EQ(passports[i].incarnation, i + 1);
        CHECK_EQ(pp_apply(pool, PP_CALL(die), NULL), PP_ECRASHED);
    }
    check_seeds_differ(passports, 20);
    finish(pool);
}

TEST(those_that_retire_are_counted_too)
{
    pp_pool *pool = pp_pool_new(.processes = 2, .max_tasks_per_child = 1);
    struct passport passport;
    int most = 0;

    for (int i = 0; i < 20; i++) {
        CHECK_EQ(pp_apply(pool, PP_CALL(show, NULL), &passport), 0);
        CHECK(passport.id == 0 || passport.id == 1);
        most = passport.incarnation > most ? passport.incarnation : most;
    }
    CHECK(most >= 10);
    finish(pool);
}

/* The lowest that is free: others keep theirs. */
TEST(who_lives_keeps_its_id)
{
    struct passport before[3], after[3];
    struct gate *first = gate_new(), *second = gate_new();
    pp_pool *pool = pool_of(3);

    ask_all(pool, 3, first, before);
    qsort(before, 3, sizeof *before, by_id);
    CHECK_EQ(kill(before[1].pid, SIGKILL), 0);
    ask_all(pool, 3, second, after);
    qsort(after, 3, sizeof *after, by_id);
    for (int i = 0; i < 3; i++) {
        CHECK_EQ(after[i].id, i);
        CHECK_EQ(after[i].incarnation, i == 1 ? 2 : 1);
        CHECK_EQ(after[i].seed == before[i].seed, i != 1);
    }
    finish(pool);
    gate_free(first);
    gate_free(second);
}

TEST(a_seed_stays_the_same)
{
    struct passport first, again;
    pp_pool *pool = pool_of(1);

    CHECK_EQ(pp_apply(pool, PP_CALL(show, NULL), &first), 0);
    for (int i = 0; i < 10; i++) {
        CHECK_EQ(pp_apply(pool, PP_CALL(show, NULL), &again), 0);
        CHECK_EQ(again.seed, first.seed);
    }
    finish(pool);
}

TEST(pools_have_other_seeds)
{
    struct passport passports[20];

    for (int i = 0; i < 20; i++) {
        pp_pool *pool = pool_of(1);

        CHECK_EQ(pp_apply(pool, PP_CALL(show, NULL), &passports[i]), 0);
        finish(pool);
    }
    check_seeds_differ(passports, 20);
}

/* ---- Outside of a worker ------------------------------------------------------------ */

TEST(here_is_no_worker)
{
    uint64_t seed = pp_random_seed();

    CHECK_EQ(pp_worker_id(), -1);
    CHECK_EQ(pp_worker_incarnation(), 0);
    CHECK(pp_random_seed() != seed);
}

static void *ask_in_thread(void *id)
{
    *(int *)id = pp_worker_id();
    return NULL;
}

static int id_in_thread(void)
{
    pthread_t thread;
    int id = 5;

    if (pthread_create(&thread, NULL, ask_in_thread, &id) == 0)
        pthread_join(thread, NULL);
    return id;
}
PP_TASK(int, id_in_thread);

static int id_in_child(void)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0)
        _exit(pp_worker_id() == -1 && pp_worker_incarnation() == 0 ? 3 : 4);
    waitpid(pid, &status, 0);
    return WEXITSTATUS(status);
}
PP_TASK(int, id_in_child);

TEST(nor_what_a_task_starts)
{
    pp_pool *pool = pool_of(1);
    int value = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(id_in_thread), &value), 0);
    CHECK_EQ(value, -1);
    CHECK_EQ(pp_apply(pool, PP_CALL(id_in_child), &value), 0);
    CHECK_EQ(value, 3);
    finish(pool);
}

static int id_of_inner(void)
{
    PP_SCOPED pp_pool *pool = pp_pool_new(.processes = 1);
    struct passport passport = { .id = -5 };

    if (pp_apply(pool, PP_CALL(die), NULL) == PP_ECRASHED)
        pp_apply(pool, PP_CALL(show, NULL), &passport);
    return 100 * pp_worker_incarnation() + 10 * passport.incarnation + passport.id;
}
PP_TASK(int, id_of_inner);

/* A pool that a task makes has workers of its own. */
TEST(pools_in_tasks)
{
    pp_pool *pool = pool_of(1);
    int value = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(id_of_inner), &value), 0);
    CHECK_EQ(value, 120);
    finish(pool);
}

/* ---- The worker's own pointer --------------------------------------------------------- */

struct state {
    int start, calls;
    pid_t pid;
};

static int make_state(void *start)
{
    struct state *state = malloc(sizeof *state);

    if (!state || pp_worker_local() || pp_worker_id() != 0)
        return EINVAL;
    *state = (struct state){ .start = *(int *)start * pp_worker_incarnation(), .pid = getpid() };
    pp_worker_set_local(state);
    return 0;
}

static int count_up(void)
{
    struct state *state = pp_worker_local();

    return state && state->pid == getpid() ? state->start + ++state->calls : -1;
}
PP_TASK(int, count_up);

TEST(what_the_initializer_made_is_there_in_tasks)
{
    int start = 100, value = 0;
    pp_pool *pool =
        pp_pool_new(.processes = 1, .initializer = make_state, .initarg = &start);

    for (int i = 1; i <= 10; i++) {
        CHECK_EQ(pp_apply(pool, PP_CALL(count_up), &value), 0);
        CHECK_EQ(value, 100 + i);
    }
    CHECK_EQ(pp_apply(pool, PP_CALL(die), NULL), PP_ECRASHED);
    CHECK_EQ(pp_apply(pool, PP_CALL(count_up), &value), 0);
    CHECK_EQ(value, 201);
    CHECK(pp_worker_local() == NULL); /* here */
    finish(pool);
}

static bool remember(int *address)
{
    bool was_there = pp_worker_local() == address;

    pp_worker_set_local(address);
    return was_there;
}
PP_TASK(bool, remember, int *, address);

/* A task can change it, and be called as the function that it is. */
TEST(a_pointer_of_any_thread)
{
    int here;
    bool was_there = true;
    pp_pool *pool = pool_of(1);

    CHECK_EQ(pp_apply(pool, PP_CALL(remember, &here), &was_there), 0);
    CHECK(!was_there);
    CHECK(!remember(&here));
    CHECK(remember(&here));
    CHECK_EQ(pp_apply(pool, PP_CALL(remember, &here), &was_there), 0);
    CHECK(was_there);
    pp_worker_set_local(NULL);
    finish(pool);
}

static void *look_at_pointer(void *seen)
{
    *(void **)seen = pp_worker_local();
    return NULL;
}

TEST(threads_do_not_share_it)
{
    pthread_t thread;
    void *seen = &thread;

    pp_worker_set_local(&seen);
    CHECK_EQ(pthread_create(&thread, NULL, look_at_pointer, &seen), 0);
    pthread_join(thread, NULL);
    CHECK(seen == NULL);
    CHECK(pp_worker_local() == &seen);
}
