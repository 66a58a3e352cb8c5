/* SPDX-License-Identifier: MIT */
/* The segment: what each process may read and write of it. */
#include "shm/segment.h"

#include <errno.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#define KIB ((size_t)1 << 10)

enum { SEATS = 3 };

static struct ppi_segment segment;
static const size_t lengths[PPI_PARTS] = { 100 * KIB, 1, 200 * KIB, SEATS * 128 * KIB,
                                           80 * KIB };

static void set_up(void)
{
    CHECK_EQ(ppi_segment_create(&segment, lengths, 128 * KIB), 0);
}

static char *seat(unsigned i)
{
    return ppi_segment_part(&segment, PPI_SEATS) + i * segment.seat_size;
}

/* ---- What can be done with an address; the kernel says so without a signal. ---- */

static bool is_readable(const char *address)
{
    int ends[2];
    bool readable;

    CHECK_EQ(pipe(ends), 0);
    readable = write(ends[1], address, 1) == 1;
    CHECK(readable || errno == EFAULT);
    close(ends[0]);
    close(ends[1]);
    return readable;
}

static bool is_writable(char *address)
{
    int ends[2];
    bool writable;

    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(write(ends[1], "x", 1), 1);
    writable = read(ends[0], address, 1) == 1;
    CHECK(writable || errno == EFAULT);
    close(ends[0]);
    close(ends[1]);
    return writable;
}

enum access { NONE, READ, WRITE };

static void check_access(char *begin, size_t size, enum access access)
{
    char *const places[] = { begin, begin + size / 2, begin + size - 1 };

    for (int i = 0; i < 3; i++) {
        CHECK_EQ(is_readable(places[i]), access >= READ);
        CHECK_EQ(is_writable(places[i]), access >= WRITE);
    }
}

static void check_part(enum ppi_part part, enum access access)
{
    check_access(ppi_segment_part(&segment, part), segment.length[part], access);
}

