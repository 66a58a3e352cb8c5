/* SPDX-License-Identifier: MIT */
/*
 * A fresh image of the program that becomes a supervisor: pp_init() in its main().
 *
 * Nothing of the client's memory is here but the segment, which is mapped at the address that
 * it has in the client.  Functions are told by object and offset.
 */
#include <errno.h>
#include <fcntl.h>
#include <procpool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "base/process.h"
#include "base/public.h"
#include "supervisor/supervisor.h"

static bool initialized;

/*
 * A program that has more rights than who starts it: what it is given by that one must not
 * make it call addresses.
 */
static bool is_privileged(void)
{
    return getauxval(AT_SECURE) != 0;
}

bool ppi_is_initialized(void)
{
    return initialized && !is_privileged();
}

/* The client finds out why when this process has ended. */
static _Noreturn void fail(const struct ppi_segment *segment, int code, const char *why)
{
    size_t control = segment->offset[PPI_CONTROL];
    int32_t failure_code = -code;

    if (pwrite(segment->file, &failure_code, sizeof failure_code,
               (off_t)(control + offsetof(struct ppi_control_shm, failure_code))) < 0 ||
        pwrite(segment->file, why, strlen(why) + 1,
               (off_t)(control + offsetof(struct ppi_control_shm, failure))) < 0)
        fprintf(stderr, "procpool: %s\n", why);
    _exit(1);
}

/* Whether what lies in the file was written by this version of the library. */
static bool read_birth(int file, struct ppi_birth *birth)
{
    return pread(file, birth, sizeof *birth, offsetof(struct ppi_queue_shm, birth)) ==
               sizeof *birth &&
           birth->magic == PPI_MAGIC && birth->layout == PPI_LAYOUT &&
           birth->size == sizeof *birth;
}

/* From here on programs that tasks execute do not get them. */
static void close_on_exec(const struct ppi_heritage *heritage)
{
    const int fds[] = { heritage->client, heritage->queue.poke.reader,
                        heritage->queue.poke.writer, heritage->queue.event.reader,
                        heritage->queue.event.writer };

    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            fcntl(fds[i], F_SETFD, FD_CLOEXEC);
}

/* Where a function of the client's lies here. */
static uintptr_t find(const struct ppi_birth *birth, const struct ppi_objects *objects,
                      const char *what, const struct ppi_far *function)
{
    uintptr_t address = ppi_objects_find(objects, function);
    char why[PPI_MESSAGE_SIZE];

    if (address != 0)
        return address;
    snprintf(why, sizeof why,
             "the %s is not in the fresh image of the program: %s is not loaded there, or is "
             "another build",
             what, function->object.name);
    fail(&birth->heritage.queue.segment, ENOEXEC, why);
}

/* What points into the client's code or memory, made to point into ours. */
static void translate(struct ppi_birth *birth, const struct ppi_objects *objects)
{
    struct ppi_heritage *heritage = &birth->heritage;
    const struct ppi_segment *segment = &heritage->queue.segment;

    if (ppi_objects_find(objects, &birth->library) != (uintptr_t)ppi_supervisor_run)
        fail(segment, ENOEXEC,
             "the fresh image of the program has another build of procpool, or one without a "
             "build-id");
    heritage->queue.futex = &ppi_futex;
    heritage->libc_words = ppi_libc_words();
    if (heritage->initializer)
        heritage->initializer =
            (int (*)(void *))find(birth, objects, "initializer", &birth->initializer);
    if (heritage->finalizer)
        heritage->finalizer =
            (void (*)(void *))find(birth, objects, "finalizer", &birth->finalizer);
    if (birth->initarg_size > 0) { /* initializers may write there, as after a fork */
        void *copy = malloc(birth->initarg_size);

        if (!copy)
            fail(segment, ENOMEM, "no memory for the argument of the initializer");
        memcpy(copy, heritage->initarg, birth->initarg_size);
        heritage->initarg = copy;
    }
}

static void publish(struct ppi_control_shm *control, const struct ppi_objects *objects)
{
    size_t count;
    const struct ppi_object *all = ppi_objects_list(objects, &count);

    if (count > PPI_MAX_OBJECTS)
        count = PPI_MAX_OBJECTS;
    memcpy(control->objects, all, count * sizeof *all);
    control->objects_count = (uint32_t)count;
}

static _Noreturn void become_supervisor(int file)
{
    static struct ppi_birth birth; /* workers use it, too */
    struct ppi_objects *objects;
    int error;

    if (!read_birth(file, &birth)) {
        fprintf(stderr, "procpool: " PPI_IMAGE_ARGUMENT "%d is for the library to give, and for "
                        "the same version of it\n", file);
        _exit(1);
    }
    birth.heritage.queue.segment.file = file;
    error = ppi_segment_attach(&birth.heritage.queue.segment);
    if (error)
        fail(&birth.heritage.queue.segment, -error,
             "the pool's memory finds no place in the fresh image of the program");
    close_on_exec(&birth.heritage);
    if (ppi_objects_create(&objects) != 0)
        fail(&birth.heritage.queue.segment, ENOMEM, "no memory for the list of objects");
    translate(&birth, objects);
    publish(birth.heritage.queue.control, objects);
    ppi_objects_destroy(objects);
    close(file);
    ppi_supervisor_run(&birth.heritage);
}

PPI_PUBLIC int pp_init(int *argc, char ***argv)
{
    char end;
    int file;

    if (!argc || !argv || *argc < 0 || (*argc > 0 && !*argv))
        return -EINVAL;
    if (initialized)
        return -EALREADY;
    initialized = true;
    if (*argc == 2 && !is_privileged() &&
        sscanf((*argv)[1], PPI_IMAGE_ARGUMENT "%d%c", &file, &end) == 1)
        become_supervisor(file);
    return 0;
}
