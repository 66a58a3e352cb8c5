/* SPDX-License-Identifier: MIT */
/* When the supervisor looks at what runs, and whom it stops: with seats that nobody but the
   test writes, and children in the workers' place that do nothing. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "harness.h"
#include "queue/claims.h"
#include "rounds.h"
#include "supervisor/supervisor.h"

#define KIB64 ((size_t)1 << 16)
#define MINUTE (60 * PPI_SECOND)

enum { SEATS = 4 };

static struct ppi_queue queue;
static struct ppi_supervisor supervisor;

static pid_t spawn(void)
{
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid == 0)
        for (;;)
            pause();
    return pid;
}

/* Each seat has a worker that has seated itself, and runs nothing. */
static void set_up(void)
{
    CHECK_EQ(ppi_queue_create(&queue, SEATS, KIB64, KIB64, KIB64), 0);
    queue.shm->tail = 2 * PPI_WINDOW; /* beyond all that is run here */
    memset(&supervisor, 0, sizeof supervisor);
    supervisor.queue = queue;
    signal(SIGTERM, SIG_IGN); /* the children inherit that */
    for (unsigned seat = 0; seat < SEATS; seat++) {
        supervisor.places[seat] =
            (struct ppi_place){ .pid = spawn(), .incarnation = 1, .used = true };
        ppi_queue_seat(&queue, seat)->incarnation = 1;
        ppi_queue_seat(&queue, seat)->intent = PPI_NO_POSITION;
        ppi_queue_seat(&queue, seat)->runs = PPI_NO_POSITION;
    }
}

/* Whether a seat's worker was killed; then there is a new one in its place. */
static bool was_killed(unsigned seat)
{
    pid_t pid = supervisor.places[seat].pid;
    siginfo_t info = { .si_pid = 0 };

    CHECK_EQ(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG), 0);
    if (info.si_pid == 0)
        return false;
    CHECK_EQ(info.si_status, SIGKILL);
    supervisor.places[seat].pid = spawn();
    return true;
}

/* SIGKILL has been sent, and needs its time. */
static void await_kill(unsigned seat)
{
    siginfo_t info;

    CHECK_EQ(waitid(P_PID, (id_t)supervisor.places[seat].pid, &info, WEXITED | WNOWAIT), 0);
    CHECK(was_killed(seat));
}

static void tear_down(void)
{
    for (unsigned seat = 0; seat < SEATS; seat++) {
        CHECK(!was_killed(seat));
        kill(supervisor.places[seat].pid, SIGKILL);
        waitpid(supervisor.places[seat].pid, NULL, 0);
    }
    ppi_queue_destroy(&queue);
}

/* The seat's worker runs this item of the task at this position, since then. */
static struct ppi_slot_shm *run(unsigned seat, uint64_t position, uint64_t item,
                                uint64_t started, uint64_t limit_ns)
{
    struct ppi_seat_shm *shm = ppi_queue_seat(&queue, seat);
    struct ppi_slot_shm *slot = ppi_queue_slot(&queue, position);

    slot->begin = 0;
    slot->end = 10;
    slot->limit_ns = limit_ns;
    slot->grace_ms = 0;
    queue.claims->words[position % PPI_WINDOW] = ppi_claim_word(position, PPI_CLAIMED, seat);
    shm->intent = shm->runs = position;
    shm->item = item;
    shm->started = started;
    return slot;
}

static void look(void)
{
    ppi_look_at_tasks(&supervisor);
    CHECK_EQ(queue.control->looks_at, supervisor.look_at_ns);
}

static bool stopping(unsigned seat)
{
    uint32_t bits = queue.control->seats[seat].stop & PPI_STOP_BITS;

    CHECK_EQ(bits != PPI_STOP_OFF, supervisor.places[seat].stop.reason != PPI_STOP_NONE);
    return bits != PPI_STOP_OFF;
}

/* ---- When to look ------------------------------------------------------------------ */

