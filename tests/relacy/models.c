/* SPDX-License-Identifier: MIT */
/*
 * models.c - the processes of a pool as threads of relacy
 *
 * They call the functions of the library that the processes call, compiled with weak.h.  What
 * a process knows alone is ordinary memory here.  Of what one leaves for another without an
 * atomic access, a task's slot and the room of a result, the models say when it is written
 * and when it is read: what nothing orders is then found.
 */
#include <procpool.h>

#include "world.h"

enum { TASKS = 3, SLOT = 0, ROOM = 4 }; /* the last two number plain memory */

static struct ppi_queue queue;
static struct ppi_flight flights[PPI_WINDOW];
static struct pp_result result;
static pp_pool pool;
static struct ppi_heritage heritage;
static struct ppi_supervisor supervisor;
static struct ppi_worker workers[SEATS];
static pp_task task;
static unsigned finished;         /* tasks */
static unsigned ran[TASKS + 1];   /* how often a position was run */
static uint64_t clock_ns;
static _Atomic uint32_t poked;    /* what a descriptor says */

/* ---- The kernel's part -------------------------------------------------- */

static int futex_wait(const _Atomic uint32_t *word, uint32_t value, uint64_t deadline_ns)
{
    if (deadline_ns != PPI_NEVER)
        return -ETIMEDOUT; /* no time is long enough for somebody else to come */
    return weak_wait(word, value);
}

static int futex_wait_either(const _Atomic uint32_t *word, uint32_t value,
                             const _Atomic uint32_t *other, uint32_t other_value,
                             const _Atomic uint32_t *hint, uint64_t deadline_ns)
{
    (void)other, (void)other_value, (void)hint, (void)deadline_ns;
    return weak_wait(word, value);
}

static int futex_wake(_Atomic uint32_t *word, int count)
{
    return weak_wake(word, count);
}

static bool futex_signal(const struct ppi_waker *waker)
{
    (void)waker;
    atomic_store_explicit(&poked, 1, memory_order_relaxed);
    weak_wake(&poked, PPI_ALL);
    return true;
}

static uint64_t now(void)
{
    return clock_ns += 4000;
}

static uint32_t cpu(void)
{
    return 0;
}

static const struct ppi_futex_ops ops = { futex_wait,   futex_wait_either, futex_wake,
                                          futex_signal, now,               cpu };

int __wrap_clock_gettime(clockid_t id, struct timespec *time);
int __wrap_clock_gettime(clockid_t id, struct timespec *time)
{
    (void)id;
    *time = (struct timespec){ .tv_sec = 1, .tv_nsec = (long)now() };
    return 0;
}

/* ---- The client's part beside the queue --------------------------------- */

bool __wrap_ppi_succeed(pp_result *of, size_t first, size_t count, const void *payload,
                        size_t size, bool null);
bool __wrap_ppi_succeed(pp_result *of, size_t first, size_t count, const void *payload,
                        size_t size, bool null)
{
    (void)of, (void)first, (void)count, (void)payload, (void)null;
    if (size > PPI_INLINE_VALUE)
        weak_read(ROOM);
    return true;
}

void __wrap_ppi_settle(pp_result *of);
void __wrap_ppi_settle(pp_result *of)
{
    (void)of;
}

void __wrap_ppi_end_flight(pp_pool *of, struct ppi_flight *flight);
void __wrap_ppi_end_flight(pp_pool *of, struct ppi_flight *flight)
{
    (void)of;
    weak_read(ROOM + (unsigned)(flight->position % PPI_WINDOW));
    flight->result = NULL;
    finished++;
}

/* ---- Before each run ---------------------------------------------------- */

static void before(void)
{
    if (!queue.shm && ppi_queue_create(&queue, SEATS, 65536, 65536, 65536) != 0)
        abort();
    queue.futex = &ops;
    queue.cpus = 4;
    queue.spin_ns = 0;
    queue.poke = queue.event = PPI_NO_WAKER;
    place_all(&queue);
    weak_place(&poked, 0);
    memset(flights, 0, sizeof flights);
    memset(workers, 0, sizeof workers);
    memset(ran, 0, sizeof ran);
    memset(queue.shm->slots, 0, PPI_WINDOW * sizeof *queue.shm->slots);
    pool = (pp_pool){ .queue = &queue, .flights = flights };
    result = (struct pp_result){ .pool = &pool, .task = &task, .count = TASKS };
    finished = 0;
    clock_ns = 0;
}

/* ---- Tasks, from the client to a worker and back ------------------------- */

