/* SPDX-License-Identifier: MIT */
#include "stepping.h"

#include "engine.h"

#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/process.h"
#include "client/client.h"
#include "queue/wake.h"
#include "steps.h"
#include "supervisor/supervisor.h"
#include "worker/worker.h"

enum { MOST_SEATS = 12, ARENA = 1 << 20, OUTBOX = 1 << 18, FIRST_PID = 1000000 };

static struct {
    struct engine_options options;
    struct random *random;
    pp_pool *pool;
    void (*client)(pp_pool *pool);
    unsigned supervisor; /* its number among the processes */
    unsigned process[MOST_SEATS];
    uint32_t incarnation[MOST_SEATS];
    bool dead[MOST_SEATS]; /* not reaped yet */
    int status[MOST_SEATS];
    struct ppi_worker workers[MOST_SEATS];
    unsigned deaths, costs;
    bool unjust; /* a death cost an item although no task had begun */
    bool condemned;
    uint64_t now_ns; /* the clock */
} engine;

static struct ppi_supervisor supervisor;

/* ---- The pool, as pp_pool_new() makes it --------------------------------- */

static void make_creator_mark(pp_pool *pool)
{
    pool->creator =
        mmap(NULL, PPI_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pool->creator != MAP_FAILED);
    *pool->creator = 1;
}

static void make_loop(pp_pool *pool)
{
    struct epoll_event readable = { .events = EPOLLIN };

    if (pool->mode != PP_CALLBACKS_POLL)
        return;
    pool->loop = epoll_create1(EPOLL_CLOEXEC);
    CHECK(pool->loop >= 0);
    CHECK_EQ(epoll_ctl(pool->loop, EPOLL_CTL_ADD, pool->queue->event.reader, &readable), 0);
}

static pp_pool *make_pool(void)
{
    pp_pool *pool = calloc(1, sizeof *pool);
    unsigned most = engine.options.most ? engine.options.most : engine.options.workers;
    unsigned seats = most + engine.options.spare_seats;

    CHECK(pool && seats <= MOST_SEATS);
    ppi_first_patience_ns = PPI_WITHOUT_DOUBT;
    ppi_init_results(pool);
    pool->flights = ppi_flights_new();
    CHECK(pool->flights != NULL);
    make_creator_mark(pool);
    pool->queue = &pool->heritage.queue;
    pool->mode = engine.options.callbacks;
    pool->heritage.max_items = engine.options.max_items;
    CHECK_EQ(ppi_waker_open(&pool->queue->poke), 0);
    pool->heritage.poke = pool->queue->poke.reader;
    CHECK_EQ(ppi_waker_open(&pool->queue->event), 0);
    ppi_loop_init(pool);
    make_loop(pool);
    pool->supervisor = dup(pool->heritage.poke); /* something to close */
    CHECK(pool->supervisor >= 0);
    CHECK_EQ(ppi_queue_create(pool->queue, seats, ARENA, OUTBOX, ARENA), 0);
    CHECK_EQ(ppi_buddy_init(&pool->arena, pool->queue->arena, ARENA, ARENA), 0);
    CHECK_EQ(ppi_buddy_init(&pool->shared, pool->queue->shared, ARENA, SIZE_MAX), 0);
    pool->queue->futex = &steps_futex;
    ppi_set_size(pool, engine.options.workers);
    pool->most = most;
    pool->queue->cpus = 1 + random_below(engine.random, 4);
    pool->queue->spin_ns = random_percent(engine.random, 70) ? PPI_SPIN_NS : 0;
    pool->tail = engine.options.first_position;
    atomic_store(&pool->queue->shm->tail, pool->tail);
    atomic_store(&pool->queue->claims->head, pool->tail);
    atomic_store(&pool->queue->shm->command, PPI_RUNNING);
    return pool;
}

/* ---- Workers ------------------------------------------------------------- */

static void be_worker(void *what)
{
    unsigned seat = (unsigned)((struct ppi_worker *)what - engine.workers);
    struct ppi_worker *worker = what;

    ppi_worker_init(worker, &supervisor.queue, seat, engine.incarnation[seat],
                    engine.options.max_items);
    atomic_store_explicit(&worker->seat.shm->state, PPI_SEAT_READY, memory_order_release);
    ppi_wake_client(&supervisor.queue);
    ppi_worker_loop(worker);
    atomic_store_explicit(&worker->seat.shm->state, PPI_SEAT_RETIRED, memory_order_release);
    engine.status[seat] = 0;
    engine.dead[seat] = true;
}

static uint64_t any_nonsense(void)
{
    static const uint64_t favourites[] = { 0, 1, UINT64_MAX, UINT64_C(0x4141414141414141) };

    return random_percent(engine.random, 50) ? favourites[random_below(engine.random, 4)]
                                             : random_next(engine.random);
}

