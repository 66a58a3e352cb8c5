/* SPDX-License-Identifier: MIT */
/*
 * engine.h - calls of the library that are made to fail, one at a time
 *
 * The library is linked with the functions of wrap_files.c and wrap_tasks.c in the place of
 * those of libc that can fail (calls.list says which).  Each asks here first.  A place is a call
 * site in the library, seen from one role: the client, whichever thread, the supervisor, a
 * worker and so on.  An order says at which place which of its calls is to fail, and how.
 * Counters and order lie in memory that all processes of a run share, images of the program
 * that are executed meanwhile too.
 */
#ifndef TESTS_CALLS_ENGINE_H
#define TESTS_CALLS_ENGINE_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What is gone when it is gone for good, beside the function itself. */
enum group { ALONE, MEMORY, DESCRIPTORS, TASKS };

/* How a call can go wrong that is no errno. */
enum { SHORT = 1000, /* it does only a part: one byte */
       DONE,         /* it is done all the same, and said not to be */
       EMPTY };      /* it finds nothing: the end of a file, a thread woken for no reason */

/* Name, group, what may befall one call, and what may last. */
#define CALLS(X)                                                                             \
    X(malloc, MEMORY, (ENOMEM), (ENOMEM))                                                    \
    X(calloc, MEMORY, (ENOMEM), (ENOMEM))                                                    \
    X(realloc, MEMORY, (ENOMEM), (ENOMEM))                                                   \
    X(aligned_alloc, MEMORY, (ENOMEM), (ENOMEM))                                             \
    X(strdup, MEMORY, (ENOMEM), (ENOMEM))                                                    \
    X(asprintf, MEMORY, (ENOMEM), (ENOMEM))                                                  \
    X(open_memstream, MEMORY, (ENOMEM), (ENOMEM))                                            \
    X(fmemopen, MEMORY, (ENOMEM), (ENOMEM))                                                  \
    X(getdelim, MEMORY, (ENOMEM, EIO), (ENOMEM))                                             \
    X(cpualloc, MEMORY, (ENOMEM), (ENOMEM))                                                  \
    X(mmap, MEMORY, (ENOMEM, EAGAIN, EPERM, EEXIST), (ENOMEM, EPERM))                        \
    X(mprotect, ALONE, (ENOMEM), (ENOMEM))                                                   \
    X(munmap, ALONE, (ENOMEM), (ENOMEM))                                                     \
    X(madvise, ALONE, (EINVAL, EAGAIN, ENOMEM), (EINVAL))                                    \
    X(memfd_create, DESCRIPTORS, (EMFILE, ENFILE, ENOMEM, ENOSYS), (EMFILE, ENFILE, ENOSYS)) \
    X(ftruncate, ALONE, (ENOSPC, EINTR), (ENOSPC))                                           \
    X(fcntl, ALONE, (EPERM, EINTR), (EPERM))                                                 \
    X(open, DESCRIPTORS, (EMFILE, ENFILE, ENOENT, EINTR, ENOMEM), (EMFILE, ENFILE, EACCES))  \
    X(fopen, DESCRIPTORS, (EMFILE, ENOENT, ENOMEM), (EMFILE, ENFILE, EACCES))                \
    X(fgets, ALONE, (EIO), (EIO))                                                            \
    X(opendir, DESCRIPTORS, (EMFILE, ENOMEM), (EMFILE, ENFILE, EACCES))                      \
    X(read, ALONE, (EINTR, EIO, SHORT, EMPTY), (EIO, EMPTY))                                 \
    X(pread, ALONE, (EIO, SHORT), (EIO))                                                     \
    X(pwrite, ALONE, (ENOSPC, EINTR), (ENOSPC))                                              \
    X(write, ALONE, (EINTR, DONE), (EINTR, DONE))                                             \
    X(readlink, ALONE, (ENOENT, EACCES), (EACCES))                                           \
    X(fstat, ALONE, (ENOMEM), (ENOMEM))                                                      \
    X(close, ALONE, (EINTR, EIO), (EIO))                                                     \
    X(dup2, ALONE, (EINTR, EMFILE), (EMFILE))                                                \
    X(pipe2, DESCRIPTORS, (EMFILE, ENFILE), (EMFILE, ENFILE))                                \
    X(epoll_create1, DESCRIPTORS, (EMFILE, ENFILE, ENOMEM), (EMFILE, ENFILE))                \
    X(epoll_ctl, ALONE, (ENOMEM, ENOSPC), (ENOSPC))                                          \
    X(timerfd_create, DESCRIPTORS, (EMFILE, ENFILE, ENOMEM), (EMFILE, ENFILE))               \
    X(fork, TASKS, (EAGAIN, ENOMEM), (EAGAIN, ENOMEM))                                       \
    X(clone, TASKS, (EAGAIN, ENOMEM), (EAGAIN, ENOMEM))                                      \
    X(pthread_create, TASKS, (EAGAIN), (EAGAIN))                                             \
    X(posix_spawn, TASKS, (EAGAIN, ENOENT, ENOMEM), (EAGAIN, EACCES))                        \
    X(file_actions_init, MEMORY, (ENOMEM), (ENOMEM))                                         \
    X(file_actions_adddup2, MEMORY, (ENOMEM), (ENOMEM))                                      \
    X(spawnattr_init, MEMORY, (ENOMEM), (ENOMEM))                                            \
    X(waitid, ALONE, (EINTR), (EINTR))                                                       \
    X(waitpid, ALONE, (EINTR), (EINTR))                                                      \
    X(kill, ALONE, (DONE), (DONE))                                                           \
    X(prctl, ALONE, (EPERM), (EPERM))                                                        \
    X(setsid, ALONE, (EPERM), (EPERM))                                                       \
    X(sigaltstack, ALONE, (ENOMEM), (ENOMEM))                                                \
    X(sigtimedwait, ALONE, (EINTR), (EINTR))                                                 \
    X(poll, ALONE, (EINTR, ENOMEM, EINVAL), (EINVAL, EINTR))                                 \
    X(ppoll, ALONE, (EINTR, ENOMEM), (EINTR))                                                \
    X(nanosleep, ALONE, (EINTR), (EINTR))                                                    \
    X(cond_wait, ALONE, (EMPTY), (EMPTY))                                                    \
    X(cond_clockwait, ALONE, (EMPTY), (EMPTY))                                               \
    X(getrandom, ALONE, (EINTR, EAGAIN, ENOSYS, SHORT), (ENOSYS, EAGAIN))                    \
    X(getrlimit, ALONE, (EPERM), (EPERM))                                                    \
    X(sched_getaffinity, ALONE, (EINVAL, EPERM), (EPERM))                                    \
    X(sched_setaffinity, ALONE, (EINVAL, EPERM), (EPERM))                                    \
    X(sched_getcpu, ALONE, (ENOSYS), (ENOSYS))                                               \
    X(sysconf, ALONE, (EINVAL), (EINVAL))                                                    \
    X(process_vm_readv, ALONE, (EPERM, SHORT), (ENOSYS, EPERM))                              \
    X(ioctl, ALONE, (ENOTTY), (ENOTTY))                                                      \
    X(dlsym, ALONE, (EINVAL), (EINVAL))                                                      \
    X(pidfd_open, DESCRIPTORS, (EMFILE, ENFILE, ENOMEM, ENOSYS), (EMFILE, ENFILE, ENOSYS))   \
    X(pidfd_send_signal, ALONE, (DONE), (DONE))                                              \
    X(futex_wait, ALONE, (EINTR, EAGAIN), (EINTR))                                           \
    X(futex_waitv, ALONE, (EINTR, EAGAIN, ENOSYS, ENOMEM, EPERM), (EINTR, ENOSYS, EPERM))    \
    X(futex_wake, ALONE, (DONE), (DONE))                                                     \
    X(set_robust_list, ALONE, (ENOSYS), (ENOSYS))                                            \
    X(get_robust_list, ALONE, (EPERM, ENOSYS), (ENOSYS, EPERM))                              \
    X(tgkill, ALONE, (DONE), (DONE))

