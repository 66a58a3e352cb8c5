/* SPDX-License-Identifier: MIT */
#include "stepping.h"

#include "steps.h"

#include <stdlib.h>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#define FIBERS 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FIBERS 1
#endif
#endif
#ifdef FIBERS
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

enum { MOST_PROCESSES = 64, STACK_SIZE = 256 << 10, BUFFERED = 8 };

struct store {
    volatile void *place;
    size_t size;
    uint64_t value;
};

struct process {
    ucontext_t context;
    void *stack;
    void *fake_stack; /* the sanitizer's */
    void (*main)(void *what);
    void *what;
    enum steps_state state;
    const _Atomic uint32_t *words[2]; /* that it sleeps on */
    int slept;                        /* what its sleep returns */
    bool timed;                       /* its sleep has an end */
    bool (*ready)(void *what);
    void *ready_what;
    void *own;
    struct store stores[BUFFERED]; /* not seen by others yet, oldest first */
    unsigned stored;
};

static struct process processes[MOST_PROCESSES], outside;
static struct process *self = &outside;
static unsigned count;
static struct random *source;
static void **own_variable;
static void (*each_step)(void);
static unsigned switching, writing_back, interrupting, losing; /* percent */

/* ---- Memory -------------------------------------------------------------- */

static void write_through(const struct store *store)
{
    if (store->size == sizeof(uint32_t))
        __atomic_store_n((volatile uint32_t *)store->place, (uint32_t)store->value,
                         __ATOMIC_SEQ_CST);
    else
        __atomic_store_n((volatile uint64_t *)store->place, store->value, __ATOMIC_SEQ_CST);
}

static void write_back_oldest(struct process *process)
{
    write_through(&process->stores[0]);
    process->stored--;
    memmove(&process->stores[0], &process->stores[1],
            process->stored * sizeof process->stores[0]);
}

static void write_back(struct process *process)
{
    while (process->stored > 0)
        write_back_oldest(process);
}

uint64_t stepping_load(const volatile void *place, size_t size, int order)
{
    steps_yield();
    if (order == __ATOMIC_SEQ_CST)
        write_back(self);
    for (unsigned i = self->stored; i-- > 0;)
        if (self->stores[i].place == place)
            return self->stores[i].value;
    return size == sizeof(uint32_t)
               ? __atomic_load_n((const volatile uint32_t *)place, __ATOMIC_SEQ_CST)
               : __atomic_load_n((const volatile uint64_t *)place, __ATOMIC_SEQ_CST);
}

void stepping_store(volatile void *place, size_t size, uint64_t value)
{
    struct store store = { .place = place, .size = size, .value = value };

    steps_yield();
    if (self == &outside) {
        write_through(&store);
        return;
    }
    if (self->stored == BUFFERED)
        write_back_oldest(self);
    self->stores[self->stored++] = store;
}

void stepping_before_change(void)
{
    steps_yield();
    write_back(self);
}

void stepping_fence(int order)
{
    steps_yield();
    if (order == __ATOMIC_SEQ_CST)
        write_back(self);
}

void steps_enter_kernel(void)
{
    write_back(self);
}

/* ---- Processes ----------------------------------------------------------- */

void steps_begin(struct random *random)
{
    if (harness_on_valgrind())
        SKIP("valgrind cannot follow coroutines");
    source = random;
    count = 0;
    own_variable = NULL;
    each_step = NULL;
    losing = 0;
    switching = 1 + random_below(random, random_percent(random, 50) ? 10 : 60);
    writing_back = 1 + random_below(random, random_percent(random, 50) ? 5 : 100);
    interrupting = random_percent(random, 50) ? random_below(random, 10) : 0;
}

void steps_own(void **variable)
{
    own_variable = variable;
}

void steps_at_each(void (*hook)(void))
{
    each_step = hook;
}

void steps_lose_wakes(unsigned percent)
{
    losing = percent;
}

enum steps_state steps_state(unsigned process)
{
    return processes[process].state;
}

int steps_self(void)
{
    return self == &outside ? -1 : (int)(self - processes);
}

/* Around a change of stacks: what the sanitizer wants to know. */
#ifdef FIBERS
static const void *outside_stack; /* learned when it is left */
static size_t outside_size;

static void before_switch(struct process *from, const struct process *to)
{
    __sanitizer_start_switch_fiber(from->state >= STEPS_ENDED ? NULL : &from->fake_stack,
                                   to->stack ? to->stack : outside_stack,
                                   to->stack ? STACK_SIZE : outside_size);
}

static void after_switch(void)
{
    const void *stack;
    size_t size;

    __sanitizer_finish_switch_fiber(self->fake_stack, &stack, &size);
    if (!outside_stack) {
        outside_stack = stack;
        outside_size = size;
    }
}
#else
static void before_switch(struct process *from, const struct process *to)
{
    (void)from;
    (void)to;
}

static void after_switch(void)
{
}
#endif

static void go_to(struct process *next)
{
    struct process *from = self;

    if (next == from)
        return;
    if (own_variable) {
        from->own = *own_variable;
        *own_variable = next->own;
    }
    before_switch(from, next);
    self = next;
    swapcontext(&from->context, &next->context);
    after_switch();
}

static void time_out(struct process *process)
{
    process->state = STEPS_READY;
    process->slept = -ETIMEDOUT;
}