static void in_child(void (*check)(void))
{
    pid_t pid = fork();
    int status;

    CHECK(pid >= 0);
    if (pid == 0) {
        check();
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
}

/* ---- Making it ----------------------------------------------------------- */

TEST(parts_follow_each_other)
{
    size_t end = 0;

    set_up();
    for (int part = 0; part < PPI_PARTS; part++) {
        CHECK_EQ(segment.offset[part], end);
        CHECK_EQ(segment.offset[part] % (64 * KIB), 0);
        CHECK(segment.length[part] >= lengths[part]);
        end += segment.length[part];
    }
    CHECK_EQ(end, segment.size);
    check_access(segment.base, segment.size, WRITE);
    ppi_segment_destroy(&segment);
    ppi_segment_destroy(&segment); /* a second time without effect */
}

/* 64 GiB of nothing; and no descriptor stays, as the harness would see. */
TEST(what_is_not_touched_costs_nothing)
{
    const size_t large[PPI_PARTS] = { (size_t)64 << 30, 1, 1, KIB };
    struct rusage before, after;

    getrusage(RUSAGE_SELF, &before);
    CHECK_EQ(ppi_segment_create(&segment, large, KIB), 0);
    getrusage(RUSAGE_SELF, &after);
    CHECK(after.ru_maxrss - before.ru_maxrss < 1024);
    ppi_segment_destroy(&segment);
}

TEST(too_much_fails)
{
    const size_t huge[PPI_PARTS] = { (size_t)1 << 50, 1, 1, 1 };

    CHECK_EQ(ppi_segment_create(&segment, huge, 1), -ENOMEM);
}

/* As when a pool is joined. */
TEST(what_is_shared_outlives_the_rest)
{
    char *shared, *other;

    set_up();
    shared = ppi_segment_part(&segment, PPI_SHARED);
    shared[0] = 1;
    ppi_segment_leave(&segment);
    check_access(segment.base, segment.offset[PPI_SHARED], NONE);
    check_part(PPI_SHARED, WRITE);
    other = mmap(segment.base, KIB, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    CHECK_EQ(other, segment.base); /* what is left is anybody's */
    ppi_segment_destroy(&segment); /* the harness would see a mapping that stays */
    ppi_segment_destroy(&segment);
    check_access(other, KIB, WRITE);
    munmap(other, KIB);
    check_access(shared, segment.length[PPI_SHARED], NONE);
}

TEST(nothing_is_shared)
{
    const size_t none[PPI_PARTS] = { KIB, KIB, KIB, 128 * KIB };

    CHECK_EQ(ppi_segment_create(&segment, none, 128 * KIB), 0);
    CHECK_EQ(ppi_segment_confine_client(&segment), 0);
    ppi_segment_leave(&segment);
    ppi_segment_destroy(&segment);
}

static void check_no_descriptor(void)
{
    CHECK_EQ(setrlimit(RLIMIT_NOFILE, &(struct rlimit){ 0, 0 }), 0);
    CHECK_EQ(ppi_segment_create(&segment, lengths, 128 * KIB), -EMFILE);
}

static void check_small_files_only(void)
{
    CHECK_EQ(setrlimit(RLIMIT_FSIZE, &(struct rlimit){ 1000, 1000 }), 0);
    CHECK_EQ(ppi_segment_create(&segment, lengths, 128 * KIB), -ENOMEM);
}

static void check_no_address_space(void)
{
    CHECK_EQ(setrlimit(RLIMIT_AS, &(struct rlimit){ 1000, 1000 }), 0);
    CHECK_EQ(ppi_segment_create(&segment, lengths, 128 * KIB), -ENOMEM);
}

TEST(limits_of_the_process_make_it_fail)
{
    in_child(check_no_descriptor);
    in_child(check_small_files_only);
    if (!HARNESS_SANITIZED)
        in_child(check_no_address_space);
}

TEST(pages_given_back_read_as_zero)
{
    char *page;

    set_up();
    page = ppi_segment_part(&segment, PPI_QUEUE) + PPI_PAGE;
    page[0] = page[PPI_PAGE] = 5;
    CHECK(ppi_segment_release_pages(page, PPI_PAGE));
    CHECK_EQ(page[0], 0);
    CHECK_EQ(page[PPI_PAGE], 5);
    ppi_segment_clear_pages(page + PPI_PAGE, PPI_PAGE);
    CHECK_EQ(page[PPI_PAGE], 0);
    ppi_segment_destroy(&segment);
}

static bool is_in_memory(char *page)
{
    unsigned char in_memory;

    CHECK_EQ(mincore(page, PPI_PAGE, &in_memory), 0);
    return in_memory & 1;
}

/* What is locked is given back, too. */
TEST(locked_pages_are_cleared)
{
    char *page;

    if (HARNESS_SANITIZED)
        SKIP("sanitizers do not let memory be locked");
    set_up();
    page = ppi_segment_part(&segment, PPI_SHARED);
    page[0] = page[PPI_PAGE] = 5;
    if (mlock(page, PPI_PAGE) != 0)
        SKIP("no memory may be locked here: %s", strerror(errno));
    CHECK(!ppi_segment_release_pages(page, PPI_PAGE));
    ppi_segment_clear_pages(page, PPI_PAGE);
    CHECK(!is_in_memory(page));
    CHECK_EQ(page[0], 0);
    CHECK_EQ(page[PPI_PAGE], 5);
    ppi_segment_destroy(&segment);
}

/* Of private memory no page is taken back. */
TEST(pages_that_are_not_taken_back_are_zeroed)
{
    char *pages = mmap(NULL, 2 * PPI_PAGE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(pages != MAP_FAILED);
    memset(pages, 5, 2 * PPI_PAGE);
    CHECK(!ppi_segment_release_pages(pages, PPI_PAGE));
    CHECK_EQ(pages[0], 5);
    ppi_segment_clear_pages(pages, PPI_PAGE);
    for (size_t at = 0; at < 2 * PPI_PAGE; at++)
        CHECK_EQ(pages[at], at < PPI_PAGE ? 0 : 5);
    munmap(pages, 2 * PPI_PAGE);
}

/* ---- Who may what -------------------------------------------------------- */

static void check_client(void)
{
    CHECK_EQ(ppi_segment_confine_client(&segment), 0);
    check_part(PPI_QUEUE, WRITE);
    check_part(PPI_CLAIMS, WRITE);
    check_part(PPI_CONTROL, READ);
    check_part(PPI_SEATS, READ);
    check_part(PPI_SHARED, WRITE);
}

static void check_supervisor(void)
{
    CHECK_EQ(ppi_segment_confine_supervisor(&segment), 0);
    check_part(PPI_QUEUE, READ);
    check_part(PPI_CLAIMS, WRITE);
    check_part(PPI_CONTROL, WRITE);
    check_part(PPI_SEATS, READ);
    check_part(PPI_SHARED, NONE);
}

/* Workers are children of the supervisor. */
static void check_worker(unsigned mine)
{
    CHECK_EQ(ppi_segment_confine_supervisor(&segment), 0);
    CHECK_EQ(ppi_segment_confine_worker(&segment, mine), 0);
    check_part(PPI_QUEUE, READ);
    check_part(PPI_CLAIMS, WRITE);
    check_part(PPI_CONTROL, READ);
    check_part(PPI_SHARED, WRITE);
    for (unsigned i = 0; i < SEATS; i++)
        check_access(seat(i), segment.seat_size, i == mine ? WRITE : NONE);
}

static void check_first_worker(void)
{
    check_worker(0);
}

static void check_second_worker(void)
{
    check_worker(1);
}

static void check_last_worker(void)
{
    check_worker(SEATS - 1);
}

TEST(each_process_writes_what_is_its_own)
{
    set_up();
    in_child(check_client);
    in_child(check_supervisor);
    in_child(check_first_worker);
    in_child(check_second_worker);
    in_child(check_last_worker);
    ppi_segment_destroy(&segment);
}

static void write_both(void)
{
    *seat(0) = 1;
    *ppi_segment_part(&segment, PPI_CLAIMS) = 2;
}

TEST(children_that_were_there_before_share_it)
{
    set_up();
    in_child(write_both);
    CHECK_EQ(*seat(0), 1);
    CHECK_EQ(*ppi_segment_part(&segment, PPI_CLAIMS), 2);
    ppi_segment_destroy(&segment);
}

static void check_nothing(void)
{
    check_access(segment.base, segment.size, NONE);
}

TEST(children_of_a_confined_client_have_none_of_it)
{
    set_up();
    CHECK_EQ(ppi_segment_confine_client(&segment), 0);
    in_child(check_nothing);
    ppi_segment_destroy(&segment);
}
