/* SPDX-License-Identifier: MIT */
/* How many CPUs there are to use: in trees that look like those of many systems. */
#include "base/cpus.h"

#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

/* ---- Trees ---------------------------------------------------------------- */

static char root[64];

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

/* A new and empty one. */
static void plant(void)
{
    if (root[0])
        nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    strcpy(root, "/tmp/procpool-cpus-XXXXXX");
    CHECK(mkdtemp(root) != NULL);
}

static void fell(void)
{
    CHECK_EQ(nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    root[0] = '\0';
}

/* A file in it, with all folders on the way. */
__attribute__((format(printf, 2, 3))) static void grow(const char *path, const char *format, ...)
{
    char full[8192];
    va_list arguments;
    FILE *file;

    CHECK(snprintf(full, sizeof full, "%s%s", root, path) < (int)sizeof full);
    for (char *at = full + strlen(root) + 1; (at = strchr(at, '/')); at++) {
        *at = '\0';
        mkdir(full, 0700);
        *at = '/';
    }
    file = fopen(full, "we");
    CHECK(file != NULL);
    va_start(arguments, format);
    vfprintf(file, format, arguments);
    va_end(arguments);
    CHECK_EQ(fclose(file), 0);
}

#define V2_MOUNT "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#define V1_MOUNT "33 25 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
#define OTHERS                                                                             \
    "22 27 0:21 / /proc rw,relatime - proc proc rw\n"                                      \
    "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw,discard\n"                              \
    "36 31 0:33 / /sys/fs/cgroup/cpuset rw shared:7 master:1 - cgroup cgroup rw,cpuset\n"

/* In a tree of version 2, mounted as most systems do. */
static void plant_v2(const char *own)
{
    plant();
    grow("/proc/self/cgroup", "0::%s\n", own);
    grow("/proc/self/mountinfo", OTHERS V2_MOUNT);
}

static void plant_v1(const char *own)
{
    plant();
    grow("/proc/self/cgroup", "9:name=systemd:/x\n4:cpuset:/y\n3:cpu,cpuacct:%s\n", own);
    grow("/proc/self/mountinfo", V1_MOUNT OTHERS);
}

/* The quota of a group of version 1, in the hierarchy that plant_v1() mounts. */
static void limit_v1(const char *group, const char *quota, const char *period)
{
    char path[256];

    snprintf(path, sizeof path, "/sys/fs/cgroup/cpu,cpuacct%s/cpu.cfs_quota_us", group);
    grow(path, "%s\n", quota);
    snprintf(path, sizeof path, "/sys/fs/cgroup/cpu,cpuacct%s/cpu.cfs_period_us", group);
    grow(path, "%s\n", period);
}

#define CHECK_QUOTA(expected)                                                              \
    do {                                                                                   \
        CHECK_EQ(ppi_cpu_quota(root), (expected));                                         \
        fell();                                                                            \
    } while (0)

/* ---- Version 2 ------------------------------------------------------------ */

TEST(v2_own_group)
{
    static const struct {
        const char *text;
        unsigned cpus;
    } quotas[] = {
        { "200000 100000\n", 2 },
        { "250000 100000\n", 3 },
        { "100000 100000", 1 },
        { "1000 100000\n", 1 },
        { "0 100000\n", 1 },
        { "max 100000\n", 0 },
        { "max\n", 0 },
        { "50000 10000\n", 5 },
        { "200000\n", 0 },
        { "200000 0\n", 0 },
        { "200000 -1\n", 0 },
        { "-1 100000\n", 0 },
        { "", 0 },
        { "two CPUs\n", 0 },
        { "99999999999999999999999 100000\n", 0 },
        { "18446744073709551615 1\n", 0 },
    };

    for (size_t i = 0; i < sizeof quotas / sizeof *quotas; i++) {
        plant_v2("/user.slice/job");
        grow("/sys/fs/cgroup/user.slice/job/cpu.max", "%s", quotas[i].text);
        if (ppi_cpu_quota(root) != quotas[i].cpus)
            FAIL("%u of \"%s\"", ppi_cpu_quota(root), quotas[i].text);
        CHECK_QUOTA(quotas[i].cpus);
    }
}

TEST(v2_smallest_above)
{
    plant_v2("/a/b/c");
    grow("/sys/fs/cgroup/a/cpu.max", "300000 100000\n");
    grow("/sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    grow("/sys/fs/cgroup/a/b/c/cpu.max", "900000 100000\n");
    grow("/sys/fs/cgroup/a/other/cpu.max", "100000 100000\n");
    CHECK_QUOTA(3);
}

/* The controller may be off further down: the file is not there. */
TEST(v2_only_above)
{
    plant_v2("/a/b/c");
    grow("/sys/fs/cgroup/a/cpu.max", "300000 100000\n");
    grow("/sys/fs/cgroup/a/b/c/cgroup.procs", "1\n");
    CHECK_QUOTA(3);
}

/* Our group was removed while we were in it. */
TEST(v2_deleted)
{
    plant_v2("/a/gone (deleted)");
    grow("/sys/fs/cgroup/a/cpu.max", "300000 100000\n");
    CHECK_QUOTA(3);
}

/* A container with a namespace of its own: its group is the root of all that it sees. */
TEST(v2_root_of_a_namespace)
{
    plant_v2("/");
    grow("/sys/fs/cgroup/cpu.max", "400000 100000\n");
    CHECK_QUOTA(4);
}

/* The mount shows more than the namespace: what is between is not known, the top is. */
TEST(v2_mount_above_the_namespace)
{
    plant();
    grow("/proc/self/cgroup", "0::/\n");
    grow("/proc/self/mountinfo", "30 23 0:26 /../.. /cg rw - cgroup2 cgroup2 rw\n");
    grow("/cg/cpu.max", "400000 100000\n");
    grow("/cg/a/cpu.max", "100000 100000\n");
    CHECK_QUOTA(4);
}

TEST(v2_mount_beside_the_namespace)
{
    plant();
    grow("/proc/self/cgroup", "0::/\n");
    grow("/proc/self/mountinfo", "30 23 0:26 /../other /cg rw - cgroup2 cgroup2 rw\n");
    grow("/cg/cpu.max", "400000 100000\n");
    CHECK_QUOTA(0);
}

/* We were moved out of it. */
TEST(v2_outside_of_the_namespace)
{
    plant_v2("/../other/b");
    grow("/sys/fs/cgroup/cpu.max", "400000 100000\n");
    CHECK_QUOTA(0);
}

TEST(v2_outside_but_mounted)
{
    plant();
    grow("/proc/self/cgroup", "0::/../other/b\n");
    grow("/proc/self/mountinfo", "30 23 0:26 /.. /cg rw - cgroup2 cgroup2 rw\n");
    grow("/cg/other/cpu.max", "400000 100000\n");
    grow("/cg/other/b/cpu.max", "500000 100000\n");
    CHECK_QUOTA(4);
}

/* A container without a namespace: only its part of the tree is mounted. */
TEST(v2_part_of_the_tree)
{
    plant();
    grow("/proc/self/cgroup", "0::/docker/abc/inner\n");
    grow("/proc/self/mountinfo", "30 23 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 c rw\n");
    grow("/sys/fs/cgroup/cpu.max", "600000 100000\n");
    grow("/sys/fs/cgroup/inner/cpu.max", "500000 100000\n");
    CHECK_QUOTA(5);
}

TEST(v2_another_part_of_the_tree)
{
    plant();
    grow("/proc/self/cgroup", "0::/docker/abcd\n");
    grow("/proc/self/mountinfo", "30 23 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 c rw\n");
    grow("/sys/fs/cgroup/cpu.max", "600000 100000\n");
    grow("/sys/fs/cgroupd/cpu.max", "600000 100000\n");
    CHECK_QUOTA(0);
}

/* Blanks in paths are escaped in one file, and in the other they are not. */
TEST(v2_strange_names)
{
    plant();
    grow("/proc/self/cgroup", "0::/my job:1\\x\n");
    grow("/proc/self/mountinfo",
         "30 23 0:26 / /a\\040mount\\011\\134 rw - cgroup2 cgroup2 rw\n");
    grow("/a mount\t\\/my job:1\\x/cpu.max", "700000 100000\n");
    CHECK_QUOTA(7);
}

TEST(v2_mounted_twice)
{
    plant();
    grow("/proc/self/cgroup", "0::/a/b\n");
    grow("/proc/self/mountinfo", "30 23 0:26 /a /one rw - cgroup2 cgroup2 rw\n"
                                 "31 23 0:26 / /two rw - cgroup2 cgroup2 rw\n");
    grow("/one/b/cpu.max", "700000 100000\n");
    grow("/two/a/b/cpu.max", "700000 100000\n");
    grow("/two/a/cpu.max", "600000 100000\n");
    grow("/two/cpu.max", "800000 100000\n");
    CHECK_QUOTA(6);
}

/* ---- Version 1, and both --------------------------------------------------- */

TEST(v1_own_group)
{
    plant_v1("/job");
    limit_v1("/job", "250000", "100000");
    CHECK_QUOTA(3);
    plant_v1("/job");
    limit_v1("/job", "-1", "100000");
    CHECK_QUOTA(0);
    plant_v1("/job");
    limit_v1("/job", "100000", "0");
    CHECK_QUOTA(0);
    plant_v1("/job");
    grow("/sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us", "100000\n");
    CHECK_QUOTA(0);
}

TEST(v1_smallest_above)
{
    plant_v1("/a/b");
    limit_v1("", "-1", "100000");
    limit_v1("/a", "200000", "100000");
    limit_v1("/a/b", "-1", "100000");
    CHECK_QUOTA(2);
}

TEST(v1_part_of_the_tree)
{
    plant();
    grow("/proc/self/cgroup", "3:cpuacct,cpu:/docker/abc\n");
    grow("/proc/self/mountinfo", "33 25 0:28 /docker/abc /sys/fs/cgroup/cpu,cpuacct ro "
                                 "master:11 - cgroup cgroup rw,cpuacct,cpu\n");
    limit_v1("", "150000", "50000");
    CHECK_QUOTA(3);
}

/* Names that only begin, or end, like the controller's. */
TEST(v1_other_controllers)
{
    plant();
    grow("/proc/self/cgroup", "3:cpuset,cpuacct,name=cpu:/a\n2:cpus:/b\n");
    grow("/proc/self/mountinfo", V1_MOUNT "34 25 0:29 / /a rw - cgroup cgroup rw,cpuset\n");
    limit_v1("/a", "100000", "100000");
    limit_v1("/b", "100000", "100000");
    CHECK_QUOTA(0);
}

/* Hybrid: the controller is in version 1, and version 2 is there beside it. */
TEST(hybrid)
{
    plant();
    grow("/proc/self/cgroup", "3:cpu,cpuacct:/a\n1:name=systemd:/b\n0::/b\n");
    grow("/proc/self/mountinfo",
         V1_MOUNT OTHERS "35 25 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    limit_v1("/a", "200000", "100000");
    grow("/sys/fs/cgroup/unified/b/cgroup.procs", "1\n");
    CHECK_QUOTA(2);
}

TEST(smallest_of_both)
{
    plant();
    grow("/proc/self/cgroup", "3:cpu,cpuacct:/a\n0::/b\n");
    grow("/proc/self/mountinfo",
         V1_MOUNT "35 25 0:30 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    limit_v1("/a", "400000", "100000");
    grow("/sys/fs/cgroup/unified/b/cpu.max", "300000 100000\n");
    CHECK_QUOTA(3);
}

/* ---- Nonsense --------------------------------------------------------------- */

TEST(no_files_at_all)
{
    plant();
    CHECK_QUOTA(0);
    CHECK_EQ(ppi_cpu_quota("/nowhere"), 0);
}

TEST(no_mount)
{
    plant_v2("/");
    grow("/proc/self/mountinfo", OTHERS);
    grow("/sys/fs/cgroup/cpu.max", "100000 100000\n");
    CHECK_QUOTA(0);
}

TEST(lines_that_make_no_sense)
{
    static const char *const lines[] = { "", "\n\n", ":", "::", "0:", "0::", "0::x", "a b c d",
                                         " - cgroup2 ", "1 2 3 4 5 - cgroup2", "30 23 - cgroup2",
                                         "30 23 0:26 / /x rw - cgroup", "     - cgroup2 x y",
                                         "30 23 0:26 \\04 \\999 rw - cgroup2 c rw",
                                         "30 23 0:26 / /x rw - cgroup cgroup" };

    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        for (size_t j = 0; j < sizeof lines / sizeof *lines; j++) {
            plant_v2("/a");
            grow("/proc/self/cgroup", "%s\n0::/a\n%s", lines[i], lines[j]);
            grow("/proc/self/mountinfo", "%s\n" V2_MOUNT "%s", lines[j], lines[i]);
            grow("/sys/fs/cgroup/a/cpu.max", "300000 100000\n");
            CHECK_QUOTA(3);
        }
}

TEST(long_lines)
{
    static char text[200000];

    memset(text, 'x', sizeof text - 1);
    plant_v2("/a");
    grow("/proc/self/cgroup", "7:%s:/b\n0::/a\n", text);
    grow("/proc/self/mountinfo", "30 23 0:26 /%s /y rw - cgroup2 c rw\n" V2_MOUNT, text);
    grow("/sys/fs/cgroup/a/cpu.max", "300000 100000 %s\n", text);
    CHECK_QUOTA(3);
    plant_v2(text); /* no path can be so long */
    CHECK_QUOTA(0);
}

/* ---- Affinity --------------------------------------------------------------- */

static size_t most_cpus; /* of a machine that does not exist; 0: of this one */

/* Instead of libc's: a kernel for so many CPUs, of which the last two are to be used. */
int sched_getaffinity(pid_t pid, size_t size, cpu_set_t *set)
{
    if (most_cpus == 0)
        return syscall(SYS_sched_getaffinity, pid, size, set) < 0 ? -1 : 0;
    if (8 * size < most_cpus) {
        errno = EINVAL;
        return -1;
    }
    CPU_ZERO_S(size, set);
    CPU_SET_S(most_cpus - 2, size, set);
    CPU_SET_S(most_cpus - 1, size, set);
    return 0;
}

TEST(many_cpus)
{
    size_t count = 0;

    for (most_cpus = 2; most_cpus <= 65536; most_cpus *= 2) {
        unsigned *cpus = ppi_allowed_cpus(&count);

        CHECK(cpus != NULL);
        CHECK_EQ(count, 2);
        CHECK_EQ(cpus[0], most_cpus - 2);
        CHECK_EQ(cpus[1], most_cpus - 1);
        free(cpus);
    }
    CHECK(ppi_allowed_cpus(&count) == NULL); /* more than there can be */
    CHECK(ppi_usable_cpus() >= 1);
}

TEST(this_machine)
{
    size_t count = 0;
    unsigned *cpus = ppi_allowed_cpus(&count), quota = ppi_cpu_quota("");

    CHECK(cpus != NULL && count > 0);
    CHECK_EQ(ppi_usable_cpus(), quota > 0 && quota < count ? quota : count);
    for (size_t i = 0; i < count; i++) {
        CHECK(i == 0 || cpus[i] > cpus[i - 1]);
        CHECK_EQ(ppi_pin_to_cpu(cpus[i]), 0);
        CHECK_EQ(sched_getcpu(), cpus[i]);
        CHECK_EQ(ppi_usable_cpus(), 1);
    }
    CHECK_EQ(ppi_pin_to_cpu(60000), -EINVAL);
    free(cpus);
}

/* ---- Real groups -------------------------------------------------------------- */

/* Of a file that is there. */
static bool write_file(const char *folder, const char *name, const char *text)
{
    char path[256];
    ssize_t written;
    int fd;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    written = write(fd, text, strlen(text));
    close(fd);
    return written == (ssize_t)strlen(text);
}

/* Gives a group one CPU and a half, joins it, and looks. */
static int look_in_group(const char *group)
{
    bool limited = write_file(group, "cpu.max", "150000 100000") ||
                   write_file(group, "cpu.cfs_quota_us", "150000");
    size_t allowed = 0;

    if (!limited || !write_file(group, "cgroup.procs", "0"))
        return 77;
    free(ppi_allowed_cpus(&allowed));
    return ppi_cpu_quota("") == 2 && ppi_usable_cpus() == (allowed < 2 ? allowed : 2) ? 0 : 1;
}

TEST(in_a_group_of_the_kernel)
{
    static const char *const parents[] = { "/sys/fs/cgroup", "/sys/fs/cgroup/cpu",
                                           "/sys/fs/cgroup/cpu,cpuacct" };
    int status = 77 << 8;

    for (int i = 0; i < 3 && status == 77 << 8; i++) {
        char group[128];
        pid_t pid;

        snprintf(group, sizeof group, "%s/procpool-test-%d", parents[i], (int)getpid());
        if (mkdir(group, 0755) != 0)
            continue;
        pid = fork();
        if (pid == 0)
            _exit(look_in_group(group));
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK_EQ(rmdir(group), 0);
    }
    if (status == 77 << 8)
        SKIP("no cgroup with a quota can be made here");
    CHECK_EQ(status, 0);
}