/* What a wild pointer does to the part that all workers may write. */
static void damage(struct ppi_claims_shm *claims)
{
    uint64_t *all = (uint64_t *)(void *)claims, *words = (uint64_t *)claims->words;
    unsigned count = 1 + random_below(engine.random, PPI_WINDOW);

    while (count-- > 0) {
        uint64_t nonsense = any_nonsense();

        if (random_percent(engine.random, 60))
            words[random_below(engine.random, PPI_WINDOW)] = nonsense;
        else
            all[random_below(engine.random, (size_t)(words - all))] = nonsense;
    }
    if (random_percent(engine.random, 20)) /* nonsense that could be true */
        *(uint64_t *)&claims->head += random_below(engine.random, PPI_WINDOW);
}

static void die_perhaps(void)
{
    unsigned seat = random_below(engine.random, MOST_SEATS);

    if (engine.deaths == engine.options.deaths || !random_percent(engine.random, 1) ||
        supervisor.places[seat].pid == 0 || steps_state(engine.process[seat]) >= STEPS_ENDED)
        return;
    engine.deaths++;
    engine.status[seat] = SIGKILL;
    if (engine.options.vandals)
        damage(supervisor.queue.claims);
    engine.dead[seat] = true;
    steps_kill(engine.process[seat]);
}

/* ---- The supervisor ------------------------------------------------------ */

static pid_t start(struct ppi_supervisor *unused, unsigned seat, uint32_t incarnation)
{
    (void)unused;
    engine.incarnation[seat] = incarnation;
    engine.process[seat] = steps_add(be_worker, &engine.workers[seat]);
    atomic_store_explicit(&supervisor.queue.control->seats[seat].pid,
                          (pid_t)(FIRST_PID + engine.process[seat]), memory_order_relaxed);
    return (pid_t)(FIRST_PID + engine.process[seat]);
}

static const struct ppi_kind coroutines = { .start = start };

/* Whether a dead worker had begun what it intended last. */
static bool has_begun(unsigned seat)
{
    const struct ppi_seat_shm *shm = ppi_queue_seat(&supervisor.queue, seat);

    return atomic_load(&shm->runs) == atomic_load(&shm->intent);
}

static void reap_all(void)
{
    for (unsigned seat = 0; seat < supervisor.queue.seats; seat++)
        if (engine.dead[seat]) {
            bool began = has_begun(seat);
            bool cost;

            engine.dead[seat] = false;
            cost = ppi_reap_worker(&supervisor, seat, engine.status[seat]);
            engine.costs += cost;
            engine.unjust |= cost && !began;
            steps_forget(engine.process[seat]);
        }
}

static void kill_worker(unsigned seat)
{
    if (supervisor.places[seat].pid == 0 || steps_state(engine.process[seat]) >= STEPS_ENDED)
        return;
    engine.status[seat] = SIGKILL;
    engine.dead[seat] = true;
    steps_kill(engine.process[seat]);
}

static void kill_all(void)
{
    supervisor.killing = true;
    for (unsigned seat = 0; seat < supervisor.queue.seats; seat++)
        kill_worker(seat);
    reap_all();
}

static void kill_condemned(void)
{
    for (unsigned seat = 0; seat < supervisor.queue.seats; seat++) {
        uint32_t condemned = atomic_load(&supervisor.queue.shm->acks[seat].condemned);

        if (condemned == 0 || condemned != supervisor.places[seat].incarnation)
            continue;
        engine.condemned |= supervisor.places[seat].pid != 0; /* it may have died before */
        kill_worker(seat);
    }
}

static bool has_news(void *what)
{
    uint64_t pokes;

    (void)what;
    for (unsigned seat = 0; seat < supervisor.queue.seats; seat++)
        if (engine.dead[seat])
            return true;
    return read(engine.pool->heritage.poke, &pokes, sizeof pokes) > 0;
}

/* As sleep_until_news(): until something happens, or it is time, which it may be at once. */
static bool is_awake(void *what)
{
    return supervisor.look_at_ns != PPI_NEVER || has_news(what);
}

static void sleep_until_news(void *what)
{
    steps_await(is_awake, what);
    if (supervisor.look_at_ns != PPI_NEVER && random_percent(engine.random, 50) &&
        engine.now_ns < supervisor.look_at_ns)
        engine.now_ns = supervisor.look_at_ns;
}

static void fill_up(void)
{
    unsigned missing = supervisor.ending ? 0 : ppi_fit_size(&supervisor);

    while (missing-- > 0 && ppi_spawn_worker(&supervisor) == 0)
        ;
}

static void be_supervisor(void *what)
{
    _Atomic uint32_t *order = &supervisor.queue.shm->command;
    uint32_t command;

    do {
        supervisor.ending = atomic_load_explicit(order, memory_order_acquire) == PPI_FINISH;
        kill_condemned();
        reap_all();
        ppi_look_at_tasks(&supervisor);
        atomic_thread_fence(memory_order_seq_cst); /* partner: command() in the client */
        command = atomic_load_explicit(order, memory_order_acquire);
        if (command == PPI_TERMINATE)
            kill_all();
        if (command >= PPI_FINISH && supervisor.alive == 0)
            break;
        ppi_show_seats(&supervisor);
        fill_up();
        sleep_until_news(what);
    } while (true);
    atomic_store_explicit(&supervisor.queue.control->state, PPI_POOL_STOPPED,
                          memory_order_release);
    ppi_wake_all(&supervisor.queue);
}

