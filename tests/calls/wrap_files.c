/* SPDX-License-Identifier: MIT */
/*
 * What the library calls in the place of libc's functions: calls_NAME for NAME.  Each asks the
 * engine whether this call is to fail, and does what NAME does if not.
 * Here: memory and files.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "wrap.h"

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

SYMBOL(DIR *, opendir, const char *path)
{
    FAIL_AS(opendir, NULL)
    return opendir(path);
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

SYMBOL(int, timerfd_create, int clock, int flags)
{
    FAIL(timerfd_create)
    return timerfd_create(clock, flags);
}

SYMBOL(int, ioctl, int fd, unsigned long request, void *argument)
{
    FAIL(ioctl)
    return ioctl(fd, request, argument);
}

CHECKED(ssize_t, read, read, (int fd, void *to, size_t size, size_t room), (fd, to, size))
CHECKED(ssize_t, pread64, pread64, (int fd, void *to, size_t size, off_t at, size_t room),
        (fd, to, size, at))
CHECKED(ssize_t, readlink, readlink, (const char *path, char *to, size_t size, size_t room),
        (path, to, size))
CHECKED(char *, fgets, fgets, (char *line, size_t room, int size, FILE *file),
        (line, size, file))
