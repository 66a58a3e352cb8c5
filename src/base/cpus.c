/* SPDX-License-Identifier: MIT */
/*
 * Which CPUs there are for this process, as the kernel says it: sched_getaffinity(2), and
 * the quotas of cgroups(7), of both versions, also side by side.
 *
 * A quota holds for all that is below its cgroup.  So every cgroup on the way from our own
 * to the highest that is mounted is looked at, and the smallest counts.  Two things decide
 * where that way lies: what of the tree a mount shows (its root, in mountinfo), and what a
 * cgroup namespace hides (paths in it begin with "/.." when they lead out of it).
 */
#include "base/cpus.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

/* ---- Affinity ---- */

#define FEW_CPUS 1024      /* what cpu_set_t has room for */
#define MOST_CPUS (1 << 16) /* more than any kernel can be built for */

static unsigned *list_of(const cpu_set_t *set, size_t size, size_t *count)
{
    size_t found = (size_t)CPU_COUNT_S(size, set), next = 0;
    unsigned *list = found > 0 ? malloc(found * sizeof *list) : NULL;

    if (!list)
        return NULL;
    for (unsigned cpu = 0; next < found; cpu++)
        if (CPU_ISSET_S(cpu, size, set))
            list[next++] = cpu;
    *count = found;
    return list;
}

unsigned *ppi_allowed_cpus(size_t *count)
{
    /* The kernel refuses a set that has no room for every CPU that there could be. */
    for (size_t room = FEW_CPUS; room <= MOST_CPUS; room *= 2) {
        cpu_set_t *set = CPU_ALLOC(room);
        size_t size = CPU_ALLOC_SIZE(room);
        unsigned *list = NULL;
        int error;

        if (!set)
            return NULL;
        CPU_ZERO_S(size, set);
        error = sched_getaffinity(0, size, set) < 0 ? errno : 0;
        if (!error)
            list = list_of(set, size, count);
        CPU_FREE(set);
        if (error != EINVAL)
            return list;
    }
    return NULL;
}

int ppi_pin_to_cpu(unsigned cpu)
{
    size_t size = CPU_ALLOC_SIZE(cpu + 1);
    cpu_set_t *set = CPU_ALLOC(cpu + 1);
    int error;

    if (!set)
        return -ENOMEM;
    CPU_ZERO_S(size, set);
    CPU_SET_S(cpu, size, set);
    error = sched_setaffinity(0, size, set) < 0 ? -errno : 0;
    CPU_FREE(set);
    return error;
}

/* ---- One cgroup's quota ---- */

#define NO_QUOTA UINT_MAX

enum version { V1, V2, VERSIONS };

/* The first line of a file of a cgroup; false if there is none. */
static bool read_line(const char *cgroup, const char *name, char *line, int size)
{
    char *path;
    FILE *file;
    bool got;

    if (asprintf(&path, "%s/%s", cgroup, name) < 0)
        return false;
    file = fopen(path, "re");
    free(path);
    if (!file)
        return false;
    got = fgets(line, size, file) != NULL;
    fclose(file);
    return got;
}

/* A number, which text then points behind; false if there is none, as in "max" or "-1". */
static bool take_number(const char **text, uint64_t *number)
{
    char *end;

    if (**text < '0' || **text > '9')
        return false;
    errno = 0;
    *number = strtoull(*text, &end, 10);
    *text = end;
    return errno == 0;
}

/* What a cgroup's own files say: a time, of every period, in us. */
static unsigned quota_of(const char *cgroup, enum version version)
{
    char line[64], second[64];
    const char *quota = line, *period = second;
    uint64_t time, every, cpus;

    if (version == V2) {
        if (!read_line(cgroup, "cpu.max", line, sizeof line))
            return NO_QUOTA;
    } else if (!read_line(cgroup, "cpu.cfs_quota_us", line, sizeof line) ||
               !read_line(cgroup, "cpu.cfs_period_us", second, sizeof second)) {
        return NO_QUOTA;
    }
    if (!take_number(&quota, &time))
        return NO_QUOTA;
    if (version == V2)
        period = quota + strspn(quota, " ");
    if (!take_number(&period, &every) || every == 0)
        return NO_QUOTA;
    cpus = time / every + (time % every > 0);
    return cpus == 0 ? 1 : cpus < NO_QUOTA ? (unsigned)cpus : NO_QUOTA;
}

/* ---- The way up ---- */

/* Moves path behind each "/.." that it begins with; how many there were. */
static size_t skip_ups(const char **path)
{
    size_t ups = 0;

    while (strncmp(*path, "/..", 3) == 0 && ((*path)[3] == '/' || (*path)[3] == '\0')) {
        *path += 3;
        ups++;
    }
    return ups;
}

/*
 * The way from the top of what a mount shows down to our cgroup: "" or "/...".  NULL if the
 * cgroup is not below it.  Of one that is outside of our namespace, above us, the way down
 * is not known: then it is "", since what the top says holds for us, too.
 */
static const char *way_down(const char *top, const char *cgroup)
{
    size_t top_ups = skip_ups(&top), ups = skip_ups(&cgroup), length;

    if (top_ups > ups)
        return *top == '\0' ? "" : NULL;
    length = strcmp(top, "/") == 0 ? 0 : strlen(top);
    if (top_ups < ups || strncmp(cgroup, top, length) != 0)
        return NULL;
    cgroup += length;
    if (strcmp(cgroup, "/") == 0)
        return "";
    return *cgroup == '\0' || *cgroup == '/' ? cgroup : NULL;
}