TEST(nothing_is_waited_for)
{
    set_up();
    look();
    CHECK_EQ(supervisor.look_at_ns, PPI_NEVER);
    run(0, 5, 0, 0, 0);            /* no limit */
    run(1, 6, 0, ppi_now_ns(), 0); /* nor here, whatever the seat says */
    run(2, 7, 0, 0, 1);            /* it has not begun */
    look();
    CHECK_EQ(supervisor.look_at_ns, PPI_NEVER);
    tear_down();
}

TEST(the_first_limit_is_waited_for)
{
    uint64_t now = ppi_now_ns();

    set_up();
    run(0, 5, 0, now, 3 * MINUTE);
    look();
    CHECK_EQ(supervisor.look_at_ns, now + 3 * MINUTE);
    run(2, PPI_WINDOW + 6, 4, now - 1, 2 * MINUTE);
    look();
    CHECK_EQ(supervisor.look_at_ns, now - 1 + 2 * MINUTE);
    run(1, 7, 9, now, 4 * MINUTE);
    run(3, 8, 9, 0, 1);
    look();
    CHECK_EQ(supervisor.look_at_ns, now - 1 + 2 * MINUTE);
    ppi_queue_seat(&queue, 2)->started = 0;
    look();
    CHECK_EQ(supervisor.look_at_ns, now + 3 * MINUTE);
    tear_down();
}

TEST(the_longest_limit)
{
    uint64_t now = ppi_now_ns(), longest = 1000000000 * PPI_SECOND;

    set_up();
    run(0, 5, 0, now, longest);
    look();
    CHECK_EQ(supervisor.look_at_ns, now + longest);
    tear_down();
}

/* A clock that a worker's seat is ahead of is not believed. */
TEST(what_began_in_the_future)
{
    static const uint64_t starts[] = { UINT64_MAX, UINT64_MAX - 1, UINT64_C(1) << 63 };
    uint64_t before = ppi_now_ns();

    set_up();
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        run(0, 5, 0, starts[i], MINUTE);
        look();
        CHECK(supervisor.look_at_ns >= before + MINUTE);
        CHECK(supervisor.look_at_ns <= ppi_now_ns() + MINUTE);
        CHECK(!stopping(0));
    }
    tear_down();
}

/* ---- Whom to stop ------------------------------------------------------------------ */

TEST(a_limit_that_is_over)
{
    uint64_t now = ppi_now_ns();

    set_up();
    run(0, 5, 0, now, MINUTE);
    run(1, 6, 3, now - PPI_SECOND, PPI_SECOND);
    look();
    CHECK_EQ(supervisor.look_at_ns, now + MINUTE);
    CHECK(stopping(1) && !stopping(0));
    CHECK_EQ(supervisor.places[1].stop.item, 3);
    await_kill(1);
    look(); /* it is dead, and not reaped yet: there is nothing more to do */
    CHECK_EQ(supervisor.look_at_ns, now + MINUTE);
    ppi_forget_stop(&supervisor, 1);
    CHECK(!stopping(1));
    ppi_queue_seat(&queue, 1)->started = 0;
    tear_down();
}

TEST(a_task_that_is_cancelled)
{
    set_up();
    run(0, 5, 0, 0, 0);
    run(1, 6, 0, 0, 0);
    ppi_set_cancelled(&queue, 5, PPI_SOON);
    look();
    CHECK(!stopping(0) && !stopping(1));
    ppi_set_cancelled(&queue, 5 + PPI_WINDOW, PPI_NOW); /* another one of this slot */
    look();
    CHECK(!stopping(0) && !stopping(1));
    ppi_set_cancelled(&queue, 5, PPI_NOW);
    look();
    CHECK(stopping(0) && !stopping(1));
    CHECK_EQ(supervisor.look_at_ns, PPI_NEVER);
    await_kill(0);
    ppi_queue_seat(&queue, 0)->runs = PPI_NO_POSITION;
    tear_down();
}

