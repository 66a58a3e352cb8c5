/* SPDX-License-Identifier: MIT */
#include "base/process.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/single_threaded.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int ppi_pidfd_open(pid_t pid)
{
    long fd = syscall(SYS_pidfd_open, pid, 0);

    return fd < 0 ? -errno : (int)fd; /* always close-on-exec */
}

bool ppi_pidfd_dead(int pidfd)
{
    struct pollfd fd = { .fd = pidfd, .events = POLLIN };

    return poll(&fd, 1, 0) > 0;
}

void ppi_pidfd_kill(int pidfd)
{
    syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
}

void ppi_block_signals(sigset_t *before)
{
    static const int own[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS };
    sigset_t signals;

    sigfillset(&signals);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        sigdelset(&signals, own[i]);
    pthread_sigmask(SIG_SETMASK, &signals, before);
}

#ifndef P_PIDFD
#define P_PIDFD 3 /* Linux 5.4 */
#endif

/* Reads a file of /proc into text; the number of bytes, or -errno. */
static ssize_t read_text(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = 0, got = 0;

    if (fd < 0)
        return -errno;
    do {
        length += got;
        got = read(fd, text + length, size - 1 - (size_t)length);
    } while (got > 0 || (got < 0 && errno == EINTR && (got = 0, true)));
    text[length] = '\0';
    close(fd);
    return length;
}

bool ppi_single_threaded(void)
{
    char text[1024];
    const char *line;

    if (__libc_single_threaded) /* there has never been another: it costs nothing to know */
        return true;
    if (read_text("/proc/self/status", text, sizeof text) <= 0)
        return false;
    line = strstr(text, "\nThreads:");
    return line && atoi(line + strlen("\nThreads:")) == 1;
}

pid_t ppi_fork_quiet(void)
{
    /* No flags and no exit signal: a copy of the process, and nobody is told. */
    return (pid_t)syscall(SYS_clone, 0, NULL, NULL, NULL, NULL);
}

/* Waits until a child is dead, and for it as these options say; its number, or 0. */
static pid_t await_death(int pidfd, int options)
{
    struct pollfd fd = { .fd = pidfd, .events = POLLIN };
    siginfo_t info = { 0 };

    while (poll(&fd, 1, -1) < 0 && errno == EINTR)
        ;
    while (waitid(P_PIDFD, (id_t)pidfd, &info, WEXITED | __WALL | options) < 0 &&
           errno == EINTR)
        ;
    return info.si_pid;
}

void ppi_reap_quiet(int pidfd)
{
    /* One that is traced can be dead for a while before it can be reaped: its tracer comes
       first. */
    await_death(pidfd, 0);
}

pid_t ppi_await_unreaped(int pidfd)
{
    return await_death(pidfd, WNOHANG | WNOWAIT);
}

int ppi_kill_children(void)
{
    char path[64], text[16384], *next, *end;
    int count = 0;
    ssize_t length;

    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)syscall(SYS_gettid));
    length = read_text(path, text, sizeof text);
    if (length < 0)
        return (int)length;
    while (length > 0 && text[length - 1] != ' ')
        text[--length] = '\0'; /* a number that did not fit whole is another's */
    for (next = text;; next = end, count++) {
        long pid = strtol(next, &end, 10);

        if (end == next)
            return count;
        kill((pid_t)pid, SIGKILL);
    }
}

bool ppi_read_process(pid_t pid, struct ppi_process *process)
{
    enum { STATE = 3, PARENT, SESSION = 6, FLAGS = 9, THREADS = 20, BEGUN = 22, EXIT_CODE = 52,
           FIELDS };
    char path[32], text[1024], *field;
    unsigned long long values[FIELDS] = { 0 };
    int i;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (read_text(path, text, sizeof text) <= 0)
        return false;
    field = strrchr(text, ')'); /* the name, which may be anything, ends there */
    for (i = STATE; i < FIELDS && field && (field = strchr(field, ' ')); i++) {
        field++;
        values[i] = i == STATE ? (unsigned char)*field : strtoull(field, NULL, 10);
    }
    *process = (struct ppi_process){
        .state = (char)values[STATE],
        .parent = (pid_t)values[PARENT],
        .session = (pid_t)values[SESSION],
        .flags = (unsigned)values[FLAGS],
        .threads = (unsigned)values[THREADS],
        .begun = values[BEGUN],
        .exit_code = (int)values[EXIT_CODE],
    };
    return i > BEGUN;
}

#define EXITING 0x4 /* PF_EXITING of the kernel */

bool ppi_is_exiting(pid_t pid, int *status)
{
    struct ppi_process process;

    if (!ppi_read_process(pid, &process))
        return false;
    *status = WIFSIGNALED(process.exit_code) ? WTERMSIG(process.exit_code)
                                             : process.exit_code & 0xff00;
    return process.parent == getpid() && (process.flags & EXITING) && process.threads == 1 &&
           *status != 0;
}

/* The value of a line of /proc/meminfo, in bytes; 0 when there is none. */
static size_t meminfo(const char *text, const char *name)
{
    const char *line = strstr(text, name);

    return line ? strtoull(line + strlen(name), NULL, 10) * 1024 : 0;
}

size_t ppi_memory_available(void)
{
    char text[8192];

    if (read_text("/proc/meminfo", text, sizeof text) <= 0 || !strstr(text, "MemAvailable:"))
        return SIZE_MAX;
    return meminfo(text, "MemAvailable:") + meminfo(text, "SwapFree:");
}

char *ppi_read_maps(pid_t pid)
{
    char path[32], *text = NULL, *more;
    size_t length = 0, room = 16384;
    ssize_t got = -1;
    int fd;

    snprintf(path, sizeof path, "/proc/%d/maps", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    while (fd >= 0 && (more = realloc(text, room))) {
        text = more;
        while ((got = read(fd, text + length, room - length - 1)) > 0)
            length += (size_t)got;
        if (length < room - 1)
            break;
        room *= 2;
    }
    if (fd >= 0)
        close(fd);
    if (got != 0) {
        free(text);
        return NULL;
    }
    text[length] = '\0';
    return text;
}

#pragma weak dlsym /* in a library of its own before glibc 2.34, which may be missing */

const void *const *ppi_libc_words(void)
{
    return dlsym ? dlsym(RTLD_DEFAULT, "__abort_msg") : NULL;
}