static bool can_go_on(struct process *process)
{
    if (process->state == STEPS_WATCHING && process->ready(process->ready_what))
        process->state = STEPS_READY;
    if (process->state == STEPS_ASLEEP && random_percent(source, interrupting)) {
        process->state = STEPS_READY;
        process->slept = -EINTR;
    }
    if (process->state == STEPS_ASLEEP && process->timed && random_percent(source, 3))
        time_out(process);
    return process->state == STEPS_READY;
}

/* When nobody can go on, time goes by. */
static struct process *pick_timed(void)
{
    for (unsigned i = 0; i < count; i++)
        if (processes[i].state == STEPS_ASLEEP && processes[i].timed) {
            time_out(&processes[i]);
            return &processes[i];
        }
    return &outside;
}

/* Any process that can go on, or the outside when none ever can. */
static struct process *pick(void)
{
    unsigned start = random_below(source, count);

    for (unsigned i = 0; i < count; i++) {
        struct process *process = &processes[(start + i) % count];

        if (can_go_on(process))
            return process;
    }
    return pick_timed();
}

void steps_yield(void)
{
    struct process *process;

    if (self == &outside)
        return;
    if (each_step)
        each_step();
    process = &processes[random_below(source, count)];
    if (process->stored > 0 && random_percent(source, writing_back))
        write_back_oldest(process);
    if (random_percent(source, switching))
        go_to(pick());
}

static void begin(void)
{
    after_switch();
    self->main(self->what);
    write_back(self);
    self->state = STEPS_ENDED;
    go_to(pick());
}

void steps_forget(unsigned process)
{
    CHECK(processes[process].state >= STEPS_ENDED);
    processes[process].state = STEPS_FORGOTTEN;
}

/* A place for a process: that of a forgotten one, or a new one. */
static struct process *place_for_one(void)
{
    unsigned number = 0;

    while (number < count && processes[number].state != STEPS_FORGOTTEN)
        number++;
    CHECK(number < MOST_PROCESSES);
    count += number == count;
    if (!processes[number].stack)
        processes[number].stack = malloc(STACK_SIZE);
    return &processes[number];
}

unsigned steps_add(void (*main)(void *what), void *what)
{
    struct process *process = place_for_one();

    steps_enter_kernel();
#ifdef FIBERS
    ASAN_UNPOISON_MEMORY_REGION(process->stack, STACK_SIZE);
#endif
    *process = (struct process){ .stack = process->stack, .main = main, .what = what };
    CHECK_EQ(getcontext(&process->context), 0);
    process->context.uc_stack.ss_sp = process->stack;
    process->context.uc_stack.ss_size = STACK_SIZE;
    makecontext(&process->context, begin, 0);
    return (unsigned)(process - processes);
}

void steps_run(void)
{
    go_to(pick());
}

void steps_await(bool (*ready)(void *what), void *what)
{
    write_back(self);
    self->ready = ready;
    self->ready_what = what;
    self->state = STEPS_WATCHING;
    go_to(pick());
}

void steps_kill(unsigned number)
{
    struct process *process = &processes[number];

    if (process->state >= STEPS_ENDED)
        return;
    write_back(process);
    process->state = STEPS_KILLED;
    if (process == self)
        go_to(pick());
}

/* ---- The kernel ---------------------------------------------------------- */

static uint32_t value_of(const _Atomic uint32_t *word)
{
    return __atomic_load_n((const uint32_t *)word, __ATOMIC_SEQ_CST);
}

static int wait_for(const _Atomic uint32_t *word, uint32_t value,
                    const _Atomic uint32_t *other, uint32_t other_value, bool timed)
{
    steps_yield();
    write_back(self);
    if (value_of(word) != value || (other && value_of(other) != other_value))
        return -EAGAIN;
    self->words[0] = word;
    self->words[1] = other;
    self->state = STEPS_ASLEEP;
    self->slept = 0;
    self->timed = timed;
    go_to(pick());
    return self->slept;
}

/* The client's deadlines are its tests' own. */
static int wait_either(const _Atomic uint32_t *word, uint32_t value,
                       const _Atomic uint32_t *other, uint32_t other_value,
                       const _Atomic uint32_t *hint, uint64_t deadline_ns)
{
    (void)hint; /* nobody hints here */
    (void)deadline_ns;
    return wait_for(word, value, other, other_value, false);
}

static int wait(const _Atomic uint32_t *word, uint32_t value, uint64_t deadline_ns)
{
    return wait_for(word, value, NULL, 0, deadline_ns != UINT64_MAX);
}

static int wake(_Atomic uint32_t *word, int most)
{
    unsigned start;
    int woken = 0;

    steps_yield();
    write_back(self);
    if (random_percent(source, losing))
        return most == 1;
    start = random_below(source, count);
    for (unsigned i = 0; i < count && woken < most; i++) {
        struct process *process = &processes[(start + i) % count];

        if (process->state == STEPS_ASLEEP &&
            (process->words[0] == word || process->words[1] == word)) {
            process->state = STEPS_READY;
            woken++;
        }
    }
    return woken;
}

static bool signal_waker(const struct ppi_waker *waker)
{
    steps_yield();
    write_back(self);
    return random_percent(source, losing) || ppi_waker_signal(waker);
}

/* A clock that each look at it moves on, so that nobody waits awake for ever. */
static uint64_t now(void)
{
    static uint64_t time_ns;

    steps_yield();
    return time_ns += 1 + random_below(source, 4000);
}

static uint32_t any_cpu(void)
{
    return random_below(source, 3);
}

const struct ppi_futex_ops steps_futex = {
    .wait = wait,
    .wait_either = wait_either,
    .wake = wake,
    .signal = signal_waker,
    .now = now,
    .cpu = any_cpu,
};
