/* SPDX-License-Identifier: MIT */
#include "rig.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "hook.h"
#include "queue/wake.h"

#undef abort
#undef kill
#undef memcpy
#undef atomic_load
#undef atomic_load_explicit
#define atomic_load(place) __atomic_load_n((FUZZ_TYPE(place) *)(place), __ATOMIC_SEQ_CST)

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#include <sanitizer/asan_interface.h>
#endif
#endif
#ifndef ASAN_POISON_MEMORY_REGION
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

enum { ARENA = 1 << 20, OUTBOX = 1 << 16, SHARED = 1 << 18, WORKERS = 3, MOST_LIVES = 2 };

struct rig rig;

/* ---- Instead of the kernel ---- */

static void supervise(void);
static void take_in(void);

/* Who waits for room in its seat waits for the client; one that has lied perhaps for ever. */
static int wait_for_client(const _Atomic uint32_t *word, uint32_t value, uint64_t deadline_ns)
{
    int running = rig.running;

    (void)word;
    (void)value;
    (void)deadline_ns;
    FUZZ_CHECK(running >= 0);
    rig.running = -1;
    take_in();
    supervise();
    rig.running = running;
    if (rig.supervisor.places[running].pid == 0)
        longjmp(rig.death, 1);
    if (++rig.waits > 3) {
        FUZZ_CHECK(running == rig.hostile || rig.powers.claims);
        rig_die(SIGKILL);
    }
    return 0;
}

static int wait_for_nobody(const _Atomic uint32_t *word, uint32_t value,
                           const _Atomic uint32_t *other, uint32_t other_value,
                           const _Atomic uint32_t *hint, uint64_t deadline_ns)
{
    (void)word;
    (void)value;
    (void)other;
    (void)other_value;
    (void)hint;
    (void)deadline_ns;
    fuzz_fail(__FILE__, __LINE__, "that nobody sleeps here");
}

static int wake_nobody(_Atomic uint32_t *word, int count)
{
    (void)word;
    (void)count;
    return 0;
}

static bool signal_nobody(const struct ppi_waker *waker)
{
    (void)waker;
    return true;
}

static uint32_t first_cpu(void)
{
    return 0;
}

static const struct ppi_futex_ops nobody = {
    .wait = wait_for_client,
    .wait_either = wait_for_nobody,
    .wake = wake_nobody,
    .signal = signal_nobody,
    .now = ppi_now_ns,
    .cpu = first_cpu,
};

static void dies(unsigned seat, int status)
{
    if (rig.supervisor.places[seat].pid == 0 || rig.dead[seat])
        return;
    rig.dead[seat] = true;
    rig.status[seat] = status;
    rig.silent |= rig.hostile == (int)seat && !rig.ghost;
}

int fuzz_kill(pid_t pid, int signal)
{
    if (signal == SIGKILL || signal == SIGTERM)
        for (unsigned seat = 0; seat < RIG_SEATS; seat++)
            if (rig.supervisor.places[seat].pid == pid)
                dies(seat, SIGKILL);
    return 0;
}

_Noreturn void fuzz_abort(void)
{
    rig_die(SIGABRT);
}

/* ---- Looks of client and supervisor, between which something happens ---- */

void rig_look(void)
{
    rig.looking = true;
}

void rig_look_away(void)
{
    rig.looking = false;
}

/* Whether it lies where the hostile worker may write. */
static bool is_in_danger(uintptr_t place)
{
    const struct ppi_queue *queue = rig.pool->queue;
    uintptr_t claims = (uintptr_t)queue->claims;
    uintptr_t seat = (uintptr_t)ppi_queue_seat(queue, (unsigned)rig.hostile);

    return (rig.powers.claims && place - claims < sizeof *queue->claims) ||
           (rig.powers.seat && place - seat < queue->segment.seat_size);
}

void fuzz_before(const volatile void *place)
{
    if (!rig.looking || rig.hostile < 0 || input_over(rig.input) ||
        !is_in_danger((uintptr_t)place))
        return;
    rig.looking = false;
    if (input_back(rig.input) < 48)
        rig_mischief(input_back);
    rig.looking = true;
}

