/* SPDX-License-Identifier: MIT */
#include "tasks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- What must come of it ---- */

long number_of(long id)
{
    return (long)((unsigned long)id * 2654435761u ^ 0x5a5a5);
}

size_t text_of(long id, char *text, size_t size)
{
    int head = snprintf(text, size, "%ld:", id);
    size_t length = (size_t)head + (size_t)id % 97;

    memset(text + head, 'a' + (int)(id % 26), length - (size_t)head);
    text[length] = '\0';
    return length;
}

size_t size_of(long id)
{
    static const size_t most[] = { 300, 65536, 4 << 20 };

    return (size_t)number_of(id) % most[scene->items[id].size % 3];
}

static uint64_t word_of(long id, size_t i)
{
    return (uint64_t)id * 0x9e3779b97f4a7c15 + i * 0x100000001b3;
}

void fill_blob(long id, void *data, size_t size)
{
    for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
        uint64_t word = word_of(id, i);

        memcpy((char *)data + i, &word, size - i < sizeof word ? size - i : sizeof word);
    }
}

bool is_blob(long id, const void *data, size_t size)
{
    if (size != size_of(id))
        return false;
    for (size_t i = 0; i < size; i += sizeof(uint64_t)) {
        uint64_t word = word_of(id, i);

        if (memcmp((const char *)data + i, &word,
                   size - i < sizeof word ? size - i : sizeof word) != 0)
            return false;
    }
    return true;
}

int raise_code_of(long id)
{
    return (int)(id % 1000) + 1;
}

static int exit_status_of(long id)
{
    return (int)(id % 120);
}

bool own_failure(const struct item *item, long id, const pp_error *error)
{
    bool crashed = error->kind == PP_CRASHED;

    switch (item->kind) {
    case RAISE:
        return error->kind == PP_RAISED && error->code == raise_code_of(id);
    case SEGV:
        return crashed && error->signal == SIGSEGV;
    case CRASH_ONCE:
        return crashed && error->signal == SIGSEGV && item->retries == 0;
    case ABORT:
        return crashed && error->signal == SIGABRT;
    case SUICIDE:
        return crashed && error->signal == SIGKILL;
    case EXIT:
        return crashed && error->signal == 0 && error->status == exit_status_of(id);
    default:
        return false;
    }
}

/* ---- What workers do ---- */

static pid_t own_pid;
static volatile sig_atomic_t told_to_stop;

static void note_stop(int signal)
{
    (void)signal;
    told_to_stop = 1;
}

static void linger(void)
{
    told_to_stop = 0;
    signal(SIGTERM, note_stop);
    while (!told_to_stop)
        usleep(200);
    signal(SIGTERM, SIG_DFL);
}

/* Where sanitizers would make something else of it. */
_Noreturn static void crash_by(int number)
{
    signal(number, SIG_DFL);
    raise(number);
    abort();
}

static void crash(enum kind kind, long id)
{
    if (kind == SEGV && id % 2)
        *(volatile char *)(uintptr_t)(id % 4096) = 1;
    else if (kind == SEGV || kind == CRASH_ONCE)
        crash_by(SIGSEGV);
    else if (kind == ABORT)
        abort();
    else if (kind == EXIT)
        _exit(exit_status_of(id));
    kill(getpid(), SIGKILL);
}

static void behave(const struct item *item, long id)
{
    switch (item->kind) {
    case QUICK:
        return;
    case WORK:
        spin_us((unsigned long)id % 150);
        return;
    case NAP:
        usleep((unsigned)(id % 1500));
        return;
    case RAISE:
        pp_raise(raise_code_of(id), "item %ld raises", id);
    case CRASH_ONCE:
        if (pp_attempt() > 1)
            return;
        break;
    case HANG:
        for (;;)
            pause();
    case FREEZE:
        for (;;)
            raise(SIGSTOP);
    case LINGER:
        linger();
        return;
    default:
        break;
    }
    crash(item->kind, id);
}

/* Stands at the beginning of each task, and at its end. */
static void begin(long id)
{
    struct item *item = &scene->items[id];
    struct mark *mark;
    int begun;

    if (!own_pid)
        own_pid = getpid();
    mark = mark_of(own_pid);
    atomic_store_explicit(&mark->at, IN_TASK, memory_order_relaxed);
    atomic_store(&mark->ran, own_pid);
    atomic_store_explicit(&scene->last, own_pid, memory_order_relaxed);
    atomic_fetch_add_explicit(&scene->begun, 1, memory_order_relaxed);
    begun = atomic_fetch_add(&item->begun, 1) + 1;
    if (begun > pp_attempt() || pp_attempt() > 1 + item->retries)
        atomic_fetch_add(&scene->wrong, 1);
    behave(item, id);
}

static void end(long id)
{
    atomic_fetch_add(&scene->items[id].ended, 1);
    atomic_store_explicit(&mark_of(own_pid)->at, RETURNED, memory_order_relaxed);
}

static long number(long id)
{
    begin(id);
    end(id);
    return number_of(id);
}
PP_TASK(long, number, long, id);

static const char *text(long id)
{
    static char buffer[160];

    begin(id);
    text_of(id, buffer, sizeof buffer);
    end(id);
    return buffer;
}
PP_TASK(const char *, text, long, id);

static pp_bytes blob(long id)
{
    static void *own;
    size_t size = size_of(id);
    void *data;

    begin(id);
    if (id % 2)
        data = own = realloc(own, size + 1);
    else
        data = pp_reserve(size);
    if (!data)
        pp_raise(ENOMEM, "no memory");
    fill_blob(id, data, size);
    end(id);
    return (pp_bytes){ data, size };
}
PP_TASK(pp_bytes, blob, long, id);

static void nothing(long id)
{
    begin(id);
    end(id);
}
PP_TASK(void, nothing, long, id);

static long mixed(long id, const char *given, pp_bytes data)
{
    char wanted[160];

    begin(id);
    text_of(id, wanted, sizeof wanted);
    if (strcmp(given, wanted) != 0 || !is_blob(id, data.data, data.size))
        atomic_fetch_add(&scene->wrong, 1);
    end(id);
    return number_of(id);
}
PP_TASK(long, mixed, long, id, const char *, given, pp_bytes, data);

_Static_assert(sizeof(struct mixed_args) == sizeof(PP_ARGS(mixed)), "the same struct");

const pp_task *const tasks[TYPES] = {
    [NUMBER] = &number_pp_task, [TEXT] = &text_pp_task,   [BLOB] = &blob_pp_task,
    [NOTHING] = &nothing_pp_task, [MIXED] = &mixed_pp_task,
};

/* ---- Initializer and finalizer ---- */

int initialize(void *arg)
{
    uint64_t seed = pp_random_seed();

    (void)arg;
    if (pp_worker_id() < 0 || pp_worker_incarnation() < 1)
        atomic_fetch_add(&scene->wrong, 1);
    if (once_in(&seed, 8))
        usleep(below(&seed, 3000));
    pp_worker_set_local(&own_pid);
    return 0;
}

void finalize(void *local)
{
    uint64_t seed = pp_random_seed();

    if (local && local != &own_pid)
        atomic_fetch_add(&scene->wrong, 1);
    if (once_in(&seed, 10))
        abort();
    if (once_in(&seed, 10))
        pp_raise(7, "a finalizer that raises");
}
