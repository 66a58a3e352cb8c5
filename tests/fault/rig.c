/* SPDX-License-Identifier: MIT */
#include "rig.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "queue/heritage.h"

long rig_dies_at = -1, rig_stays_at = -1;
void (*rig_prepare)(void);

/* Positions without a task before each that has one. */
enum { HOLES = 3 };

static struct rig_shared *shared;

/* Of a worker's process. */
static unsigned own_seat;
static bool traced;

/* ---- In workers ------------------------------------------------------------- */

static void pass(enum rig_mark mark)
{
    if (!traced)
        return;
    atomic_fetch_or(&shared->passed, 1U << mark);
    if (mark == atomic_load(&shared->stop_at))
        raise(SIGSTOP);
}

static int initialize(void *unused)
{
    (void)unused;
    if (rig_prepare)
        rig_prepare();
    pass(RIG_READY);
    return 0;
}

void rig_called(long item)
{
    atomic_fetch_add(&shared->runs[item], 1);
    pass(RIG_ITEM + (enum rig_mark)item);
    if (item == rig_dies_at)
        raise(SIGKILL);
    while (item == rig_stays_at) {
        atomic_store(&shared->asleep[own_seat], true);
        pause();
    }
}

void rig_signalled(void)
{
    atomic_fetch_add(&shared->signals, 1);
}

/* The kernel's sleep, and a word of it to the test. */
static int announced_wait(const _Atomic uint32_t *word, uint32_t value, uint64_t deadline_ns)
{
    int error;

    atomic_store(&shared->asleep[own_seat], true);
    error = ppi_futex.wait(word, value, deadline_ns);
    atomic_store(&shared->asleep[own_seat], false);
    pass(RIG_WOKEN);
    return error;
}

static bool counted_signal(const struct ppi_waker *waker)
{
    (void)waker;
    atomic_fetch_add(&shared->alarms, 1);
    return true;
}

