/* SPDX-License-Identifier: MIT */
/* From registers and a copy of the stack to words; with libdw and without. */
#include "base/backtrace.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#include "harness.h"

#define NOINLINE __attribute__((noinline))

enum { STACK = 64 << 10, REGISTERS = 33 };

/* What a worker's handler would have kept. */
struct photo {
    struct ppi_stopped stopped;
    uint64_t registers[REGISTERS];
    unsigned char stack[STACK];
};

static struct photo photo;
static volatile int nothing; /* added after calls, which then are calls */

static void fill_in(const ucontext_t *context)
{
#if defined(__x86_64__)
    static const int order[] = { REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI,
                                 REG_RBP, REG_RSP, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                 REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP };

    photo.stopped.count = 17;
    for (int i = 0; i < 17; i++)
        photo.registers[i] = (uint64_t)context->uc_mcontext.gregs[order[i]];
    photo.stopped.sp = photo.registers[7];
    photo.stopped.pc = photo.registers[16];
#elif defined(__aarch64__)
    photo.stopped.count = 32;
    memcpy(photo.registers, context->uc_mcontext.regs, 31 * sizeof(uint64_t));
    photo.registers[31] = photo.stopped.sp = context->uc_mcontext.sp;
    photo.stopped.pc = context->uc_mcontext.pc;
#else
    (void)context;
    SKIP("nobody knows how to unwind here");
#endif
    photo.stopped.registers = photo.registers;
    photo.stopped.stack = photo.stack;
    photo.stopped.stack_at = photo.stopped.sp;
}

/* By the kernel: to sanitizers most of the stack is nobody's to read. */
static void take_photo(int signal, siginfo_t *info, void *context)
{
    struct iovec to = { photo.stack, STACK / 2 }, from = { NULL, STACK / 2 };

    (void)signal, (void)info;
    fill_in(context);
    from.iov_base = (void *)(uintptr_t)photo.stopped.sp;
    CHECK_EQ(process_vm_readv(getpid(), &to, 1, &from, 1, 0), STACK / 2);
    photo.stopped.stack_size = STACK / 2;
}

static NOINLINE int inner(int x)
{
    raise(SIGUSR1);
    return x + nothing;
}

static NOINLINE int middle(int x)
{
    return inner(x + 1) + nothing;
}

static NOINLINE int outer(int x)
{
    char room[STACK]; /* so that there is so much stack above */

    memset(room, x, sizeof room);
    return middle(x + 1) + room[nothing] + nothing;
}

static NOINLINE void photograph(void)
{
    struct sigaction action = { .sa_sigaction = take_photo, .sa_flags = SA_SIGINFO };

    sigaction(SIGUSR1, &action, NULL);
    outer(1);
}

static struct ppi_backtrace describe(struct ppi_backtraces *backtraces,
                                     const struct ppi_outermost *outermost)
{
    static const struct ppi_outermost unknown;
    struct ppi_backtrace backtrace = { 0 };

    CHECK(ppi_backtrace_of(backtraces, &photo.stopped, outermost ? outermost : &unknown,
                           &backtrace));
    CHECK(backtrace.lines != NULL);
    CHECK_EQ(strncmp(backtrace.lines, "#0 ", 3), 0);
    return backtrace;
}

/* A test's switch: libdw is not there. */
static bool bare;
struct ppi_dwarf *__real_ppi_dwarf_open(const char *maps);
struct ppi_dwarf *__wrap_ppi_dwarf_open(const char *maps);

struct ppi_dwarf *__wrap_ppi_dwarf_open(const char *maps)
{
    return bare ? NULL : __real_ppi_dwarf_open(maps);
}

static void need_libdw(void)
{
    struct ppi_dwarf *dwarf = ppi_dwarf_open(NULL);

    if (!dwarf)
        SKIP("there is no libdw");
    ppi_dwarf_close(dwarf);
}

static void check_way(const struct ppi_backtrace *backtrace)
{
    CHECK_HAS(backtrace->lines, " inner at ");
    CHECK_HAS(backtrace->lines, " middle at ");
    CHECK_HAS(strstr(backtrace->lines, " middle at "), "backtrace.c:");
    CHECK_HAS(backtrace->where, "inner() at ");
}

