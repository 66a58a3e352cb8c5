/* SPDX-License-Identifier: MIT */
#include "base/waker.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

int ppi_waker_open(struct ppi_waker *waker)
{
    struct stat status;
    int ends[2];

    *waker = PPI_NO_WAKER;
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0)
        return -errno;
    waker->reader = ends[0];
    waker->writer = ends[1];
    if (fstat(waker->writer, &status) < 0) {
        int error = -errno;

        ppi_waker_close(waker);
        return error;
    }
    waker->device = status.st_dev;
    waker->inode = status.st_ino;
    return 0;
}

void ppi_waker_close(struct ppi_waker *waker)
{
    if (waker->reader >= 0)
        close(waker->reader);
    if (waker->writer >= 0)
        close(waker->writer);
    *waker = PPI_NO_WAKER;
}

/* Whether the writer is still what it was, as far as can be known. */
static bool is_ours(const struct ppi_waker *waker)
{
    struct stat status;

    if (waker->writer < 0)
        return false;
    if (fstat(waker->writer, &status) < 0)
        return errno != EBADF; /* no memory to say it: a signal that is lost would be worse */
    return status.st_dev == waker->device && status.st_ino == waker->inode;
}

bool ppi_waker_signal(const struct ppi_waker *waker)
{
    int cancelable;
    ssize_t written;

    if (!is_ours(waker))
        return false;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancelable); /* locks may be held */
    while ((written = write(waker->writer, "", 1)) < 0 && errno == EINTR)
        ;
    pthread_setcancelstate(cancelable, NULL);
    return written > 0 || errno == EAGAIN; /* full, and so readable */
}

void ppi_waker_clear(const struct ppi_waker *waker)
{
    char signals[256];
    int cancelable;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancelable);
    while (read(waker->reader, signals, sizeof signals) < 0 && errno == EINTR)
        ;
    pthread_setcancelstate(cancelable, NULL);
}