#define CALL_NUMBER(name, ...) CALL_##name,
enum call { CALLS(CALL_NUMBER) CALL_COUNT };

enum role { CLIENT, SUPERVISOR, WORKER, SPARE, IMAGE, ROLES };

extern const char *const engine_role_names[ROLES];

enum { MOST_ERRORS = 8 };

struct call_info {
    const char *name;
    enum group group;
    int once[MOST_ERRORS]; /* the first is the most likely; 0 ends them */
    int lasting[MOST_ERRORS];
};

extern const struct call_info engine_calls[CALL_COUNT];

struct place {
    _Atomic uint64_t key; /* of role, call and site; 0: free */
    atomic_uint count;    /* calls there */
};

enum role engine_role_of(uint64_t key);
enum call engine_call_of(uint64_t key);
uintptr_t engine_site_of(uint64_t key); /* an offset into the program's file */

struct order {
    uint64_t key; /* 0: nothing fails */
    unsigned nth; /* of the calls there, from 1 on */
    int error;
    bool lasting; /* all that follow fail, too; of EINTR, every other */
};

enum { PLACES = 2048, WHY = 512 };

struct engine {
    uint64_t magic;
    int fd;
    struct order order;
    pid_t client;
    atomic_bool on;
    atomic_bool slow_forks;
    atomic_bool threaded; /* the next thread that the client makes is a supervisor */
    atomic_bool tripped;
    atomic_bool exhausted; /* too few places: PLACES is to be made larger */
    struct place places[PLACES];

    /* What became of it, see run.h. */
    atomic_uint deviations;
    atomic_bool violated;
    atomic_bool refused, complete;
    char first[WHY], why[WHY];
};

extern struct engine *engine; /* NULL: calls are what they are elsewhere */

/* Memory for runs, one after the other, whose descriptor is not closed on exec. */
struct engine *engine_new(void);
void engine_clear(struct engine *used);
void engine_free(struct engine *used);

/* Images of the program find this one from now on. */
void engine_announce(const struct engine *made);

/* How this call is to go wrong, or 0.  The site is a return address. */
int engine_ask(enum call call, const void *site);

/* This process has just been forked; this thread is of that role. */
void engine_forked(void);
void engine_be(enum role role);
enum role engine_role(void);

/* Whether this is the process whose memory is looked after. */
bool engine_is_client(void);

/* ---- memory.c: what the library holds, in the client ---- */

void memory_took(void *block, const void *site);
void memory_gave(void *block);
void memory_mapped(void *begin, size_t size, const void *site);
void memory_unmapped(void *begin, size_t size);

/* Unmapping failed, on purpose.  Of a whole mapping: then nobody can do any more about it. */
void memory_excuse(void *begin, size_t size);

/* Writes what is held still; false if that is nothing. */
bool memory_left(char *why, size_t size);

/* For the scenarios: what the library has handed out to be freed. */
void calls_free(void *block);

#endif
