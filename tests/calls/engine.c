/* SPDX-License-Identifier: MIT */
#include "engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Where an image of the program finds the descriptor of the engine's memory. */
#define ENGINE "PROCPOOL_TEST_ENGINE"
#define MAGIC UINT64_C(0x63616c6c73)

#define LIST(...) { __VA_ARGS__ }
#define CALL_INFO(name_, group_, once_, lasting_)                                            \
    [CALL_##name_] = { .name = #name_, .group = group_, .once = LIST once_,                  \
                       .lasting = LIST lasting_ },
const struct call_info engine_calls[CALL_COUNT] = { CALLS(CALL_INFO) };

const char *const engine_role_names[ROLES] = {
    [CLIENT] = "client", [SUPERVISOR] = "supervisor", [WORKER] = "worker",
    [SPARE] = "spare",   [IMAGE] = "image",
};

struct engine *engine;

static enum role process_role;
static _Thread_local int thread_role = -1;

extern const char __executable_start[]; /* the linker's */

/* ---- Places ---- */

#define SITE_BITS 40

static uint64_t key_of(enum role role, enum call call, const void *site)
{
    uint64_t offset = site ? (uint64_t)((const char *)site - __executable_start) : 0;

    return (uint64_t)(role + 1) << 56 | (uint64_t)call << SITE_BITS | offset;
}

enum role engine_role_of(uint64_t key)
{
    return (enum role)((key >> 56) - 1);
}

enum call engine_call_of(uint64_t key)
{
    return (enum call)(key >> SITE_BITS & 0xffff);
}

uintptr_t engine_site_of(uint64_t key)
{
    return (uintptr_t)(key & ((UINT64_C(1) << SITE_BITS) - 1));
}

static struct place *find(uint64_t key)
{
    uint64_t start = key * UINT64_C(0x9e3779b97f4a7c15) >> 40;

    for (unsigned i = 0; i < PLACES; i++) {
        struct place *place = &engine->places[(start + i) % PLACES];
        uint64_t found = atomic_load(&place->key);

        if (found == key ||
            (found == 0 && atomic_compare_exchange_strong(&place->key, &found, key)) ||
            found == key)
            return place;
    }
    return NULL;
}

/* ---- Orders ---- */

/* Whether what the order has taken away for good is what this call needs, too. */
static bool is_gone(const struct order *order, enum role role, enum call call)
{
    enum call missing = engine_call_of(order->key);
    enum group group = engine_calls[missing].group;
    bool same = call == missing;

    if (order->error == ENOSYS || order->error == EPERM || order->error == EACCES)
        return same; /* a kernel, or a filter of calls: for all */
    if (group != ALONE && engine_calls[call].group == group)
        same = true;
    return same && (role == engine_role_of(order->key) || order->error == ENFILE ||
                    group == TASKS);
}

int engine_ask(enum call call, const void *site)
{
    enum role role = engine_role();
    const struct order *order;
    struct place *place;
    unsigned nth;

    if (!engine || !atomic_load_explicit(&engine->on, memory_order_relaxed))
        return 0;
    order = &engine->order;
    place = find(key_of(role, call, site));
    if (!place) {
        atomic_store(&engine->exhausted, true);
        return 0;
    }
    nth = atomic_fetch_add(&place->count, 1) + 1;
    if (order->key == 0)
        return 0;
    if (order->lasting && atomic_load(&engine->tripped))
        return is_gone(order, role, call) && (order->error != EINTR || nth % 2) ? order->error
                                                                                 : 0;
    if (atomic_load(&place->key) != order->key || nth != order->nth)
        return 0;
    atomic_store(&engine->tripped, true);
    return order->error;
}

/* ---- Roles ---- */

enum role engine_role(void)
{
    return thread_role >= 0 ? (enum role)thread_role : process_role;
}

void engine_be(enum role role)
{
    thread_role = (int)role;
}

void engine_forked(void)
{
    process_role = engine_role() == CLIENT ? SUPERVISOR : WORKER;
    thread_role = -1;
}

bool engine_is_client(void)
{
    return engine && engine->client == getpid();
}

/* ---- Memory ---- */

static struct engine *map(int fd)
{
    const int protection = PROT_READ | PROT_WRITE;
    void *memory = mmap(NULL, sizeof(struct engine), protection, MAP_SHARED, fd, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

struct engine *engine_new(void)
{
    int fd = memfd_create("calls", 0);
    struct engine *made;

    if (fd < 0 || ftruncate(fd, sizeof(struct engine)) < 0 || !(made = map(fd)))
        abort();
    made->magic = MAGIC;
    made->fd = fd;
    return made;
}

void engine_free(struct engine *used)
{
    if (!used)
        return;
    close(used->fd);
    munmap(used, sizeof *used);
}

void engine_announce(const struct engine *made)
{
    char number[16];

    snprintf(number, sizeof number, "%d", made->fd);
    setenv(ENGINE, number, 1);
}

void engine_clear(struct engine *used)
{
    struct order *order = &used->order; /* what stays lies before */

    memset(order, 0, (size_t)((char *)(used + 1) - (char *)order));
}

__attribute__((constructor)) static void be_image(void)
{
    const char *number = getenv(ENGINE);
    struct engine *found = number ? map(atoi(number)) : NULL;

    if (!found || found->magic != MAGIC)
        return;
    engine = found;
    process_role = IMAGE;
}