static void run(const void *args, void *value)
{
    uint64_t position = *(const uint64_t *)args;

    weak_check(ran[position]++ == 0, "a task is run twice");
    weak_read(SLOT + (unsigned)(position % PPI_WINDOW));
    weak_write(ROOM + (unsigned)(position % PPI_WINDOW));
    *(uint32_t *)value = 1;
}

static void submit(uint64_t position)
{
    struct ppi_slot_shm *slot = ppi_queue_slot(&queue, position);

    flights[position % PPI_WINDOW] =
        (struct ppi_flight){ .result = &result, .position = position, .end = 1, .left = 1 };
    weak_write(SLOT + (unsigned)(position % PPI_WINDOW));
    *slot = (struct ppi_slot_shm){ .end = 1, .run = (uintptr_t)run, .result_size = 4,
                                   .result_kind = PP_VALUE_ };
    slot->args = (uint64_t)((char *)slot->inline_args - queue.segment.base);
    memcpy(slot->inline_args, &position, sizeof position);
    ppi_publish(&queue, position);
    ppi_ring(&queue);
}

/* As lead() of src/client/wait.c. */
static void wait_for(unsigned count, uint64_t wanted)
{
    uint32_t bell;

    while (finished < count) {
        if (ppi_drain(&pool))
            continue;
        bell = ppi_client_announce(&queue, wanted);
        if (!ppi_news(&pool, 1))
            ppi_client_sleep(&queue, bell, PPI_NEVER);
    }
}

static void finish(void)
{
    atomic_store_explicit(&queue.shm->command, PPI_FINISH, memory_order_release);
    ppi_wake_to_end(&queue, 1);
}

static void client(void)
{
    for (uint64_t position = 0; position < TASKS; position++) {
        if (position >= PPI_WINDOW)
            wait_for((unsigned)(position - PPI_WINDOW) + 1, PPI_ANYTHING);
        if (!flights[position % PPI_WINDOW].result)
            submit(position);
        else
            wait_for(TASKS - 1, PPI_ANYTHING), submit(position);
    }
    wait_for(TASKS, PPI_ANYTHING);
    finish();
}

static void work(unsigned seat)
{
    ppi_worker_init(&workers[seat], &queue, seat, 1, 0);
    workers[seat].idler.spin.skip = queue.spin_ns ? 0 : 1000;
    ppi_worker_loop(&workers[seat]);
}

static void worker_0(void)
{
    work(0);
}

static void worker_1(void)
{
    work(1);
}

static void all_ran(void)
{
    for (unsigned position = 0; position < TASKS; position++)
        weak_check(ran[position] == 1, "a task was not run");
}

/* ---- The same with workers that search, and a client that waits for one -- */

static void before_searching(void)
{
    before();
    queue.spin_ns = 1;
}

static void choosy_client(void)
{
    submit(0);
    submit(1);
    wait_for(2, 1); /* which may have been the first to end */
    submit(2);
    wait_for(3, 2);
    finish();
}

/* ---- Room in the outbox -------------------------------------------------- */

static void writer(void)
{
    struct ppi_seat *seat = &workers[0].seat;

    ppi_seat_init(seat, &queue, 0, 1);
    for (unsigned i = 0; i < TASKS; i++) {
        struct ppi_record_shm record = { .position = i % 2, .count = 1, .outcome = PPI_OK,
                                         .payload_size = 40000 };
        char *block = ppi_seat_alloc(seat, 40000); /* there is room for one */

        weak_write(ROOM);
        record.payload = ppi_seat_offset(seat, block);
        ppi_seat_commit(seat, &record, ppi_outbox_mark(&seat->outbox));
    }
    ppi_seat_tell(seat);
}

static void reader(void)
{
    flights[0] = (struct ppi_flight){ .result = &result, .end = 1, .left = 10 };
    flights[1] = (struct ppi_flight){ .result = &result, .position = 1, .end = 1, .left = 10 };
    while (pool.taken[0] < TASKS) {
        uint32_t bell;

        if (ppi_drain(&pool))
            continue;
        bell = ppi_client_announce(&queue, PPI_ANYTHING);
        if (!ppi_news(&pool, 1))
            ppi_client_sleep(&queue, bell, PPI_NEVER);
    }
}

/* ---- The service thread, and event loops --------------------------------- */

static void commits_one(void)
{
    struct ppi_seat *seat = &workers[0].seat;
    struct ppi_record_shm record = { .count = 1, .outcome = PPI_OK, .payload_size = 4 };

    ppi_seat_init(seat, &queue, 0, 1);
    weak_write(ROOM);
    ppi_seat_commit(seat, &record, ppi_outbox_mark(&seat->outbox));
}

