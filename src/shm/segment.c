/* SPDX-License-Identifier: MIT */
#include "shm/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

/* Pages may be larger than ours (64 KiB on some Arm kernels): parts begin at multiples. */
#define PART_ALIGN ((size_t)65536)

static int make_memfd(size_t size)
{
    struct rlimit limit;
    int fd = memfd_create("procpool", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0)
        return -errno;
    /* Asking for more than the limit on file sizes would raise SIGXFSZ. */
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < size) {
        close(fd);
        return -ENOMEM;
    }
    if (ftruncate(fd, (off_t)size) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0) {
        close(fd);
        return -ENOMEM;
    }
    return fd;
}

int ppi_segment_create(struct ppi_segment *segment, const size_t length[PPI_PARTS],
                       size_t seat_size)
{
    size_t size = 0;
    void *base;
    int fd;

    for (int part = 0; part < PPI_PARTS; part++) {
        segment->offset[part] = size;
        segment->length[part] = ppi_round_up(length[part], PART_ALIGN);
        size += segment->length[part];
    }
    segment->size = size;
    segment->seat_size = seat_size;
    segment->left = 0;
    fd = make_memfd(size);
    if (fd < 0)
        return fd;
    base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    close(fd); /* the mapping keeps it; no descriptor stays */
    if (base == MAP_FAILED)
        return -ENOMEM;
    madvise(base, size, MADV_DONTDUMP);
    segment->base = base;
    return 0;
}

void ppi_segment_leave(struct ppi_segment *segment)
{
    munmap(segment->base, segment->offset[PPI_SHARED]);
    segment->left = segment->offset[PPI_SHARED];
}

void ppi_segment_destroy(struct ppi_segment *segment)
{
    if (segment->base && segment->left < segment->size)
        munmap(segment->base + segment->left, segment->size - segment->left);
    segment->base = NULL;
}

static int protect(const struct ppi_segment *segment, enum ppi_part part, int protection)
{
    return mprotect(ppi_segment_part(segment, part), segment->length[part], protection) < 0
               ? -errno
               : 0;
}

int ppi_segment_confine_client(const struct ppi_segment *segment)
{
    int error = protect(segment, PPI_CONTROL, PROT_READ);

    if (!error)
        error = protect(segment, PPI_SEATS, PROT_READ);
    /* Children that the program forks itself have no business here. */
    if (!error && madvise(segment->base, segment->size, MADV_DONTFORK) < 0)
        error = -errno;
    return error;
}

int ppi_segment_confine_supervisor(const struct ppi_segment *segment)
{
    int error = protect(segment, PPI_QUEUE, PROT_READ);

    if (!error)
        error = protect(segment, PPI_SEATS, PROT_READ);
    return error ? error : protect(segment, PPI_SHARED, PROT_NONE);
}

int ppi_segment_confine_worker(const struct ppi_segment *segment, unsigned seat)
{
    char *seats = ppi_segment_part(segment, PPI_SEATS);
    char *mine = seats + seat * segment->seat_size;
    char *next = mine + segment->seat_size;
    char *end = seats + segment->length[PPI_SEATS];
    int error = protect(segment, PPI_CONTROL, PROT_READ);

    if (!error && mine > seats && munmap(seats, (size_t)(mine - seats)) < 0)
        error = -errno;
    if (!error && next < end && munmap(next, (size_t)(end - next)) < 0)
        error = -errno;
    if (!error && mprotect(mine, segment->seat_size, PROT_READ | PROT_WRITE) < 0)
        error = -errno;
    return error ? error : protect(segment, PPI_SHARED, PROT_READ | PROT_WRITE);
}

bool ppi_segment_release_pages(void *address, size_t size)
{
    return madvise(address, size, MADV_REMOVE) == 0;
}

void ppi_segment_clear_pages(void *address, size_t size)
{
    if (ppi_segment_release_pages(address, size))
        return;
    munlock(address, size); /* what is locked is not taken back */
    if (!ppi_segment_release_pages(address, size))
        memset(address, 0, size);
}
