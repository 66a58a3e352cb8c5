/* SPDX-License-Identifier: MIT */
/* Who may run what: publishing, claiming and handing back. */
#include "queue/claims.h"

#include <pthread.h>
#include <time.h>

#include "claiming.h"
#include "harness.h"
#include "rounds.h"

TEST(tasks_are_claimed_in_their_order)
{
    FOR_BEGINNINGS(base)
    {
        check_nothing(0);
        for (uint64_t p = base; p < base + 5; p++)
            publish(p);
        for (uint64_t p = base; p < base + 5; p++)
            check_claim((unsigned)(p % MOST_CLAIMERS), p);
        check_nothing(1);
        publish(base + 5);
        check_claim(1, base + 5);
    }
}

TEST(holes_are_passed_over)
{
    FOR_BEGINNINGS(base)
    {
        publish(base);
        publish(base + 3);
        publish(base + 4);
        publish(base + 1000);
        check_claim(0, base);
        check_claim(1, base + 3);
        check_claim(0, base + 4);
        check_claim(2, base + 1000);
        check_nothing(0);
    }
}

TEST(only_one_claims_a_task)
{
    FOR_BEGINNINGS(base)
    {
        publish(base);
        check_claim(4, base);
        check_nothing(3);
        CHECK(!ppi_claimed_by(&queue, base, 3));
        CHECK(!ppi_claimed_by(&queue, base + PPI_WINDOW, 4));
    }
}

/* One task stays claimed for good: its slot is a hole in each lap. */
TEST(slots_are_used_again)
{
    FOR_BEGINNINGS(base)
    {
        publish(base);
        check_claim(7, base);
        for (uint64_t p = base + 1; p < base + 5 * PPI_WINDOW; p++) {
            if ((p - base) % PPI_WINDOW == 0)
                continue;
            publish(p);
            check_claim((unsigned)(p % 7), p);
        }
        check_nothing(0);
        CHECK(ppi_claimed_by(&queue, base, 7));
    }
}

/* Somebody was so slow that others have long passed the position that it looks at. */
TEST(a_later_generation_is_not_taken_for_an_earlier)
{
    FOR_BEGINNINGS(base)
    {
        for (uint64_t p = base; p < base + PPI_WINDOW; p++) {
            publish(p);
            check_claim(0, p);
        }
        publish(base + PPI_WINDOW);
        atomic_store(&queue.claims->head, base);
        check_claim(1, base + PPI_WINDOW);
        check_nothing(0);
    }
}

/* ---- Tasks of the dead --------------------------------------------------- */

TEST(what_is_handed_back_is_claimed_again)
{
    FOR_BEGINNINGS(base)
    {
        uint64_t position, first;

        publish(base);
        publish(base + 1);
        check_claim(0, base);
        check_claim(1, base + 1);
        check_nothing(2);
        CHECK(!requeue(base, 1, 77, 1));
        CHECK(requeue(base, 0, 77, 1));
        CHECK(!requeue(base, 0, 78, 1));
        CHECK(!ppi_claimed_by(&queue, base, 0));
        CHECK(ppi_claimable(&claimers[2]));
        CHECK(claim_one(&claimers[2], &position, &first));
        CHECK_EQ(position, base);
        CHECK_EQ(first, 77);
        CHECK(ppi_claimed_by(&queue, base, 2));
        check_nothing(2);
    }
}

/* Several were handed back; claimers come and go. */
TEST(all_that_is_handed_back_is_found)
{
    FOR_BEGINNINGS(base)
    {
        uint64_t position, first, sum = 0;

        for (uint64_t p = base; p < base + 100; p++) {
            publish(p);
            check_claim(0, p);
        }
        for (uint64_t p = base; p < base + 100; p += 3)
            CHECK(requeue(p, 0, p - base, 1));
        for (unsigned i = 0; i < 34; i++) {
            ppi_claimer_init(&claimers[i % 3], &queue, i % 3);
            CHECK(claim_one(&claimers[i % 3], &position, &first));
            CHECK_EQ(first, position - base);
            sum += first;
        }
        CHECK_EQ(sum, 3 * (33 * 34 / 2));
        CHECK(!claim_one(&claimers[5], &position, &first));
        check_nothing(5);
    }
}