static void commits_for_loop(void)
{
    commits_one();
    ppi_seat_tell(&workers[0].seat);
}

static void commits_for_service(void)
{
    commits_one();
    ppi_wake_service(&queue);
}

static void service(void)
{
    flights[0] = (struct ppi_flight){ .result = &result, .end = 1, .left = 1 };
    while (!ppi_drain(&pool)) {
        uint32_t bell = ppi_service_announce(&queue);

        if (!ppi_news(&pool, 1))
            ppi_service_doze(&queue, bell);
    }
}

static void before_event(void)
{
    before();
    queue.event.writer = 0; /* futex_signal() asks no more of it */
}

void __wrap_ppi_waker_clear(const struct ppi_waker *waker);
void __wrap_ppi_waker_clear(const struct ppi_waker *waker)
{
    (void)waker;
    atomic_store_explicit(&poked, 0, memory_order_relaxed);
}

static void event_loop(void)
{
    flights[0] = (struct ppi_flight){ .result = &result, .end = 1, .left = 1 };
    for (;;) {
        ppi_event_announce(&queue);
        if (ppi_drain(&pool))
            return;
        weak_wait(&poked, 0);
    }
}

/* ---- After a death ------------------------------------------------------- */

static void before_requeue(void)
{
    before();
    submit(0);
    queue.shm->slots[0].end = 10;
    weak_place(&queue.shm->tail, 1);
    weak_place(&queue.claims->words[0], ppi_claim_word(0, PPI_CLAIMED, 0));
    weak_place(&queue.claims->head, 1);
    weak_place(&queue.claims->waking, PPI_WOKEN); /* which the dead has taken with it */
}

static void hand_back(void)
{
    weak_check(ppi_requeue(&queue, 0, 0, 5, 2), "it was the dead's");
    ppi_forget_sleeper(&queue, 0);
    ppi_wake_all(&queue);
}

static void takes_over(void)
{
    struct ppi_claimer *claimer = &workers[1].claimer;
    struct ppi_start start;

    ppi_claimer_init(claimer, &queue, 1);
    while (!ppi_claim(claimer, &start))
        ppi_sleep(claimer);
    weak_check(start.position == 0 && start.first == 5 && start.attempt == 2,
               "what was handed back begins somewhere else");
}

/* ---- Cancelling, and stopping what runs ---------------------------------- */

static bool withdrawn;

static void withdraws(void)
{
    submit(0);
    withdrawn = ppi_withdraw(&queue, 0);
}

static void claims(void)
{
    struct ppi_claimer *claimer = &workers[0].claimer;
    struct ppi_start start;

    ppi_claimer_init(claimer, &queue, 0);
    for (int i = 0; i < 3; i++)
        if (ppi_claim(claimer, &start)) {
            weak_read(SLOT);
            ran[0]++;
        }
}

static void one_of_both(void)
{
    weak_check(ran[0] + withdrawn <= 1, "withdrawn, and run");
}

static jmp_buf death;
static bool killed, runs_next;

int __wrap_kill(pid_t pid, int number);
int __wrap_kill(pid_t pid, int number)
{
    if (pid != 100)
        return 0; /* an alarm */
    weak_check(number == SIGKILL, "no grace period here");
    weak_check(!runs_next, "what comes next is hit");
    killed = true;
    weak_place(&queue.control->seats[0].stop, 0x10001); /* or it would go to sleep after that */
    weak_wake(&queue.control->seats[0].stop, PPI_ALL);
    weak_place(&queue.control->seats[1].stop, 1); /* where endless() waits */
    weak_wake(&queue.control->seats[1].stop, PPI_ALL);
    return 0;
}

/* A worker that was killed gets as far as this, at most. */
static int stop_wait(const _Atomic uint32_t *word, uint32_t value, uint64_t deadline_ns)
{
    (void)deadline_ns;
    while (!killed && weak_wait(word, value) == 0)
        ;
    if (killed)
        longjmp(death, 1);
    return 0;
}

static const struct ppi_futex_ops stop_ops = { stop_wait,    futex_wait_either, futex_wake,
                                               futex_signal, now,               cpu };

static void next_item(const void *args, void *value)
{
    (void)value;
    if (killed && *(const uint64_t *)args == 0)
        longjmp(death, 1);
    if (*(const uint64_t *)args == 1) {
        weak_check(!killed, "what comes next is run by a worker that was killed");
        runs_next = true;
    }
}