TEST(the_way_here)
{
    struct ppi_backtraces *backtraces;

    need_libdw();
    backtraces = ppi_backtraces_new(NULL);
    photograph();
    for (int i = 0; i < 3; i++) {
        struct ppi_backtrace backtrace = describe(backtraces, NULL);

        check_way(&backtrace);
        CHECK_HAS(backtrace.lines, "\n..."); /* what called outer() is not in the photo */
        free(backtrace.lines);
    }
    ppi_backtraces_free(backtraces);
}

/* It ends with the outermost function, which may be what only calls the one that counts. */
TEST(where_it_ends)
{
    struct ppi_outermost outermost = { (uintptr_t)middle, NULL };
    struct ppi_backtraces *backtraces;
    struct ppi_backtrace backtrace;

    need_libdw();
    backtraces = ppi_backtraces_new(NULL);
    photograph();
    backtrace = describe(backtraces, &outermost);
    check_way(&backtrace);
    CHECK(!strstr(backtrace.lines, "outer"));
    CHECK(!strstr(backtrace.lines, "..."));
    free(backtrace.lines);
    outermost.task = "inner";
    backtrace = describe(backtraces, &outermost);
    CHECK_HAS(backtrace.lines, " inner at ");
    CHECK(!strstr(backtrace.lines, "middle"));
    free(backtrace.lines);
    ppi_backtraces_free(backtraces);
}

TEST(without_a_stack)
{
    struct ppi_backtraces *backtraces;
    struct ppi_backtrace backtrace;

    need_libdw();
    backtraces = ppi_backtraces_new(NULL);
    photograph();
    photo.stopped.stack_size = 0;
    backtrace = describe(backtraces, NULL);
    CHECK(!strstr(backtrace.lines, "middle"));
    CHECK_HAS(backtrace.lines, "\n...");
    free(backtrace.lines);
    photo.stopped.pc = 16; /* nobody's */
    photo.stopped.astray = true;
    backtrace = describe(backtraces, NULL);
    CHECK_STR(backtrace.lines, "#0 0x10\n...");
    CHECK_STR(backtrace.where, "");
    free(backtrace.lines);
    ppi_backtraces_free(backtraces);
}

TEST(without_libdw)
{
    struct ppi_backtraces *backtraces;
    struct ppi_backtrace backtrace;

    bare = true;
    backtraces = ppi_backtraces_new(NULL);
    photo.stopped.pc = (uint64_t)(uintptr_t)inner;
    backtrace = describe(backtraces, NULL);
    CHECK_HAS(backtrace.lines, "unit-backtrace+0x");
    CHECK_HAS(backtrace.where, "unit-backtrace+0x");
    free(backtrace.lines);
    photo.stopped.pc = (uint64_t)(uintptr_t)strtol; /* that the dynamic linker knows */
    backtrace = describe(backtraces, NULL);
    CHECK_HAS(backtrace.lines, "strtol");
    free(backtrace.lines);
    photo.stopped.pc = 0;
    backtrace = describe(backtraces, NULL);
    CHECK_STR(backtrace.lines, "#0 0x0\n...");
    free(backtrace.lines);
    ppi_backtraces_free(backtraces);
    backtraces = ppi_backtraces_new(""); /* of another process nothing is known, then */
    photo.stopped.pc = (uint64_t)(uintptr_t)strtol;
    backtrace = describe(backtraces, NULL);
    CHECK_HAS(backtrace.lines, "#0 0x");
    free(backtrace.lines);
    ppi_backtraces_free(backtraces);
}

/* Code that is in no file: nobody's, wherever it lies. */
TEST(made_while_running)
{
    struct ppi_backtraces *backtraces;
    struct ppi_backtrace backtrace;
    char expected[40], *code;

    need_libdw();
    code = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    backtraces = ppi_backtraces_new(NULL);
    photograph();
    photo.stopped.pc = (uintptr_t)code + 5;
    photo.stopped.count = 0;
    backtrace = describe(backtraces, NULL);
    snprintf(expected, sizeof expected, "#0 %p\n...", (void *)(code + 5));
    CHECK_STR(backtrace.lines, expected);
    CHECK_STR(backtrace.where, "");
    free(backtrace.lines);
    ppi_backtraces_free(backtraces);
    munmap(code, 4096);
}

