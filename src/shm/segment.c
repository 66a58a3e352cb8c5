/* SPDX-License-Identifier: MIT */
#include "shm/segment.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
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

static void *map(void *address, size_t size, int fd, int flags)
{
    return mmap(address, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE | flags, fd,
                0);
}

#if UINTPTR_MAX > UINT32_MAX && !defined(__SANITIZE_THREAD__)
/* Far from where the kernel puts programs, libraries and stacks, whose places are drawn anew
   for each image: 32 to 72 TiB.  The sanitizer for threads allows no such addresses. */
#define APART_BEGIN (UINT64_C(32) << 40)
#define APART_SIZE (UINT64_C(40) << 40)
#define APART_STEP (UINT64_C(1) << 30)
#else
#define APART_SIZE UINT64_C(0)
#define APART_BEGIN UINT64_C(0)
#define APART_STEP UINT64_C(1)
#endif

/* Where it can be expected to fit into another image of the program, too. */
static void *map_apart(size_t size, int fd)
{
    for (int attempt = 0; attempt < 16 && size < APART_SIZE; attempt++) {
        uint64_t places = (APART_SIZE - size) / APART_STEP, place;
        void *wanted, *base;

        if (getrandom(&place, sizeof place, 0) != sizeof place)
            break;
        wanted = (void *)(uintptr_t)(APART_BEGIN + place % places * APART_STEP);
        base = map(wanted, size, fd, MAP_FIXED_NOREPLACE);
        if (base == wanted)
            return base;
        if (base != MAP_FAILED)
            munmap(base, size);
    }
    return map(NULL, size, fd, 0);
}

int ppi_segment_attach(const struct ppi_segment *segment)
{
    void *base = map(segment->base, segment->size, segment->file, MAP_FIXED_NOREPLACE);

    if (base == MAP_FAILED)
        return errno == EEXIST ? -EEXIST : -ENOMEM;
    if (base != segment->base) { /* a kernel that takes the address for a wish */
        munmap(base, segment->size);
        return -EEXIST;
    }
    madvise(base, segment->size, MADV_DONTDUMP);
    return 0;
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
    base = segment->portable ? map_apart(size, fd) : map(NULL, size, fd, 0);
    if (!segment->portable || base == MAP_FAILED)
        close(fd); /* the mapping keeps it; no descriptor stays */
    if (base == MAP_FAILED)
        return -ENOMEM;
    segment->file = fd;
    madvise(base, size, MADV_DONTDUMP);
    segment->base = base;
    return 0;
}

void ppi_segment_leave(struct ppi_segment *segment)
{
    /* Where it cuts what was one mapping there may be too many; then all of it goes later. */
    if (munmap(segment->base, segment->offset[PPI_SHARED]) == 0)
        segment->left = segment->offset[PPI_SHARED];
}

void ppi_segment_close_file(struct ppi_segment *segment)
{
    if (!segment->base || !segment->portable || segment->file < 0)
        return; /* and nothing is written: a supervisor that is a thread may be reading it */
    close(segment->file);
    segment->file = -1;
}

void ppi_segment_destroy(struct ppi_segment *segment)
{
    ppi_segment_close_file(segment);
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

int ppi_segment_keep_from_children(const struct ppi_segment *segment)
{
    if (madvise(segment->base, segment->size, MADV_DONTFORK) == 0)
        return 0;
    return errno == EINVAL ? -ENOSYS : -errno; /* something that passes for Linux, mostly */
}

int ppi_segment_confine_client(const struct ppi_segment *segment)
{
    int error = protect(segment, PPI_CONTROL, PROT_READ);

    if (!error)
        error = protect(segment, PPI_SEATS, PROT_READ);
    return error ? error : ppi_segment_keep_from_children(segment);
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

void ppi_segment_release_foreign(void *address, size_t size)
{
    /* Before Linux 6.7 that needs leave to write.  Who has it, and fails, is left alone. */
    if (ppi_segment_release_pages(address, size) || errno != EACCES ||
        mprotect(address, size, PROT_READ | PROT_WRITE) < 0)
        return;
    ppi_segment_release_pages(address, size);
    mprotect(address, size, PROT_READ);
}

void ppi_segment_clear_pages(void *address, size_t size)
{
    if (ppi_segment_release_pages(address, size))
        return;
    munlock(address, size); /* what is locked is not taken back */
    if (!ppi_segment_release_pages(address, size))
        memset(address, 0, size);
}