/* All is over that could be, but nobody runs it. */
TEST(what_does_not_run_is_not_stopped)
{
    struct ppi_seat_shm *shm;

    set_up();
    run(0, 5, 0, 1, 1);
    queue.claims->words[5] = ppi_claim_word(5, PPI_CLAIMED, 1); /* another's */
    run(1, 6, 0, 1, 1);
    queue.claims->words[6] = ppi_claim_word(6, PPI_REQUEUED, 0);
    run(2, 7, 9, 1, 1);
    shm = ppi_queue_seat(&queue, 2); /* it is over */
    shm->records[0] = (struct ppi_record_shm){
        .position = 7, .first = 9, .count = 1, .outcome = PPI_OK, .flags = PPI_LAST
    };
    shm->tail = 1;
    run(3, 8, 0, 1, 1);
    ppi_queue_seat(&queue, 3)->incarnation = 7; /* its predecessor's */
    for (uint64_t position = 5; position <= 8; position++)
        ppi_set_cancelled(&queue, position, PPI_NOW);
    look();
    CHECK_EQ(supervisor.look_at_ns, PPI_NEVER);
    for (unsigned seat = 0; seat < SEATS; seat++)
        CHECK(!stopping(seat));
    tear_down();
}

/* ---- Grace ---------------------------------------------------------------------------- */

/* Brings seat 1 into the grace period of its item 3. */
static void set_up_grace(void)
{
    uint64_t before = ppi_now_ns();

    set_up();
    run(1, 6, 3, before - PPI_SECOND, PPI_SECOND)->grace_ms = 60000;
    look();
    CHECK(stopping(1));
    CHECK_EQ(queue.control->seats[1].stop & PPI_STOP_BITS, PPI_STOP_TERM);
    CHECK(supervisor.look_at_ns >= before + MINUTE);
    CHECK(supervisor.look_at_ns <= ppi_now_ns() + MINUTE);
    CHECK_EQ(supervisor.look_at_ns, supervisor.places[1].stop.kill_at_ns);
    CHECK(!was_killed(1));
}

TEST(grace_ends)
{
    uint64_t end;

    set_up_grace();
    end = supervisor.look_at_ns;
    look();
    CHECK_EQ(supervisor.look_at_ns, end);
    CHECK(!was_killed(1));
    supervisor.places[1].stop.kill_at_ns = ppi_now_ns();
    look();
    CHECK_EQ(supervisor.look_at_ns, PPI_NEVER);
    await_kill(1);
    ppi_forget_stop(&supervisor, 1);
    ppi_queue_seat(&queue, 1)->runs = PPI_NO_POSITION;
    tear_down();
}

/* The item is over: the worker goes on when it says that it has survived this SIGTERM. */
TEST(grace_is_used)
{
    struct ppi_seat_shm *shm;
    uint32_t word;
    uint64_t end;

    set_up_grace();
    end = supervisor.look_at_ns;
    shm = ppi_queue_seat(&queue, 1);
    word = queue.control->seats[1].stop;
    shm->started = 0;
    shm->item = 4;
    shm->survived = word - PPI_STOP_BITS - 1; /* an earlier one */
    look();
    CHECK(stopping(1));
    CHECK(!was_killed(1));
    CHECK_EQ(supervisor.look_at_ns, end);
    shm->survived = word;
    look();
    CHECK(!stopping(1));
    CHECK(queue.control->seats[1].stop != word);
    CHECK_EQ(supervisor.look_at_ns, PPI_NEVER);
    tear_down();
}

/* The item is over, but its handler does not come back. */
TEST(grace_is_over_after_the_item)
{
    struct ppi_seat_shm *shm;

    set_up_grace();
    shm = ppi_queue_seat(&queue, 1);
    shm->started = 0;
    shm->item = 4;
    supervisor.places[1].stop.kill_at_ns = ppi_now_ns();
    look();
    CHECK_EQ(supervisor.look_at_ns, PPI_NEVER);
    await_kill(1);
    ppi_forget_stop(&supervisor, 1);
    shm->runs = PPI_NO_POSITION;
    tear_down();
}

/* ---- Nonsense -------------------------------------------------------------------------- */

static uint64_t nonsense(struct random *random, uint64_t sense)
{
    const uint64_t values[] = {
        sense,
        0,
        1,
        UINT64_MAX,
        UINT64_MAX - 1,
        UINT64_C(1) << 63,
        sense + PPI_WINDOW,
        sense + (PPI_WINDOW << 32),
        sense - PPI_WINDOW,
        random_next(random),
        sense,
        sense,
    };

    return values[random_below(random, sizeof values / sizeof values[0])];
}

