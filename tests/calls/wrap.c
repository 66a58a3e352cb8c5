/* SPDX-License-Identifier: MIT */
/*
 * What the library calls in the place of libc's functions: calls_NAME for NAME.  Each asks the
 * engine whether this call is to fail, and does what NAME does if not.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine.h"

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

#define SITE __builtin_return_address(0)
#define SYMBOL(type, name, ...)                                                              \
    type calls_##name(__VA_ARGS__);                                                          \
    type calls_##name(__VA_ARGS__)

/* errno is set as by the kernel; the result of a call that fails. */
#define FAIL_AS(call, result)                                                                \
    int error_ = engine_ask(CALL_##call, SITE);                                              \
    if (error_ && error_ < SHORT) {                                                          \
        errno = error_;                                                                      \
        return (result);                                                                     \
    }
#define FAIL(call) FAIL_AS(call, -1)

/* ---- Memory ---- */

static void *took(void *block, const void *site)
{
    memory_took(block, site);
    return block;
}

SYMBOL(void *, malloc, size_t size)
{
    FAIL_AS(malloc, NULL)
    return took(malloc(size), SITE);
}

SYMBOL(void *, calloc, size_t count, size_t size)
{
    FAIL_AS(calloc, NULL)
    return took(calloc(count, size), SITE);
}

SYMBOL(void *, realloc, void *block, size_t size)
{
    void *moved;

    FAIL_AS(realloc, NULL)
    memory_gave(block);
    moved = realloc(block, size);
    return took(moved, SITE);
}

SYMBOL(void *, aligned_alloc, size_t alignment, size_t size)
{
    FAIL_AS(aligned_alloc, NULL)
    return took(aligned_alloc(alignment, size), SITE);
}

void calls_free(void *block)
{
    memory_gave(block);
    free(block);
}

/* Not looked after: libdw frees what it is given. */
SYMBOL(char *, strdup, const char *text)
{
    FAIL_AS(strdup, NULL)
    return strdup(text);
}

__attribute__((format(printf, 2, 0))) static int print(char **text, const char *format,
                                                        va_list arguments, const void *site)
{
    int error = engine_ask(CALL_asprintf, site), length = -1;

    if (error)
        errno = error;
    else
        length = vasprintf(text, format, arguments);
    if (length >= 0)
        took(*text, site);
    return length;
}

int calls_asprintf(char **text, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
int calls_asprintf(char **text, const char *format, ...)
{
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = print(text, format, arguments, SITE);
    va_end(arguments);
    return length;
}

int calls___asprintf_chk(char **text, int flag, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int calls___asprintf_chk(char **text, int flag, const char *format, ...)
{
    va_list arguments;
    int length;

    (void)flag;
    va_start(arguments, format);
    length = print(text, format, arguments, SITE);
    va_end(arguments);
    return length;
}

SYMBOL(FILE *, open_memstream, char **text, size_t *size)
{
    FAIL_AS(open_memstream, NULL)
    return open_memstream(text, size);
}

SYMBOL(FILE *, fmemopen, void *memory, size_t size, const char *mode)
{
    FAIL_AS(fmemopen, NULL)
    return fmemopen(memory, size, mode);
}

SYMBOL(ssize_t, __getdelim, char **line, size_t *room, int end, FILE *file)
{
    FAIL(getdelim)
    return getdelim(line, room, end, file);
}

SYMBOL(cpu_set_t *, __sched_cpualloc, size_t count)
{
    FAIL_AS(cpualloc, NULL)
    return took(__sched_cpualloc(count), SITE);
}

SYMBOL(void, __sched_cpufree, cpu_set_t *set)
{
    memory_gave(set);
    __sched_cpufree(set);
}

SYMBOL(void *, mmap64, void *address, size_t size, int protection, int flags, int fd, off_t at)
{
    void *memory;

    FAIL_AS(mmap, MAP_FAILED)
    memory = mmap(address, size, protection, flags, fd, at);
    if (memory != MAP_FAILED)
        memory_mapped(memory, (size + 4095) & ~(size_t)4095, SITE);
    return memory;
}

SYMBOL(int, munmap, void *address, size_t size)
{
    int error = engine_ask(CALL_munmap, SITE);

    if (error) {
        memory_excuse(address, size);
        errno = error;
        return -1;
    }
    memory_unmapped(address, size);
    return munmap(address, size);
}

SYMBOL(int, mprotect, void *address, size_t size, int protection)
{
    FAIL(mprotect)
    return mprotect(address, size, protection);
}

SYMBOL(int, madvise, void *address, size_t size, int advice)
{
    FAIL(madvise)
    return madvise(address, size, advice);
}

/* ---- Files ---- */

SYMBOL(int, memfd_create, const char *name, unsigned flags)
{
    FAIL(memfd_create)
    return memfd_create(name, flags);
}

SYMBOL(int, ftruncate64, int fd, off_t size)
{
    FAIL(ftruncate)
    return ftruncate(fd, size);
}

SYMBOL(int, fcntl64, int fd, int command, long argument)
{
    FAIL(fcntl)
    return fcntl(fd, command, argument);
}

SYMBOL(int, open64, const char *path, int flags, mode_t mode)
{
    FAIL(open)
    return open(path, flags, mode);
}

SYMBOL(int, __open64_2, const char *path, int flags)
{
    FAIL(open)
    return open(path, flags);
}

SYMBOL(FILE *, fopen64, const char *path, const char *mode)
{
    FAIL_AS(fopen, NULL)
    return fopen(path, mode);
}

SYMBOL(char *, fgets, char *line, int size, FILE *file)
{
    FAIL_AS(fgets, NULL)
    return fgets(line, size, file);
}

SYMBOL(ssize_t, read, int fd, void *to, size_t size)
{
    FAIL(read)
    return error_ == EMPTY ? 0 : read(fd, to, error_ == SHORT && size > 0 ? 1 : size);
}

SYMBOL(ssize_t, pread64, int fd, void *to, size_t size, off_t at)
{
    FAIL(pread)
    return pread(fd, to, error_ == SHORT && size > 0 ? 1 : size, at);
}

SYMBOL(ssize_t, pwrite64, int fd, const void *from, size_t size, off_t at)
{
    FAIL(pwrite)
    return pwrite(fd, from, size, at);
}

/* A pipe that is full can be read, as one that has just been written to. */
SYMBOL(ssize_t, write, int fd, const void *from, size_t size)
{
    ssize_t written;

    FAIL(write)
    written = write(fd, from, size);
    if (error_ != DONE)
        return written;
    errno = EAGAIN;
    return -1;
}

SYMBOL(ssize_t, readlink, const char *path, char *to, size_t size)
{
    FAIL(readlink)
    return readlink(path, to, size);
}

SYMBOL(int, fstat64, int fd, struct stat *status)
{
    FAIL(fstat)
    return fstat(fd, status);
}

/* Linux has closed it by the time that it says so. */
SYMBOL(int, close, int fd)
{
    int error = engine_ask(CALL_close, SITE), closed = close(fd);

    if (!error)
        return closed;
    errno = error;
    return -1;
}

SYMBOL(int, dup2, int from, int to)
{
    FAIL(dup2)
    return dup2(from, to);
}

SYMBOL(int, pipe2, int ends[2], int flags)
{
    FAIL(pipe2)
    return pipe2(ends, flags);
}

SYMBOL(int, epoll_create1, int flags)
{
    FAIL(epoll_create1)
    return epoll_create1(flags);
}

SYMBOL(int, epoll_ctl, int loop, int what, int fd, struct epoll_event *event)
{
    FAIL(epoll_ctl)
    return epoll_ctl(loop, what, fd, event);
}

SYMBOL(int, ioctl, int fd, unsigned long request, void *argument)
{
    FAIL(ioctl)
    return ioctl(fd, request, argument);
}

/* ---- Processes and threads ---- */

/* Forking takes long, as it does for programs with much memory. */
static void take_long(void)
{
    struct timespec begin, now;

    if (!engine || !atomic_load(&engine->slow_forks))
        return;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
    do
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    while (now.tv_sec == begin.tv_sec && now.tv_nsec - begin.tv_nsec < 6000000);
}

SYMBOL(pid_t, fork, void)
{
    pid_t pid;

    FAIL(fork)
    pid = fork();
    if (pid == 0)
        engine_forked();
    else
        take_long();
    return pid;
}

struct beginning {
    void *(*begin)(void *);
    void *argument;
    enum role role;
};

static void *begin_thread(void *what)
{
    struct beginning beginning = *(struct beginning *)what;

    free(what);
    engine_be(beginning.role);
    return beginning.begin(beginning.argument);
}

/* The supervisor is the first thread of a pool of threads, and the only one that makes more. */
static enum role role_of_thread(void)
{
    if (engine_role() == SUPERVISOR)
        return WORKER;
    return engine && atomic_exchange(&engine->threaded, false) ? SUPERVISOR : CLIENT;
}

SYMBOL(int, pthread_create, pthread_t *thread, const pthread_attr_t *attributes,
       void *(*begin)(void *), void *argument)
{
    int error = engine_ask(CALL_pthread_create, SITE);
    struct beginning *beginning;

    if (error)
        return error;
    beginning = malloc(sizeof *beginning);
    *beginning = (struct beginning){ begin, argument, role_of_thread() };
    error = pthread_create(thread, attributes, begin_thread, beginning);
    if (error)
        free(beginning);
    return error;
}

SYMBOL(int, posix_spawn, pid_t *pid, const char *path,
       const posix_spawn_file_actions_t *actions, const posix_spawnattr_t *attributes,
       char *const *arguments, char *const *environment)
{
    int error = engine_ask(CALL_posix_spawn, SITE);

    return error ? error : posix_spawn(pid, path, actions, attributes, arguments, environment);
}

SYMBOL(int, posix_spawn_file_actions_init, posix_spawn_file_actions_t *actions)
{
    int error = engine_ask(CALL_file_actions_init, SITE);

    return error ? error : posix_spawn_file_actions_init(actions);
}

SYMBOL(int, posix_spawn_file_actions_adddup2, posix_spawn_file_actions_t *actions, int fd, int to)
{
    int error = engine_ask(CALL_file_actions_adddup2, SITE);

    return error ? error : posix_spawn_file_actions_adddup2(actions, fd, to);
}

SYMBOL(int, posix_spawnattr_init, posix_spawnattr_t *attributes)
{
    int error = engine_ask(CALL_spawnattr_init, SITE);

    return error ? error : posix_spawnattr_init(attributes);
}

/* Nothing interrupts what does not wait. */
SYMBOL(int, waitid, idtype_t type, id_t id, siginfo_t *info, int options)
{
    if (options & WNOHANG)
        return waitid(type, id, info, options);
    FAIL(waitid)
    return waitid(type, id, info, options);
}

SYMBOL(pid_t, waitpid, pid_t pid, int *status, int options)
{
    if (options & WNOHANG)
        return waitpid(pid, status, options);
    FAIL(waitpid)
    return waitpid(pid, status, options);
}

/* One's own children can be killed, unless a filter of calls forbids it, and then pools cannot
   work: what it says is all that can be wrong. */
SYMBOL(int, kill, pid_t pid, int number)
{
    int error = engine_ask(CALL_kill, SITE), killed = kill(pid, number);

    if (!error)
        return killed;
    errno = ESRCH;
    return -1;
}

SYMBOL(int, prctl, int option, unsigned long argument, unsigned long b, unsigned long c,
       unsigned long d)
{
    const char *name = option == PR_SET_NAME ? (const char *)argument : "";

    if (strcmp(name, "pp-supervisor") == 0)
        engine_be(SUPERVISOR);
    else if (strcmp(name, "pp-spare") == 0)
        engine_be(SPARE);
    else if (strncmp(name, "pp-worker", 9) == 0)
        engine_be(WORKER);
    FAIL(prctl)
    return prctl(option, argument, b, c, d);
}

SYMBOL(pid_t, setsid, void)
{
    FAIL(setsid)
    return setsid();
}

SYMBOL(int, sigaltstack, const stack_t *stack, stack_t *before)
{
    FAIL(sigaltstack)
    return sigaltstack(stack, before);
}

SYMBOL(ssize_t, process_vm_readv, pid_t pid, const struct iovec *to, unsigned long to_count,
       const struct iovec *from, unsigned long from_count, unsigned long flags)
{
    FAIL(process_vm_readv)
    return process_vm_readv(pid, to, to_count, from, error_ == SHORT ? 1 : from_count, flags);
}

/* ---- Waiting ---- */

SYMBOL(int, sigtimedwait, const sigset_t *set, siginfo_t *info, const struct timespec *timeout)
{
    FAIL(sigtimedwait)
    return sigtimedwait(set, info, timeout);
}

SYMBOL(int, poll, struct pollfd *fds, nfds_t count, int timeout)
{
    FAIL(poll)
    return poll(fds, count, timeout);
}

SYMBOL(int, ppoll, struct pollfd *fds, nfds_t count, const struct timespec *timeout,
       const sigset_t *mask)
{
    FAIL(ppoll)
    return ppoll(fds, count, timeout, mask);
}

SYMBOL(int, nanosleep, const struct timespec *time, struct timespec *left)
{
    FAIL(nanosleep)
    return nanosleep(time, left);
}

/* Who waits may always be woken for no reason. */
static int wake_for_nothing(pthread_mutex_t *lock)
{
    pthread_mutex_unlock(lock);
    sched_yield();
    pthread_mutex_lock(lock);
    return 0;
}

SYMBOL(int, pthread_cond_wait, pthread_cond_t *condition, pthread_mutex_t *lock)
{
    return engine_ask(CALL_cond_wait, SITE) ? wake_for_nothing(lock)
                                            : pthread_cond_wait(condition, lock);
}

SYMBOL(int, pthread_cond_clockwait, pthread_cond_t *condition, pthread_mutex_t *lock,
       clockid_t clock, const struct timespec *deadline)
{
    return engine_ask(CALL_cond_clockwait, SITE)
               ? wake_for_nothing(lock)
               : pthread_cond_clockwait(condition, lock, clock, deadline);
}

/* ---- The forms that are called where sizes of buffers are checked ---- */

#define CHECKED(type, name, function, parameters, arguments)                                 \
    type calls___##name##_chk parameters;                                                    \
    type calls___##name##_chk parameters                                                     \
    {                                                                                        \
        (void)room;                                                                          \
        return calls_##function arguments;                                                   \
    }

CHECKED(ssize_t, read, read, (int fd, void *to, size_t size, size_t room), (fd, to, size))
CHECKED(ssize_t, pread64, pread64, (int fd, void *to, size_t size, off_t at, size_t room),
        (fd, to, size, at))
CHECKED(ssize_t, readlink, readlink, (const char *path, char *to, size_t size, size_t room),
        (path, to, size))
CHECKED(char *, fgets, fgets, (char *line, size_t room, int size, FILE *file),
        (line, size, file))
CHECKED(int, poll, poll, (struct pollfd *fds, nfds_t count, int timeout, size_t room),
        (fds, count, timeout))
CHECKED(int, ppoll, ppoll,
        (struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask,
         size_t room),
        (fds, count, timeout, mask))

/* ---- What is known of the machine ---- */

SYMBOL(ssize_t, getrandom, void *to, size_t size, unsigned flags)
{
    FAIL(getrandom)
    return getrandom(to, error_ == SHORT ? 1 : size, flags);
}

SYMBOL(int, getrlimit64, __rlimit_resource_t resource, struct rlimit *limit)
{
    FAIL(getrlimit)
    return getrlimit(resource, limit);
}

SYMBOL(int, sched_getaffinity, pid_t pid, size_t size, cpu_set_t *set)
{
    FAIL(sched_getaffinity)
    return sched_getaffinity(pid, size, set);
}

SYMBOL(int, sched_setaffinity, pid_t pid, size_t size, const cpu_set_t *set)
{
    FAIL(sched_setaffinity)
    return sched_setaffinity(pid, size, set);
}

SYMBOL(int, sched_getcpu, void)
{
    FAIL(sched_getcpu)
    return sched_getcpu();
}

SYMBOL(long, sysconf, int name)
{
    FAIL(sysconf)
    return sysconf(name);
}

/* Many in a row, for whom all is one: a single place. */
SYMBOL(void *, dlsym, void *library, const char *name)
{
    return engine_ask(CALL_dlsym, NULL) ? NULL : dlsym(library, name);
}

/* ---- System calls by number ---- */

/* Those that cannot fail are not in the table; CALL_COUNT. */
static enum call call_of(long number, long operation)
{
    switch (number) {
    case SYS_clone:
        return CALL_clone;
    case SYS_pidfd_open:
        return CALL_pidfd_open;
    case SYS_pidfd_send_signal:
        return CALL_pidfd_send_signal;
    case SYS_futex:
        return (operation & FUTEX_CMD_MASK) == FUTEX_WAKE ? CALL_futex_wake : CALL_futex_wait;
    case SYS_futex_waitv:
        return CALL_futex_waitv;
    case SYS_set_robust_list:
        return CALL_set_robust_list;
    case SYS_get_robust_list:
        return CALL_get_robust_list;
    case SYS_tgkill:
        return CALL_tgkill;
    case SYS_gettid: /* cannot fail */
        return CALL_COUNT;
    default:
        fprintf(stderr, "calls: system call %ld stands not in tests/calls/wrap.c\n", number);
        abort();
    }
}

SYMBOL(long, syscall, long number, long a, long b, long c, long d, long e, long f)
{
    enum call call = call_of(number, b);
    int error = call < CALL_COUNT ? engine_ask(call, SITE) : 0;
    long result;

    if (error && error != DONE) {
        errno = error;
        return -1;
    }
    result = syscall(number, a, b, c, d, e, f);
    if (number == SYS_clone && result == 0)
        engine_forked();
    if (!error)
        return result;
    errno = ESRCH;
    return -1;
}
