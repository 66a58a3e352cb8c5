/* SPDX-License-Identifier: MIT */
/*
 * What the library calls in the place of libc's functions: calls_NAME for NAME.  Each asks the
 * engine whether this call is to fail, and does what NAME does if not.
 * Here: processes, threads, waiting, and what is known of the machine.
 */
#include <dlfcn.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "wrap.h"

#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

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

/* The supervisor is the first thread of a pool of threads, and it alone makes more. */
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

SYMBOL(int, posix_spawn_file_actions_adddup2, posix_spawn_file_actions_t *actions, int fd,
       int to)
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

CHECKED(int, poll, poll, (struct pollfd *fds, nfds_t count, int timeout, size_t room),
        (fds, count, timeout))
CHECKED(int, ppoll, ppoll,
        (struct pollfd *fds, nfds_t count, const struct timespec *timeout,
         const sigset_t *mask, size_t room),
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
        fprintf(stderr, "calls: system call %ld is not in tests/calls/wrap_tasks.c\n", number);
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