/* The smallest quota of all cgroups on this way. */
static unsigned least_quota(const char *root, const char *mount, const char *down,
                            enum version version)
{
    size_t top = strlen(root) + strlen(mount);
    unsigned least = NO_QUOTA;
    char *path, *last;

    if (asprintf(&path, "%s%s%s", root, mount, down) < 0)
        return NO_QUOTA;
    do {
        unsigned quota = quota_of(path, version);

        least = quota < least ? quota : least;
        last = strrchr(path + top, '/');
        if (last)
            *last = '\0';
    } while (last);
    free(path);
    return least;
}

/* ---- Where cgroups are, and ours among them ---- */

/* Lines of any length, of a file below root.  what() is free to cut them up. */
static void read_lines(const char *root, const char *name, void (*what)(char *line, void *),
                       void *with)
{
    char *path, *line = NULL;
    size_t room = 0;
    FILE *file;

    if (asprintf(&path, "%s%s", root, name) < 0)
        return;
    file = fopen(path, "re");
    free(path);
    if (!file)
        return;
    while (getline(&line, &room, file) > 0) {
        line[strcspn(line, "\n")] = '\0';
        what(line, with);
    }
    free(line);
    fclose(file);
}

/* Whether a list such as "cpu,cpuacct" has this word. */
static bool has_word(const char *list, const char *word)
{
    size_t length = strlen(word);

    for (; *list; list += strcspn(list, ",")) {
        list += *list == ',';
        if (strcspn(list, ",") == length && strncmp(list, word, length) == 0)
            return true;
    }
    return false;
}

struct search {
    const char *root;
    char *own[VERSIONS]; /* our cgroup in each version; NULL: there is none */
    unsigned least;
};

/* "4:cpu,cpuacct:/path", or of version 2 "0::/path"; the path may have colons, too. */
static void take_cgroup(char *line, void *what)
{
    struct search *search = what;
    char *controllers = strchr(line, ':'), *path;
    enum version version;

    path = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!path || path[1] != '/')
        return;
    *path++ = '\0';
    version = controllers[1] == '\0' ? V2 : V1;
    if ((version == V2 || has_word(controllers + 1, "cpu")) && !search->own[version])
        search->own[version] = strdup(path);
}

/* mountinfo writes a blank in a path as "\040", and some others in the same way. */
static void unescape(char *path)
{
    char *to = path;

    for (; *path; path++)
        if (path[0] == '\\' && path[1] >= '0' && path[1] <= '3' && path[2] >= '0' &&
            path[2] <= '7' && path[3] >= '0' && path[3] <= '7') {
            *to++ = (char)((path[1] - '0') * 64 + (path[2] - '0') * 8 + (path[3] - '0'));
            path += 3;
        } else {
            *to++ = *path;
        }
    *to = '\0';
}

/*
 * "36 35 98:0 /top /where options any number of fields - type source options": the path in
 * the tree that is mounted, and where to.
 */
static void take_mount(char *line, void *what)
{
    enum { TOP = 3, WHERE, FIELDS };
    struct search *search = what;
    char *field[FIELDS] = { NULL }, *rest = line, *type, *options;
    enum version version;
    const char *down;
    unsigned quota;

    for (int i = 0; i < FIELDS; i++)
        field[i] = strsep(&rest, " ");
    if (!rest || !(type = strstr(rest, " - cgroup")))
        return;
    type += strlen(" - ");
    version = strncmp(type, "cgroup2 ", strlen("cgroup2 ")) == 0 ? V2 : V1;
    options = strrchr(type, ' ');
    if (version == V1 && (strncmp(type, "cgroup ", strlen("cgroup ")) != 0 ||
                          !has_word(options + 1, "cpu")))
        return;
    unescape(field[TOP]);
    unescape(field[WHERE]);
    down = search->own[version] ? way_down(field[TOP], search->own[version]) : NULL;
    quota = down ? least_quota(search->root, field[WHERE], down, version) : NO_QUOTA;
    search->least = quota < search->least ? quota : search->least;
}

unsigned ppi_cpu_quota(const char *root)
{
    struct search search = { .root = root, .least = NO_QUOTA };

    read_lines(root, "/proc/self/cgroup", take_cgroup, &search);
    read_lines(root, "/proc/self/mountinfo", take_mount, &search);
    for (int version = 0; version < VERSIONS; version++)
        free(search.own[version]);
    return search.least == NO_QUOTA ? 0 : search.least;
}

/*
 * To read it takes 0.1 ms, which a pool is made in a few of: for the rest of this second
 * this process does not read it again.
 */
static unsigned recent_quota(void)
{
    static _Atomic uint64_t kept; /* the second, the process, and what it was */
    uint64_t now = ppi_coarse_now_ns() / PPI_SECOND << 22 | (uint64_t)getpid(), quota;
    uint64_t seen = atomic_load_explicit(&kept, memory_order_relaxed);

    if (seen >> 16 == now << 16 >> 16)
        return (unsigned)(seen & UINT16_MAX);
    quota = ppi_cpu_quota("");
    quota = quota < UINT16_MAX ? quota : 0;
    atomic_store_explicit(&kept, now << 16 | quota, memory_order_relaxed);
    return (unsigned)quota;
}

unsigned ppi_usable_cpus(void)
{
    size_t allowed = 0;
    unsigned quota;
    long online;

    free(ppi_allowed_cpus(&allowed));
    if (allowed == 0) {
        online = sysconf(_SC_NPROCESSORS_ONLN);
        allowed = online > 0 ? (size_t)online : 1;
    }
    quota = allowed > 1 ? recent_quota() : 0;
    return quota > 0 && quota < allowed ? quota : (unsigned)allowed;
}
