/* SPDX-License-Identifier: MIT */
#include "base/waker.h"

#include <errno.h>
#include <fcntl.h>
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

bool ppi_waker_signal(const struct ppi_waker *waker)
{
    struct stat status;

    if (waker->writer < 0 || fstat(waker->writer, &status) < 0 ||
        status.st_dev != waker->device || status.st_ino != waker->inode)
        return false;
    while (write(waker->writer, "", 1) < 0)
        if (errno != EINTR)
            return errno == EAGAIN; /* full, and so readable */
    return true;
}

void ppi_waker_clear(const struct ppi_waker *waker)
{
    char signals[256];

    while (read(waker->reader, signals, sizeof signals) < 0 && errno == EINTR)
        ;
}