TEST(what_is_handed_back_comes_first)
{
    FOR_BEGINNINGS(base)
    {
        uint64_t position, first;

        publish(base);
        check_claim(0, base);
        publish(base + 1);
        CHECK(requeue(base, 0, 5, 1));
        CHECK(claim_one(&claimers[1], &position, &first));
        CHECK_EQ(position, base);
        CHECK_EQ(first, 5);
        check_claim(1, base + 1);
        check_nothing(1);
    }
}

/* Each attempt is told which one it is. */
TEST(attempts_are_counted)
{
    FOR_BEGINNINGS(base)
    {
        struct ppi_start start;

        publish(base);
        check_claim(0, base);
        for (uint32_t attempt = 2; attempt < 70000; attempt = attempt * 3 + 1) {
            CHECK(requeue(base, 0, base + attempt, attempt));
            CHECK(ppi_claim(&claimers[0], &start));
            CHECK_EQ(start.position, base);
            CHECK_EQ(start.first, base + attempt);
            CHECK_EQ(start.attempt, attempt);
        }
        publish(base + PPI_WINDOW); /* the next one in this slot begins anew */
        check_claim(0, base + PPI_WINDOW);
    }
}

/* ---- A head that says nonsense ------------------------------------------- */

static const int64_t displacements[] = {
    -1,         -(int64_t)PPI_WINDOW, -2 * (int64_t)PPI_WINDOW, -3 * (int64_t)PPI_WINDOW,
    1000000000, INT64_MAX,            INT64_MIN,                -2,
};

TEST(a_displaced_head_loses_nothing)
{
    for (size_t i = 0; i < sizeof displacements / sizeof displacements[0]; i++)
        FOR_BEGINNINGS(base)
        {
            uint64_t position, first, sum = 0;

            for (uint64_t p = base; p < base + 10; p++)
                publish(p);
            for (int n = 0; n < 10; n++) {
                atomic_store(&queue.claims->head, base + (uint64_t)displacements[i]);
                CHECK(ppi_claimable(&claimers[0]));
                CHECK(claim_one(&claimers[0], &position, &first));
                CHECK_EQ(first, 3 * position + 1);
                sum += position - base;
            }
            CHECK_EQ(sum, 45);
            atomic_store(&queue.claims->head, base + (uint64_t)displacements[i]);
            check_nothing(0);
        }
}

/* When nothing is left it points to the tail again. */
TEST(head_recovers)
{
    FOR_BEGINNINGS(base)
    {
        publish(base);
        check_claim(0, base);
        atomic_store(&queue.claims->head, UINT64_MAX / 3);
        check_nothing(0);
        CHECK_EQ(atomic_load(&queue.claims->head), base + 1);
        publish(base + 1);
        check_claim(0, base + 1);
    }
}

/* To walk there from it would take hours: also when the tail is known from the claim before. */
TEST(no_walk_from_a_head_that_is_far_behind, .timeout = 30)
{
    const uint64_t base = PPI_WINDOW << 30;

    set_up(base);
    for (uint64_t i = 0; i < 8; i++)
        publish(base + i);
    atomic_store(&queue.claims->head, 0);
    for (uint64_t i = 0; i < 8; i++)
        check_claim(0, base + i);
    check_nothing(0);
    tear_down();
}

TEST(words_that_say_nonsense_are_not_claimed)
{
    FOR_BEGINNINGS(base)
    {
        for (uint64_t slot = 0; slot < PPI_WINDOW; slot++)
            atomic_store(&queue.claims->words[slot], slot * UINT64_C(0x9e3779b97f4a7c15));
        publish(base);
        atomic_store(&queue.claims->head, UINT64_MAX / 3);
        check_claim(0, base);
        check_nothing(0);
    }
}

/* ---- Any schedule, one call at a time ------------------------------------ */

enum { TASKS = 3000 };

#define NONE UINT64_MAX