/* ---- Of other processes ---------------------------------------------------- */

static char *read_maps(void)
{
    static char text[1 << 18];
    FILE *file = fopen("/proc/self/maps", "r");
    size_t length = fread(text, 1, sizeof text - 1, file);

    CHECK(length > 0 && length < sizeof text - 1);
    text[length] = '\0';
    fclose(file);
    return text;
}

TEST(elsewhere)
{
    struct ppi_backtraces *backtraces;
    struct ppi_backtrace backtrace;

    need_libdw();
    backtraces = ppi_backtraces_new(read_maps());
    photograph();
    backtrace = describe(backtraces, NULL);
    check_way(&backtrace);
    free(backtrace.lines);
    ppi_backtraces_free(backtraces);
}

/* Files that are none are not opened: that could take for ever. */
TEST(maps_of_what_is_no_program)
{
    char path[] = "/tmp/backtrace.XXXXXX", maps[512];
    struct ppi_backtraces *backtraces;
    struct ppi_backtrace backtrace;

    CHECK(mkdtemp(path) != NULL);
    CHECK_EQ(rmdir(path), 0);
    CHECK_EQ(mkfifo(path, 0600), 0);
    photograph();
    snprintf(maps, sizeof maps, "%llx-%llx r-xp 00000000 00:00 7 %s\n",
             (unsigned long long)photo.stopped.pc & ~0xfffULL,
             ((unsigned long long)photo.stopped.pc | 0xfff) + 1, path);
    backtraces = ppi_backtraces_new(maps);
    backtrace = describe(backtraces, NULL);
    free(backtrace.lines);
    ppi_backtraces_free(backtraces);
    CHECK_EQ(unlink(path), 0);
    backtraces = ppi_backtraces_new("this is no table of what is mapped\n\n0-g");
    backtrace = describe(backtraces, NULL);
    free(backtrace.lines);
    ppi_backtraces_free(backtraces);
}

/* ---- Nonsense -------------------------------------------------------------- */

static uint64_t random_word(unsigned *seed)
{
    static const uintptr_t code[] = { (uintptr_t)outer, (uintptr_t)strtol, (uintptr_t)fwrite,
                                      (uintptr_t)qsort };
    uint64_t word = (uint64_t)rand_r(seed) << 33 ^ (uint64_t)rand_r(seed);

    switch (rand_r(seed) % 4) {
    case 0:
        return code[word % 4] + word % 4096;
    case 1:
        return photo.stopped.stack_at + word % STACK;
    case 2:
        return word % 64;
    default:
        return word;
    }
}

/* What a task could leave that writes all over its seat: strange words, and no harm. */
TEST(anything_at_all, .timeout = 60)
{
    struct ppi_backtraces *backtraces = ppi_backtraces_new(NULL);
    unsigned seed = 1;

    photograph();
    for (int i = 0; i < 2000; i++) {
        struct ppi_backtrace backtrace;

        for (size_t j = 0; j < REGISTERS; j++)
            photo.registers[j] = random_word(&seed);
        for (size_t j = 0; j + sizeof(uint64_t) <= STACK; j += sizeof(uint64_t))
            memcpy(photo.stack + j, &(uint64_t){ random_word(&seed) }, sizeof(uint64_t));
        photo.stopped.count = random_word(&seed) % (REGISTERS + 1);
        photo.stopped.pc = random_word(&seed);
        photo.stopped.sp = random_word(&seed);
        photo.stopped.stack_at = i % 2 ? photo.stopped.sp & ~7ULL : random_word(&seed);
        photo.stopped.stack_size = random_word(&seed) % (STACK + 1);
        photo.stopped.astray = i % 3 == 0;
        backtrace = describe(backtraces, NULL);
        free(backtrace.lines);
    }
    ppi_backtraces_free(backtraces);
}