static void make_supervisor(pp_pool *pool)
{
    memset(&supervisor, 0, sizeof supervisor);
    supervisor.heritage = &pool->heritage;
    supervisor.kind = &coroutines;
    supervisor.size = engine.options.workers;
    supervisor.queue = pool->heritage.queue;
    supervisor.look_at_ns = PPI_NEVER;
    atomic_store(&supervisor.queue.control->looks_at, PPI_NEVER);
    atomic_store(&supervisor.queue.control->state, PPI_POOL_RUNNING);
}

/* ---- The client ---------------------------------------------------------- */

static bool has_ended(void *what)
{
    (void)what;
    return steps_state(engine.supervisor) == STEPS_ENDED;
}

/*
 * Linked in the place of functions of the library: the supervisor is no process that
 * could be waited for, calls of the kernel make what was stored before seen, and how
 * the cache of functions does must not depend on their addresses.
 */
bool __wrap_ppi_objects_have(struct ppi_objects *objects, uintptr_t address);
void __real_ppi_poke(pp_pool *pool);
void __real_ppi_queue_destroy(struct ppi_queue *queue);
void __real_ppi_queue_leave(struct ppi_queue *queue);
void __wrap_ppi_poke(pp_pool *pool);
int __real_clock_gettime(clockid_t clock, struct timespec *time);
int __wrap_clock_gettime(clockid_t clock, struct timespec *time);
int __real_kill(pid_t pid, int signal);
int __wrap_kill(pid_t pid, int signal);
void __wrap_ppi_queue_destroy(struct ppi_queue *queue);
void __wrap_ppi_queue_leave(struct ppi_queue *queue);
void __wrap_ppi_reap_quiet(int pidfd);

void __wrap_ppi_reap_quiet(int pidfd)
{
    (void)pidfd;
    if (!has_ended(NULL))
        steps_await(has_ended, NULL);
}

void __wrap_ppi_poke(pp_pool *pool)
{
    steps_enter_kernel();
    __real_ppi_poke(pool);
}

void __wrap_ppi_queue_destroy(struct ppi_queue *queue)
{
    steps_enter_kernel();
    __real_ppi_queue_destroy(queue);
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *time)
{
    if (steps_self() < 0)
        return __real_clock_gettime(clock, time);
    *time = ppi_timespec(++engine.now_ns);
    return 0;
}

int __wrap_kill(pid_t pid, int signal)
{
    if (pid < FIRST_PID)
        return __real_kill(pid, signal);
    steps_enter_kernel();
    for (unsigned i = random_below(engine.random, 60); i > 0; i--)
        steps_yield(); /* it is on its way */
    if (signal == SIGTERM && random_percent(engine.random, 50))
        return 0; /* there is a handler */
    for (unsigned seat = 0; seat < supervisor.queue.seats; seat++)
        if (supervisor.places[seat].pid == pid)
            kill_worker(seat);
    return 0;
}

void __wrap_ppi_queue_leave(struct ppi_queue *queue)
{
    if (!has_ended(NULL)) /* here all processes share one mapping */
        steps_await(has_ended, NULL);
    steps_enter_kernel();
    __real_ppi_queue_leave(queue);
}

bool __wrap_ppi_objects_have(struct ppi_objects *objects, uintptr_t address)
{
    (void)objects;
    (void)address;
    return true;
}

static void be_client(void *what)
{
    (void)what;
    engine.client(engine.pool);
    pp_pool_free(engine.pool);
}

bool engine_run(struct random *random, const struct engine_options *options,
                void (*client)(pp_pool *pool))
{
    unsigned process;

    memset(&engine, 0, sizeof engine);
    engine.options = *options;
    engine.random = random;
    engine.client = client;
    steps_begin(random);
    engine.pool = make_pool();
    make_supervisor(engine.pool);
    steps_own((void **)&ppi_current_worker);
    engine.supervisor = steps_add(be_supervisor, NULL);
    process = steps_add(be_client, NULL);
    steps_at_each(die_perhaps);
    steps_run();
    return has_ended(NULL) && steps_state(process) == STEPS_ENDED;
}

static bool is_small(void *most)
{
    return supervisor.alive <= *(unsigned *)most;
}

void engine_await_workers(unsigned most)
{
    if (!is_small(&most))
        steps_await(is_small, &most);
}

unsigned engine_deaths(void)
{
    return engine.deaths;
}

unsigned engine_costs(void)
{
    return engine.costs;
}

bool engine_unjust(void)
{
    return engine.unjust;
}

bool engine_condemned(void)
{
    return engine.condemned;
}