/* What client and supervisor know. */
static struct {
    unsigned workers;
    uint64_t tail;
    uint64_t published, waiting, running; /* tasks */
    bool in_use[PPI_WINDOW];
    uint64_t open[PPI_WINDOW];   /* the position that may be claimed, or NONE */
    uint64_t resume[PPI_WINDOW]; /* where it begins */
    uint64_t runs[MOST_CLAIMERS];
} model;

static void reset_model(unsigned workers, uint64_t tail)
{
    memset(&model, 0, sizeof model);
    memset(model.open, 0xff, sizeof model.open);
    memset(model.runs, 0xff, sizeof model.runs);
    model.workers = workers;
    model.tail = tail;
}

static void publish_next(void)
{
    uint64_t slot;

    while (model.in_use[model.tail % PPI_WINDOW])
        model.tail++;
    slot = model.tail % PPI_WINDOW;
    model.in_use[slot] = true;
    model.open[slot] = model.tail;
    model.resume[slot] = 3 * model.tail + 1;
    publish(model.tail++);
    model.published++;
    model.waiting++;
}

static void claim_with(struct random *random, unsigned seat)
{
    bool claimable = ppi_claimable(&claimers[seat]);
    uint64_t position, first;

    if (!claim_one(&claimers[seat], &position, &first)) {
        HOLDS(*random, model.waiting == 0);
        HOLDS(*random, !ppi_claimable(&claimers[seat]));
        return;
    }
    HOLDS(*random, claimable);
    HOLDS(*random, model.open[position % PPI_WINDOW] == position);
    HOLDS(*random, model.resume[position % PPI_WINDOW] == first);
    model.open[position % PPI_WINDOW] = NONE;
    model.runs[seat] = position;
    model.waiting--;
    model.running++;
}

/* The worker has done its task; or it dies, and the task goes back. */
static void end_task(struct random *random, unsigned seat)
{
    uint64_t position = model.runs[seat], item = random_next(random);

    HOLDS(*random, ppi_claimed_by(&queue, position, seat));
    model.runs[seat] = NONE;
    model.running--;
    if (random_percent(random, 80)) {
        model.in_use[position % PPI_WINDOW] = false;
        return;
    }
    HOLDS(*random, requeue(position, seat, item, 1));
    model.open[position % PPI_WINDOW] = position;
    model.resume[position % PPI_WINDOW] = item;
    model.waiting++;
    ppi_claimer_init(&claimers[seat], &queue, seat);
}

/* The client takes back a task that it knows of: which it can as long as nobody has it. */
static void withdraw_any(struct random *random)
{
    uint64_t slot = (model.tail - 1 - random_below(random, 64)) % PPI_WINDOW;
    uint64_t position = model.open[slot];

    if (!model.in_use[slot])
        return;
    if (position == NONE) {
        for (unsigned seat = 0; seat < model.workers; seat++)
            if (model.runs[seat] != NONE)
                HOLDS(*random, !ppi_withdraw(&queue, model.runs[seat]));
        return;
    }
    HOLDS(*random, ppi_withdraw(&queue, position));
    HOLDS(*random, !ppi_withdraw(&queue, position));
    model.open[slot] = NONE;
    model.in_use[slot] = false;
    model.waiting--;
}

/* To where nobody can take it for right: not between the true head and any tail. */
static void displace_head(struct random *random)
{
    uint64_t tail = atomic_load(&queue.shm->tail), head = atomic_load(&queue.claims->head);

    if (random_percent(random, 50))
        head -= random_below(random, 4 * PPI_WINDOW);
    else
        head = tail + 64 * PPI_WINDOW + random_next(random) % (UINT64_MAX / 2);
    atomic_store(&queue.claims->head, head);
}

static void any_step(struct random *random, unsigned displaced)
{
    unsigned seat = random_below(random, model.workers);

    if (random_percent(random, displaced))
        displace_head(random);
    if (model.published > 0 && random_percent(random, 5))
        withdraw_any(random);
    if (random_percent(random, 40) && model.published < TASKS &&
        model.waiting + model.running < PPI_WINDOW / 2)
        publish_next();
    else if (model.runs[seat] == NONE)
        claim_with(random, seat);
    else if (random_percent(random, 50))
        end_task(random, seat);
}

