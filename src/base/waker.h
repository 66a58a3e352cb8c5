/* SPDX-License-Identifier: MIT */
/*
 * A descriptor that one process makes readable for another.
 *
 * It is a pipe and not an eventfd, for a task may close the descriptors that it finds
 * and open its own under their numbers: a pipe has an inode of its own by which we know
 * it, whereas all eventfds share one.  A wake-up that went to a stranger would be lost.
 */
#ifndef PPI_BASE_WAKER_H
#define PPI_BASE_WAKER_H

#include <stdbool.h>
#include <sys/types.h>

struct ppi_waker {
    int reader, writer; /* close-on-exec, non-blocking; -1: there is none */
    dev_t device;
    ino_t inode;
};

#define PPI_NO_WAKER ((struct ppi_waker){ .reader = -1, .writer = -1 })

/* 0 or -EMFILE, -ENFILE. */
int ppi_waker_open(struct ppi_waker *waker);
void ppi_waker_close(struct ppi_waker *waker);

/*
 * Makes it readable; false when the descriptor is gone, or somebody else's by now.  The
 * reader must be open in some process that lives, or the caller gets SIGPIPE.
 */
bool ppi_waker_signal(const struct ppi_waker *waker);

/* Makes it not readable; a burst of signals may leave some. */
void ppi_waker_clear(const struct ppi_waker *waker);

#endif