static void before_stop(void)
{
    before();
    queue.futex = &stop_ops;
    submit(0);
    submit(1);
    for (unsigned i = 0; i < 2; i++) {
        queue.shm->slots[i].run = (uintptr_t)next_item;
        weak_place(&queue.claims->words[i], ppi_claim_word(i, PPI_CLAIMED, 0));
    }
    weak_place(&ppi_queue_seat(&queue, 0)->incarnation, 1);
    memset(&supervisor.places, 0, SEATS * sizeof *supervisor.places);
    supervisor.queue = queue;
    supervisor.heritage = &heritage;
    supervisor.places[0].pid = 100;
    supervisor.places[0].incarnation = 1;
    killed = runs_next = false;
}

static void runs_two(void)
{
    struct ppi_worker *worker = &workers[0];

    ppi_worker_init(worker, &queue, 0, 1, 0);
    if (setjmp(death))
        return;
    for (uint64_t position = 0; position < 2; position++)
        ppi_run_task(worker, &(struct ppi_start){ .position = position, .attempt = 1 });
}

static void stops(void)
{
    ppi_look_at_tasks(&supervisor);
    ppi_look_at_tasks(&supervisor);
}

static void cancels(void)
{
    ppi_set_cancelled(&queue, 0, PPI_NOW);
}

/* The client cancels and pokes the supervisor, which looks then. */
static void cancels_and_stops(void)
{
    cancels();
    ppi_look_at_tasks(&supervisor);
}

static void endless(const void *args, void *value)
{
    (void)args, (void)value;
    runs_next = false;
    while (!killed)
        weak_wait(&queue.control->seats[1].stop, 0);
    longjmp(death, 1);
}

static void before_cancel(void)
{
    before_stop();
    queue.shm->slots[0].run = (uintptr_t)endless;
}

static void runs_for_ever(void)
{
    ppi_worker_init(&workers[0], &queue, 0, 1, 0);
    if (!setjmp(death))
        ppi_run_task(&workers[0], &(struct ppi_start){ .attempt = 1 });
}

/* ---- Time limits --------------------------------------------------------- */

static bool alarmed;
static uint64_t began;

static bool note_alarm(const struct ppi_waker *waker)
{
    (void)waker;
    alarmed = true;
    return true;
}

static const struct ppi_futex_ops limit_ops = { stop_wait,  futex_wait_either, futex_wake,
                                                note_alarm, now,               cpu };

static void before_limit(void)
{
    before_stop();
    queue.futex = supervisor.queue.futex = &limit_ops;
    queue.shm->slots[0].limit_ns = UINT64_C(1) << 40;
    weak_place(&ppi_queue_seat(&queue, 0)->runs, 0);
    weak_place(&queue.control->looks_at, 1); /* it is about to look: nobody has to alarm it */
    alarmed = false;
}

static void begins_item(void)
{
    struct ppi_worker *worker = &workers[0];

    worker->seat = (struct ppi_seat){ .queue = &queue, .shm = ppi_queue_seat(&queue, 0) };
    worker->slot = &queue.shm->slots[0];
    began = ppi_now_ns();
    ppi_begin_limit(worker);
}

static void looks(void)
{
    ppi_look_at_tasks(&supervisor);
}

static void in_time(void)
{
    weak_check(alarmed || supervisor.look_at_ns <= began + (UINT64_C(1) << 40) + 100000,
               "nobody looks when the item's time is up");
}

/* ---- All of them --------------------------------------------------------- */

const struct weak_model weak_models[] = {
    { "tasks", before, { client, worker_0, worker_1 }, all_ran },
    { "search", before_searching, { client, worker_0, worker_1 }, all_ran },
    { "wanted", before, { choosy_client, worker_0, worker_1 }, all_ran },
    { "room", before, { reader, writer, NULL }, NULL },
    { "service", before, { service, commits_for_service, NULL }, NULL },
    { "event", before_event, { event_loop, commits_for_loop, NULL }, NULL },
    { "requeue", before_requeue, { hand_back, takes_over, NULL }, NULL },
    { "withdraw", before, { withdraws, claims, NULL }, one_of_both },
    { "stop", before_stop, { stops, runs_two, cancels }, NULL },
    { "cancel", before_cancel, { cancels_and_stops, runs_for_ever, NULL }, NULL },
    { "limit", before_limit, { looks, begins_item, NULL }, in_time },
};
const unsigned weak_model_count = sizeof weak_models / sizeof *weak_models;
