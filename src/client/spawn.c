/* SPDX-License-Identifier: MIT */
/* A supervisor that is a fresh image of the program: see src/supervisor/image.c. */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/environment.h"
#include "base/process.h"
#include "client/client.h"

_Static_assert(sizeof(struct ppi_birth) <= sizeof((struct ppi_queue_shm *)0)->birth,
               "it has its place in the queue");

/* Writes all that the image must know to where it looks for it. */
static int write_birth(pp_pool *pool)
{
    struct ppi_birth *birth = (struct ppi_birth *)(void *)pool->queue->shm->birth;
    struct ppi_heritage *heritage = &pool->heritage;
    size_t size = pool->initarg_size;

    birth->magic = PPI_MAGIC;
    birth->layout = PPI_LAYOUT;
    birth->size = sizeof *birth;
    birth->heritage = *heritage;
    if (!ppi_objects_describe(pool->objects, (uintptr_t)ppi_supervisor_run, &birth->library) ||
        (heritage->initializer &&
         !ppi_objects_describe(pool->objects, (uintptr_t)heritage->initializer,
                               &birth->initializer)) ||
        (heritage->finalizer &&
         !ppi_objects_describe(pool->objects, (uintptr_t)heritage->finalizer,
                               &birth->finalizer)))
        return -ENOEXEC;
    birth->heritage.initarg = NULL;
    birth->initarg_size = size;
    if (size == 0)
        return 0;
    birth->heritage.initarg = ppi_buddy_alloc(&pool->arena, size);
    if (!birth->heritage.initarg)
        return -ENOMEM;
    memcpy(birth->heritage.initarg, heritage->initarg, size);
    return 0;
}

/* The descriptors that the image gets, under the same numbers. */
static int pass_descriptors(const pp_pool *pool, posix_spawn_file_actions_t *actions)
{
    const struct ppi_queue *queue = pool->queue;
    const int fds[] = { queue->segment.file, pool->heritage.client, queue->poke.reader,
                        queue->poke.writer,  queue->event.reader,   queue->event.writer };
    int error = 0;

    for (size_t i = 0; i < sizeof fds / sizeof *fds && !error; i++)
        if (fds[i] >= 0) /* duplicated to itself it stays open across the exec */
            error = posix_spawn_file_actions_adddup2(actions, fds[i], fds[i]);
    return error;
}

/* The client's handlers are gone with the exec; until the image has a session of its own, and
   mind of its own, no signal shall reach it. */
static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t all;
    int error;

    sigfillset(&all);
    error = posix_spawnattr_setsigmask(attributes, &all);
    return error ? error
                 : posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK |
                                                            POSIX_SPAWN_SETSID);
}

/* Why nothing was executed: for want of something, or it cannot be, as where /proc is not. */
static int reason_of(int error)
{
    return error == 0 || error == EAGAIN || error == ENOMEM || error == EMFILE || error == ENFILE
               ? error
               : ENOEXEC;
}

static int spawn(const pp_pool *pool, char **environment, pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    char argument[sizeof PPI_IMAGE_ARGUMENT + 16];
    char *argv[] = { program_invocation_name, argument, NULL };
    int error = posix_spawn_file_actions_init(&actions);

    if (error)
        return -error;
    error = posix_spawnattr_init(&attributes);
    if (!error) {
        snprintf(argument, sizeof argument, PPI_IMAGE_ARGUMENT "%d", pool->queue->segment.file);
        error = pass_descriptors(pool, &actions);
        if (!error)
            error = set_attributes(&attributes);
        if (!error)
            error = reason_of(posix_spawn(pid, "/proc/self/exe", &actions, &attributes, argv,
                                          environment));
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return -error;
}

int ppi_begin_spawn(pp_pool *pool)
{
    char **environment = ppi_environment_copy();
    int error = environment ? write_birth(pool) : -EAGAIN;
    pid_t pid = -1;

    if (!error)
        error = spawn(pool, environment, &pid);
    ppi_environment_free(environment);
    if (error)
        return error;
    pool->supervisor = ppi_pidfd_open(pid);
    if (pool->supervisor < 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    return pool->supervisor < 0 ? pool->supervisor : 0;
}

int ppi_know_image(pp_pool *pool)
{
    const struct ppi_control_shm *control = pool->queue->control;
    uint32_t count = control->objects_count;

    return ppi_objects_match(pool->objects, control->objects,
                             count < PPI_MAX_OBJECTS ? count : PPI_MAX_OBJECTS);
}
