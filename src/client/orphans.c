/* SPDX-License-Identifier: MIT */
/*
 * What tasks have started, when the supervisor has been killed.
 *
 * The supervisor would have adopted and ended it; now the kernel gives it to somebody else.
 * It is found all over /proc, by what it cannot but have from the pool and nobody else has:
 *
 *  - a copy of a worker's memory, that is, of the segment just that one seat which a worker
 *    leaves mapped: all that has been forked, and has not executed a program;
 *  - the supervisor's session, whose number cannot be another's as long as the supervisor has
 *    not been reaped: all that has not left it, even if it has executed a program.
 *
 * What has done both, left the session and executed a program, is not found.
 */
#include <dirent.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/process.h"
#include "client/client.h"

/*
 * A look in vain can miss one generation at most: one of a worker's, which the kernel has ended
 * since, another of its child's, which was on its way to be a daemon.
 */
enum { LOOKS_IN_VAIN = 4 };

/* By which those of a pool are known. */
struct marks {
    uintptr_t seats, seats_end; /* where the part lies, in all of them */
    size_t seat_size;
    char file[64];              /* device and inode of the segment, as in /proc/PID/maps */
    pid_t session;              /* 0: nobody is known by that */
    unsigned long long begun;   /* none of them before; in clock ticks */
};

/* ---- Memory ---- */

struct mapping {
    uintptr_t begin, end;
    char file[64];
};

/* The mapping of this line; false if it makes no sense. */
static bool read_mapping(const char *line, struct mapping *mapping)
{
    char device[24], inode[24];

    if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %*s %*s %23s %23s", &mapping->begin,
               &mapping->end, device, inode) != 4)
        return false;
    snprintf(mapping->file, sizeof mapping->file, "%s %s", device, inode);
    return true;
}

/* The line after this one, or NULL. */
static const char *next_line(const char *line)
{
    const char *end = strchr(line, '\n');

    return end && end[1] ? end + 1 : NULL;
}

/* Which file the segment is, which this process has mapped. */
static bool find_segment(struct marks *marks)
{
    char *text = ppi_read_maps(getpid());
    struct mapping mapping;

    for (const char *line = text; line && !marks->file[0]; line = next_line(line))
        if (read_mapping(line, &mapping) && mapping.begin <= marks->seats &&
            marks->seats < mapping.end)
            memcpy(marks->file, mapping.file, sizeof marks->file);
    free(text);
    return marks->file[0] != '\0';
}

static size_t overlap(const struct mapping *mapping, uintptr_t begin, uintptr_t end)
{
    if (mapping->begin > begin)
        begin = mapping->begin;
    if (mapping->end < end)
        end = mapping->end;
    return begin < end ? end - begin : 0;
}

/*
 * Whether a process has just one seat.  All of them is what the client itself has, and perhaps
 * a child that another of its threads forked while the pool was being made.
 */
static bool has_seat(pid_t pid, const struct marks *marks)
{
    char *text = ppi_read_maps(pid);
    struct mapping mapping;
    size_t size = 0;

    for (const char *line = text; line; line = next_line(line))
        if (read_mapping(line, &mapping) && strcmp(mapping.file, marks->file) == 0)
            size += overlap(&mapping, marks->seats, marks->seats_end);
    free(text);
    return size > 0 && size == marks->seat_size;
}

/* ---- Processes ---- */

static bool is_marked(pid_t pid, const struct marks *marks)
{
    struct ppi_process process;

    if (!ppi_read_process(pid, &process) || process.state == 'Z' || process.state == 'X' ||
        process.begun < marks->begun)
        return false;
    return (marks->session && process.session == marks->session) || has_seat(pid, marks);
}

/* Ends it if it is one of the pool's; whether it was. */
static bool end_if_marked(pid_t pid, const struct marks *marks)
{
    int process = ppi_pidfd_open(pid); /* first: what is read below is of this process, or */
    bool found;                        /* this one is dead, and then no signal reaches it */

    if (process < 0)
        return false;
    found = is_marked(pid, marks);
    if (found)
        ppi_pidfd_kill(process);
    close(process);
    if (found)
        waitpid(pid, NULL, WNOHANG | __WALL); /* it is our child if we are a subreaper */
    return found;
}

/*
 * Looks at every process that is there at the beginning; how many were the pool's.  What they
 * have forked since is not seen; and if one has done so, and is gone when its turn comes, neither
 * is that there was anything to be seen.
 */
static unsigned end_marked(const struct marks *marks)
{
    DIR *dir = opendir("/proc");
    const struct dirent *entry;
    unsigned count = 0;

    while (dir && (entry = readdir(dir))) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);

        if (pid > 1 && pid != getpid())
            count += end_if_marked(pid, marks);
    }
    if (dir)
        closedir(dir);
    return count;
}

void ppi_end_orphans(pp_pool *pool)
{
    const struct ppi_segment *segment = &pool->queue->segment;
    const struct timespec pause = { .tv_nsec = 500000 };
    uint64_t deadline = ppi_now_ns() + 5 * PPI_SECOND;
    struct ppi_process supervisor;
    struct marks marks = {
        .seats = (uintptr_t)ppi_segment_part(segment, PPI_SEATS),
        .seat_size = segment->seat_size,
    };

    if (pool->supervisor < 0)
        return; /* it is no process */
    marks.session = ppi_await_unreaped(pool->supervisor);
    marks.seats_end = marks.seats + segment->length[PPI_SEATS];
    if (marks.session && ppi_read_process(marks.session, &supervisor))
        marks.begun = supervisor.begun;
    if (!find_segment(&marks))
        return;
    for (int in_vain = 0; in_vain < LOOKS_IN_VAIN && ppi_now_ns() < deadline;
         nanosleep(&pause, NULL)) /* who was killed may still be dying */
        in_vain = end_marked(&marks) > 0 ? 0 : in_vain + 1;
}