static void scribble(struct random *random, unsigned seat)
{
    struct ppi_seat_shm *shm = ppi_queue_seat(&queue, seat);

    shm->intent = nonsense(random, 5);
    shm->runs = nonsense(random, 5);
    shm->item = nonsense(random, 3);
    shm->started = nonsense(random, ppi_now_ns());
    shm->tail = nonsense(random, 1);
    shm->survived = (uint32_t)nonsense(random, queue.control->seats[seat].stop);
    shm->records[(shm->tail - 1) % PPI_RECORDS] = (struct ppi_record_shm){
        .position = nonsense(random, 5),
        .first = nonsense(random, 3),
        .count = nonsense(random, 1),
        .flags = (uint8_t)random_next(random),
    };
}

/* Whatever a worker says of itself, it harms itself at most: another, whose time is not
   over, is waited for as ever. */
TEST(nonsense_harms_only_who_says_it)
{
    FOR_ROUNDS(random, 3000)
    {
        uint64_t now = ppi_now_ns();

        if (random.seed == 1 || queue.seats == 0)
            set_up();
        run(0, 5, 3, now, MINUTE)->grace_ms = random_percent(&random, 50) ? 1 : 0;
        run(1, 6, 1, now, MINUTE);
        ppi_set_cancelled(&queue, 5, (enum ppi_cancelled)random_below(&random, 3));
        scribble(&random, 0);
        look();
        scribble(&random, 0);
        look();
        HOLDS(random, supervisor.look_at_ns <= now + MINUTE);
        HOLDS(random, !stopping(1) && !stopping(2) && !stopping(3));
        HOLDS(random, !was_killed(1));
        was_killed(0);
        ppi_forget_stop(&supervisor, 0);
    }
    kill(supervisor.places[0].pid, SIGKILL); /* it may be on its way */
    await_kill(0);
    tear_down();
}

/* ---- Finalizers --------------------------------------------------------------------- */

static struct ppi_heritage heritage;

/* The seat's worker has left its tasks. */
static void finalize(unsigned seat)
{
    supervisor.heritage = &heritage;
    ppi_queue_seat(&queue, seat)->state = PPI_SEAT_FINALIZING;
}

TEST(a_finalizer_s_time_begins_when_it_is_seen)
{
    uint64_t before, after;

    set_up();
    heritage.finalizer_ns = MINUTE;
    finalize(1);
    before = ppi_now_ns();
    look();
    after = ppi_now_ns();
    CHECK(supervisor.look_at_ns >= before + MINUTE && supervisor.look_at_ns <= after + MINUTE);
    before = supervisor.look_at_ns;
    look();
    CHECK_EQ(supervisor.look_at_ns, before);
    CHECK(!was_killed(1));
    tear_down();
}

TEST(one_that_takes_too_long_is_killed)
{
    set_up();
    heritage.finalizer_ns = 1;
    finalize(1);
    look();
    look();
    CHECK(supervisor.places[1].overdue);
    CHECK_EQ(supervisor.look_at_ns, PPI_NEVER);
    await_kill(1);
    tear_down();
}

TEST(one_without_limit)
{
    set_up();
    heritage.finalizer_ns = PPI_NEVER;
    finalize(1);
    look();
    CHECK_EQ(supervisor.look_at_ns, PPI_NEVER);
    tear_down();
}

/* Its last task, of which it has left a part, is not its any more. */
TEST(no_task_is_stopped_in_its_place)
{
    uint64_t now = ppi_now_ns();

    set_up();
    heritage.finalizer_ns = PPI_NEVER;
    run(1, 5, 3, now - MINUTE, 1);
    finalize(1);
    look();
    CHECK(!stopping(1));
    ppi_set_cancelled(&queue, 5, PPI_NOW);
    look();
    CHECK(!stopping(1));
    CHECK_EQ(supervisor.look_at_ns, PPI_NEVER);
    tear_down();
}