TEST(any_schedule)
{
    FOR_ROUNDS(random, 60) {
        unsigned displaced = random_percent(&random, 50) ? random_below(&random, 5) : 0;
        uint64_t base = beginnings[random_below(&random, 6)];

        set_up(base);
        reset_model(1 + random_below(&random, MOST_CLAIMERS), base);
        while (model.published < TASKS || model.waiting + model.running > 0)
            any_step(&random, displaced);
        for (unsigned seat = 0; seat < model.workers; seat++)
            claim_with(&random, seat);
        tear_down();
    }
}

/* ---- In threads ---------------------------------------------------------- */

enum { THREADS = 4, THREAD_TASKS = HARNESS_SANITIZED ? 25000 : 100000 };

/* Only one slot of so many is used, so that generations follow each other fast. */
enum { SPARSE = 16 };

/* The position that has ended in a slot, plus 1; the publisher sets it to 0. */
static _Atomic uint64_t ended[PPI_WINDOW];
static atomic_bool over;
static pthread_mutex_t supervisor = PTHREAD_MUTEX_INITIALIZER;

/* Some tasks lose two workers, and go on an item later each time. */
static bool hand_back(unsigned seat, uint64_t position, uint64_t first)
{
    if (position % 48 != 0 || first >= 3 * position + 3)
        return false;
    pthread_mutex_lock(&supervisor);
    CHECK(requeue(position, seat, first + 1, 1));
    pthread_mutex_unlock(&supervisor);
    return true;
}

static void let_others(void)
{
    nanosleep(&(struct timespec){ .tv_nsec = 20000 }, NULL);
}

static void *claim_all(void *what)
{
    struct ppi_claimer *claimer = what;
    uint64_t position, first;

    while (!atomic_load(&over)) {
        if (!claim_one(claimer, &position, &first)) {
            let_others();
            continue;
        }
        CHECK_EQ(ppi_queue_slot(&queue, position)->begin, 3 * position + 1);
        CHECK(first >= 3 * position + 1 && first <= 3 * position + 3);
        if (!hand_back(claimer->index, position, first))
            CHECK_EQ(atomic_exchange(&ended[position % PPI_WINDOW], position + 1), 0);
    }
    return NULL;
}

/* Publisher: whether a slot is free now; counts tasks that have ended. */
static bool is_free(uint64_t *running, uint64_t position, uint64_t *ended_tasks)
{
    uint64_t slot = position % PPI_WINDOW, last;

    if (running[slot] == NONE)
        return true;
    last = atomic_load(&ended[slot]);
    if (last == 0)
        return false;
    CHECK_EQ(last, running[slot] + 1);
    atomic_store(&ended[slot], 0);
    running[slot] = NONE;
    ++*ended_tasks;
    return true;
}

static void publish_all(uint64_t base)
{
    uint64_t running[PPI_WINDOW], position = base, published = 0, ended_tasks = 0, news = 0;

    memset(running, 0xff, sizeof running);
    for (; ended_tasks < THREAD_TASKS; position += SPARSE) {
        if (position % PPI_WINDOW == 0 && news == published + ended_tasks)
            let_others();
        if (position % PPI_WINDOW == 0)
            news = published + ended_tasks;
        if (!is_free(running, position, &ended_tasks) || published == THREAD_TASKS)
            continue;
        running[position % PPI_WINDOW] = position;
        publish(position);
        published++;
    }
}

TEST(many_threads, .timeout = 60)
{
    const uint64_t base = 7 * PPI_WINDOW - 10 * SPARSE;
    pthread_t threads[THREADS];
    uint64_t position, first;

    set_up(base);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, claim_all, &claimers[i]), 0);
    publish_all(base);
    atomic_store(&over, true);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    for (int i = 0; i < THREADS; i++)
        CHECK(!claim_one(&claimers[i], &position, &first));
    tear_down();
}