/* ---- The pool, as pp_pool_new() makes it ---- */

static pp_pool *make_pool(void)
{
    static struct ppi_objects *objects; /* nothing is loaded any more */
    pp_pool *pool = calloc(1, sizeof *pool);

    FUZZ_CHECK(pool && (objects || ppi_objects_create(&objects) == 0));
    ppi_init_results(pool);
    pool->flights = ppi_flights_new();
    pool->creator =
        mmap(NULL, PPI_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    FUZZ_CHECK(pool->flights && pool->creator != MAP_FAILED);
    *pool->creator = 1;
    pool->objects = objects;
    pool->queue = &pool->heritage.queue;
    pool->mode = PP_CALLBACKS_POLL; /* without any thread */
    pool->start = PP_FORK;
    pool->queue->poke = pool->queue->event = PPI_NO_WAKER;
    pool->heritage.client = pool->heritage.poke = pool->supervisor = -1;
    ppi_loop_init(pool);
    pool->heritage.finalizer_ns = PPI_NEVER;
    FUZZ_CHECK(ppi_queue_create(pool->queue, RIG_SEATS, ARENA, OUTBOX, SHARED) == 0);
    FUZZ_CHECK(ppi_buddy_init(&pool->arena, pool->queue->arena, ARENA, ARENA) == 0);
    FUZZ_CHECK(ppi_buddy_init(&pool->shared, pool->queue->shared, SHARED, SIZE_MAX) == 0);
    pool->queue->futex = &nobody;
    pool->queue->cpus = 1;
    ppi_set_size(pool, WORKERS);
    pool->most = WORKERS;
    return pool;
}

static void tell(const pp_death *death, void *user)
{
    (void)user;
    FUZZ_CHECK(strlen(death->message) < PPI_MESSAGE_SIZE);
    rig.told++;
}

/* Odd seats and the gaps in front of outboxes are nobody's business. */
static void fence(bool raise)
{
    for (unsigned seat = 0; seat < RIG_SEATS; seat++) {
        struct ppi_seat_shm *shm = ppi_queue_seat(rig.pool->queue, seat);
        char *end = ppi_queue_outbox(rig.pool->queue, seat);
        char *begin = seat % 2 ? (char *)shm : (char *)(shm + 1);

        if (seat % 2)
            end += OUTBOX;
        if (raise)
            ASAN_POISON_MEMORY_REGION(begin, (size_t)(end - begin));
        else
            ASAN_UNPOISON_MEMORY_REGION(begin, (size_t)(end - begin));
    }
}

/* ---- Workers ---- */

static pid_t start(struct ppi_supervisor *supervisor, unsigned seat, uint32_t incarnation)
{
    struct ppi_worker *worker = &rig.workers[seat];

    rig_look_away();
    ppi_worker_init(worker, &supervisor->queue, seat, incarnation, 0);
    ppi_current_worker = NULL;
    atomic_store_explicit(&worker->seat.shm->state, PPI_SEAT_READY, memory_order_release);
    if (rig.hostile < 0 && rig.lives < MOST_LIVES) {
        rig.hostile = (int)seat;
        rig.lives++;
        rig.silent = false;
    }
    rig_look();
    return (pid_t)(RIG_FIRST_PID + seat);
}

static void reap_all(struct ppi_supervisor *supervisor)
{
    for (unsigned seat = 0; seat < RIG_SEATS; seat++) {
        if (!rig.dead[seat])
            continue;
        rig.dead[seat] = false;
        ppi_reap(supervisor, seat, rig.status[seat]);
        if (rig.hostile == (int)seat)
            rig.hostile = -1;
    }
}

static void end_all(struct ppi_supervisor *supervisor)
{
    for (unsigned seat = 0; seat < RIG_SEATS; seat++)
        dies(seat, SIGKILL);
    reap_all(supervisor);
}

static const struct ppi_kind played = { .start = start, .look = reap_all, .end = end_all };

_Noreturn void rig_die(int status)
{
    dies((unsigned)rig.running, status);
    rig_harm(rig.workers[rig.running].position);
    longjmp(rig.death, 1);
}

static bool is_working(unsigned seat)
{
    return rig.supervisor.places[seat].pid != 0 && !rig.dead[seat];
}

static void run(unsigned seat, const struct ppi_start *begun)
{
    struct ppi_worker *worker = &rig.workers[seat];

    rig.running = (int)seat;
    rig.waits = 0;
    ppi_current_worker = worker;
    if (setjmp(rig.death) == 0)
        ppi_run_task(worker, begun);
    ppi_current_worker = NULL;
    rig.running = -1;
}

/* A worker claims a task and runs it; false if there is none. */
static bool work(unsigned seat, bool may_die)
{
    struct ppi_worker *worker = &rig.workers[seat];
    struct ppi_start begun;
    bool hostile = rig.hostile == (int)seat;

    if (!is_working(seat) || !ppi_claim(&worker->claimer, &begun))
        return false;
    if (hostile)
        rig_taint(begun.position);
    rig.may_die = may_die;
    FUZZ_CHECK(ppi_queue_slot(rig.pool->queue, begun.position)->run != 0);
    run(seat, &begun);
    return true;
}

/* ---- What is done ---- */

static void supervise(void)
{
    struct ppi_supervisor *supervisor = &rig.supervisor;
    unsigned missing;

    rig_look();
    for (unsigned seat = 0; seat < RIG_SEATS; seat++) {
        uint32_t condemned = atomic_load(&rig.pool->queue->shm->acks[seat].condemned);

        if (condemned == 0 || condemned != supervisor->places[seat].incarnation)
            continue;
        FUZZ_CHECK(rig.powers.claims || rig.hostile == (int)seat || !is_working(seat));
        dies(seat, SIGKILL);
    }
    reap_all(supervisor);
    ppi_look_at_tasks(supervisor);
    reap_all(supervisor);
    ppi_show_seats(supervisor);
    for (missing = ppi_fit_size(supervisor); missing > 0; missing--)
        if (ppi_spawn_worker(supervisor) != 0)
            break;
    rig_look_away();
}

static void take_in(void)
{
    rig_look();
    ppi_look(rig.pool);
    while (!ppi_list_empty(&rig.pool->deaths))
        ppi_tell_death(rig.pool);
    rig_look_away();
}

/* Whoever asks how things are. */
static void ask(void)
{
    pp_worker_stats workers[RIG_SEATS];
    size_t count, done = 0;

    pthread_mutex_unlock(&rig.pool->lock);
    rig_look();
    (void)pp_stats_of(rig.pool);
    count = pp_worker_stats_of(rig.pool, workers, RIG_SEATS);
    FUZZ_CHECK(count <= RIG_SEATS);
    for (size_t i = 0; i < count; i++)
        FUZZ_CHECK(workers[i].busy >= 0 && workers[i].waiting >= 0);
    for (size_t i = 0; i < rig.results_count; i++) {
        pp_progress progress = pp_progress_of(rig.results[i].result);

        FUZZ_CHECK(progress.done <= progress.total && progress.failed <= progress.total);
        done += progress.done;
    }
    rig_look_away();
    FUZZ_CHECK(done <= rig.items_count);
    pthread_mutex_lock(&rig.pool->lock);
}

static void cancel(unsigned which)
{
    pp_result *result;

    if (rig.results_count == 0)
        return;
    result = rig.results[which % rig.results_count].result;
    rig_harm_all(result);
    rig_look();
    ppi_cancel(result, which % 2, "no longer wanted");
    ppi_feed(rig.pool);
    rig_look_away();
}

static void end_hostile(unsigned how)
{
    static const int statuses[] = { SIGSEGV, SIGKILL, SIGABRT, 0, 1 << 8 };

    if (rig.hostile >= 0)
        dies((unsigned)rig.hostile, statuses[how % 5]);
}

static void work_honestly(unsigned which, bool may_die)
{
    for (unsigned i = 0; i < RIG_SEATS; i++) {
        unsigned seat = (which + i) % RIG_SEATS;

        if (rig.hostile != (int)seat && work(seat, may_die))
            return;
    }
}

static void act(unsigned what)
{
    switch (what % 16) {
    case 0:
    case 1:
    case 2:
        rig_submit();
        break;
    case 3:
    case 4:
        work_honestly(what / 16, true);
        break;
    case 5:
    case 6:
        if (rig.hostile >= 0)
            work((unsigned)rig.hostile, false);
        break;
    case 7:
    case 8:
    case 9:
        rig_mischief(input_front);
        break;
    case 10:
    case 11:
        take_in();
        break;
    case 12:
        supervise();
        break;
    case 13:
        if (rig.powers.dies)
            end_hostile(what / 16);
        break;
    case 14:
        ask();
        break;
    default:
        if (what / 16 == 0)
            cancel(input_front(rig.input));
        else
            work_honestly(what, false);
    }
}

/* ---- Beginning and end ---- */

void rig_begin(struct input *input, struct rig_powers powers)
{
    struct ppi_supervisor *supervisor = &rig.supervisor;

    memset(&rig, 0, sizeof rig);
    ppi_first_patience_ns = PPI_WITHOUT_DOUBT; /* the same input, the same play; see finish() */
    rig.input = input;
    rig.powers = powers;
    rig.hostile = rig.running = -1;
    rig.pool = make_pool();
    rig.pool->on_death = tell;
    rig.pool->dying = calloc(1, sizeof *rig.pool->dying);
    atomic_store(&rig.pool->queue->shm->command, PPI_RUNNING);
    supervisor->heritage = &rig.pool->heritage;
    supervisor->kind = &played;
    supervisor->queue = rig.pool->heritage.queue;
    supervisor->size = WORKERS;
    supervisor->look_at_ns = PPI_NEVER;
    ppi_limit_init(&supervisor->limit, WORKERS);
    for (unsigned seat = 1; seat < RIG_SEATS; seat += 2) {
        supervisor->places[seat] = (struct ppi_place){ .used = true, .incarnation = 1 };
        atomic_store(&supervisor->queue.control->seats[seat].incarnation, 1);
        rig.pool->released[seat] = 1;
    }
    atomic_store(&supervisor->queue.control->state, PPI_POOL_RUNNING);
    fence(true);
    pthread_mutex_lock(&rig.pool->lock);
    supervise();
}

void rig_end(void)
{
    pp_pool *pool = rig.pool;

    fence(false);
    pthread_mutex_unlock(&pool->lock);
    ppi_drop_deaths(pool);
    free(pool->dying);
    ppi_slab_destroy(&pool->slab);
    ppi_slab_destroy(&pool->chunks);
    pool->objects = NULL;
    ppi_unmake(pool);
}

/*
 * The hostile worker is killed, and no other comes: everything must come to an end.  If one has
 * damaged claims after the last death, only a client that waits in vain looks at them.
 */
static void finish(void)
{
    enum { ENOUGH = 4 * RIG_MOST_ITEMS, PATIENCE = 16 };

    rig.lives = MOST_LIVES;
    rig.ghost = false;
    end_hostile(1);
    for (unsigned turn = 0; !rig_all_there(); turn++) {
        FUZZ_CHECK(turn < ENOUGH);
        supervise();
        take_in();
        work_honestly(turn, false);
        if (turn % PATIENCE == PATIENCE - 1)
            ppi_audit(rig.pool, -1);
    }
}

void rig_play(const uint8_t *data, size_t size, struct rig_powers powers)
{
    struct input input = { data, data + size };

    rig_begin(&input, powers);
    rig.ghost = powers.dies && powers.claims && input_front(&input) % 4 == 0;
    while (!input_over(&input))
        act(input_front(&input));
    finish();
    take_in();
    rig_check_results();
    rig_end();
}