_Noreturn static void be_worker(struct rig *rig, unsigned seat, enum rig_mark mark,
                                pid_t parent)
{
    own_seat = seat;
    traced = mark != RIG_NOWHERE;
    if (traced && ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
        SKIP("no process can be traced here: %s", strerror(errno));
    pass(RIG_START);
    ppi_worker_run(&rig->heritage, seat, rig->supervisor.places[seat].incarnation, parent);
}

/* ---- In the test -------------------------------------------------------------- */

void rig_open(struct rig *rig)
{
    static struct ppi_futex_ops futex;

    futex = ppi_futex;
    futex.wait = announced_wait;
    futex.signal = counted_signal;
    memset(rig, 0, sizeof *rig);
    rig->queue = &rig->heritage.queue;
    CHECK_EQ(ppi_queue_create(rig->queue, RIG_SEATS, 65536, 65536, 65536), 0);
    rig->queue->futex = &futex;
    rig->queue->poke = rig->queue->event = PPI_NO_WAKER;
    rig->queue->shm->command = PPI_RUNNING;
    rig->heritage.initializer = initialize;
    rig->heritage.client = rig->heritage.poke = -1;
    rig->supervisor.heritage = &rig->heritage;
    rig->supervisor.queue = *rig->queue;
    shared =
        mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(shared != MAP_FAILED);
    rig->shared = shared;
}

void rig_close(struct rig *rig)
{
    munmap(shared, sizeof *shared);
    ppi_queue_destroy(rig->queue);
}

void rig_submit_beside(struct rig *rig, const pp_task *task, unsigned begin, unsigned end)
{
    struct ppi_slot_shm *slot;

    rig->position = rig->queue->shm->tail + HOLES;
    rig->begin = begin;
    rig->end = end;
    CHECK(rig->count < RIG_TASKS);
    rig->tasks[rig->count++] =
        (struct rig_task){ .position = rig->position, .begin = begin, .end = end };
    slot = ppi_queue_slot(rig->queue, rig->position);
    slot->begin = begin;
    slot->end = end;
    slot->run = (uint64_t)(uintptr_t)task->run;
    slot->out =
        rig->in_place ? (uint64_t)(rig->queue->shared - rig->queue->segment.base) : 0;
    slot->args = (uint64_t)((char *)slot->inline_args - rig->queue->segment.base);
    slot->stride = (uint32_t)task->args_size;
    slot->result_size = (uint32_t)task->result_size;
    slot->result_kind = (uint8_t)task->result_kind;
    slot->limit_ns = rig->limit_ns;
    slot->grace_ms = rig->grace_ms;
    for (unsigned item = begin; item < end; item++)
        ((long *)(void *)slot->inline_args)[item - begin] = item;
    ppi_publish(rig->queue, rig->position);
    ppi_ring(rig->queue);
}

void rig_submit(struct rig *rig, const pp_task *task, unsigned begin, unsigned end)
{
    rig->count = 0;
    rig_submit_beside(rig, task, begin, end);
}

void rig_finish(struct rig *rig)
{
    atomic_store(&rig->queue->shm->command, PPI_FINISH);
    ppi_wake_all(rig->queue);
}

pid_t rig_spawn(struct rig *rig, unsigned seat, enum rig_mark mark)
{
    struct ppi_place *place = &rig->supervisor.places[seat];
    pid_t parent = getpid(), pid;

    place->incarnation++;
    place->used = true;
    rig->queue->control->seats[seat].incarnation = place->incarnation;
    if (mark != RIG_NOWHERE)
        atomic_store(&shared->stop_at, mark);
    pid = fork();
    if (pid == 0)
        be_worker(rig, seat, mark, parent);
    CHECK(pid > 0);
    place->pid = pid;
    rig->supervisor.alive++;
    return pid;
}

bool rig_reap(struct rig *rig, unsigned seat, int status)
{
    return ppi_reap_worker(&rig->supervisor, seat, status);
}

static char state_of(pid_t pid)
{
    char path[32], text[256], *end;
    FILE *file;
    size_t size;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    file = fopen(path, "re");
    size = file ? fread(text, 1, sizeof text - 1, file) : 0;
    if (file)
        fclose(file);
    text[size] = '\0';
    end = strrchr(text, ')');
    return end && end[1] ? end[2] : '?';
}

bool rig_sleeps(const struct rig *rig, unsigned seat, pid_t pid)
{
    return atomic_load(&rig->shared->asleep[seat]) && state_of(pid) == 'S';
}

void rig_await_sleep(const struct rig *rig, unsigned seat, pid_t pid)
{
    while (!rig_sleeps(rig, seat, pid))
        sched_yield();
}

/* ---- Records -------------------------------------------------------------------- */

/* What an item of the task has left where it belongs, be that right or not. */
static void take_place(struct rig *rig, const struct ppi_record_shm *record, uint64_t item)
{
    struct rig_outcome *outcome = &rig->outcomes[item];

    if (!(record->flags & PPI_IN_PLACE) || record->payload_size != 0)
        rig->nonsense = "the values are in place, and the record does not say so";
    outcome->size = ppi_queue_slot(rig->queue, rig->position)->result_size;
    memcpy(&outcome->value, rig->queue->shared + item * outcome->size, outcome->size);
}

static const void *payload_of(struct rig *rig, const struct ppi_record_shm *record)
{
    if (record->payload_size <= PPI_INLINE_VALUE)
        return record->value;
    if (record->payload_size > rig->queue->outbox_size ||
        record->payload > rig->queue->outbox_size - record->payload_size)
        return NULL;
    return ppi_queue_outbox(rig->queue, record->seat) + record->payload;
}

static void take_item(struct rig *rig, const struct ppi_record_shm *record, uint64_t item)
{
    struct rig_outcome *outcome = &rig->outcomes[item];
    size_t size = record->payload_size / record->count;
    const char *payload = payload_of(rig, record);

    outcome->times++;
    outcome->kind = record->outcome;
    outcome->seat = record->seat;
    outcome->code = record->code;
    outcome->pid = record->outcome == PPI_CRASH ? (long)record->payload : 0;
    outcome->is_null = record->flags & PPI_NULL;
    outcome->size = size;
    if (!payload)
        rig->nonsense = "the payload lies outside of the outbox";
    else if (size <= sizeof outcome->value)
        memcpy(&outcome->value, payload + (item - record->first) * size, size);
    if (rig->in_place && record->outcome == PPI_OK)
        take_place(rig, record, item);
    else if (record->flags & PPI_IN_PLACE)
        rig->nonsense = "the record says that values are in place, and they are not";
}

static void take_death(struct rig *rig, const struct ppi_record_shm *record)
{
    const struct ppi_place *place = &rig->supervisor.places[record->seat];
    const struct ppi_seat_shm *seat = ppi_queue_seat(rig->queue, record->seat);
    bool seated = seat->incarnation == place->incarnation;

    rig->deaths[record->seat]++;
    if (record->position != place->incarnation)
        rig->nonsense = "the death of another incarnation";
    if (record->first != (seated ? seat->tail : rig->taken[record->seat]))
        rig->nonsense = "the death gives a wrong number of records";
}

static const struct rig_task *task_at(const struct rig *rig, uint64_t position)
{
    for (unsigned i = 0; i < rig->count; i++)
        if (rig->tasks[i].position == position)
            return &rig->tasks[i];
    return NULL;
}

static void take(struct rig *rig, const struct ppi_record_shm *record)
{
    const struct rig_task *task = task_at(rig, record->position);

    if (record->seat >= RIG_SEATS)
        rig->nonsense = "no such seat";
    else if (record->outcome == PPI_DEATH)
        take_death(rig, record);
    else if (!task && record->position < rig->position &&
             record->position % (HOLES + 1) == HOLES)
        return; /* of an earlier task */
    else if (!task)
        rig->nonsense = "no such task";
    else if (record->count == 0 || record->first < task->begin || record->first >= task->end ||
             record->count > task->end - record->first)
        rig->nonsense = "no such items";
    else if (!(record->flags & PPI_LAST) != (record->first + record->count < task->end))
        rig->nonsense = "the last record does not say so, or another does";
    else
        for (uint64_t i = record->first; i < record->first + record->count; i++)
            take_item(rig, record, i);
}

void rig_drain(struct rig *rig)
{
    struct ppi_control_shm *control = rig->queue->control;

    for (unsigned i = 0; i < RIG_SEATS; i++) {
        struct ppi_seat_shm *seat = ppi_queue_seat(rig->queue, i);

        if (seat->incarnation != rig->supervisor.places[i].incarnation)
            continue; /* its worker has not come as far as making it its own */
        while (rig->taken[i] < seat->tail)
            take(rig, &seat->records[rig->taken[i]++ % PPI_RECORDS]);
        rig->queue->shm->acks[i].taken = rig->taken[i];
    }
    while (rig->control_taken < control->tail)
        take(rig, &control->records[rig->control_taken++ % PPI_CONTROL_RECORDS]);
}
