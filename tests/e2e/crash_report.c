/* SPDX-License-Identifier: MIT */
/* What an error says of a crash: of which signal, where, and how the task came there. */
#include <assert.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>

#include "crashing.h"

/* ---- Each signal ---------------------------------------------------------- */

enum { NESTED_LINE = __LINE__ + 4 };

static int nested(size_t address)
{
    return fill(at(address), 10) + 1;
}
PP_TASK(int, nested, size_t, address);

TEST(a_write_to_nowhere)
{
    pp_pool *pool = pool_of(1);
    pp_error *error = FAILURE(pool, nested, 0);

    CHECK_EQ(error->kind, PP_CRASHED);
    CHECK_EQ(error->signal, SIGSEGV);
    CHECK(error->address == NULL);
    CHECK_HAS(error->message, "nested(...) was killed by SIGSEGV at address 0x0 in store() ");
    check_line(error->message, "store() at ", "crashing.h", STORE_LINE);
    CHECK_EQ(strncmp(error->backtrace, "#0 store at ", 12), 0);
    check_line(error->backtrace, "#0 store at ", "crashing.h", STORE_LINE);
    check_line(error->backtrace, "\n#1 fill at ", "crashing.h", FILL_LINE);
    check_line(error->backtrace, "\n#2 nested at ", "crash_report.c", NESTED_LINE);
    CHECK_EQ(lines_of(error->backtrace), 3); /* nothing of the library's */
    free(error);
    finish(pool);
}

TEST(the_address)
{
    pp_pool *pool = pool_of(1);
    pp_error *error = FAILURE(pool, nested, 0x1234);

    CHECK_HAS(error->message, "SIGSEGV at address 0x1234 in store() at ");
    CHECK(error->address == (void *)0x1234);
    free(error);
#ifdef __x86_64__
    error = FAILURE(pool, nested, 0xdead000000000000); /* the processor does not tell it */
    CHECK_HAS(error->message, "SIGSEGV at an impossible address in store() at ");
    CHECK(error->address == NULL);
    free(error);
#endif
    finish(pool);
}

static NOINLINE int ratio(int a, int b)
{
#ifdef __x86_64__
    int result = a;

    __asm__ volatile("cltd; idivl %1" : "+a"(result) : "r"(b) : "edx");
    return result;
#else
    raise(SIGFPE);
    return a / (b + 1);
#endif
}
PP_TASK(int, ratio, int, a, int, b);

static NOINLINE int undefined(void)
{
#if defined(__x86_64__)
    __asm__ volatile("ud2");
#elif defined(__aarch64__)
    __asm__ volatile(".inst 0");
#else
    raise(SIGILL);
#endif
    return 1;
}
PP_TASK(int, undefined);

static NOINLINE int read_byte(const volatile char *at)
{
    return *at;
}
static int read_mapping(const volatile char *at)
{
    return read_byte(at) + 1;
}
PP_TASK(int, read_mapping, const volatile char *, at);

static NOINLINE int give_up(void)
{
    abort();
}
PP_TASK(int, give_up);

TEST(instructions)
{
    pp_pool *pool = pool_of(1);
    pp_error *error = FAILURE(pool, ratio, 1, 0);

    CHECK_HAS(error->message, "ratio(...) was killed by SIGFPE in ratio() at ");
#ifdef __x86_64__
    CHECK(error->address != NULL);
#endif
    CHECK_HAS(error->backtrace, "#0 ratio at ");
    free(error);
    error = FAILURE(pool, undefined);
    CHECK_HAS(error->message, "was killed by SIGILL in undefined() at ");
    free(error);
    finish(pool);
}

TEST(beyond_the_end_of_a_file)
{
    FILE *file = tmpfile();
    char *memory = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fileno(file), 0);
    pp_pool *pool = pool_of(1);
    pp_error *error = FAILURE(pool, read_mapping, memory);

    CHECK_EQ(error->signal, SIGBUS);
    CHECK(error->address == memory);
    CHECK_HAS(error->message, "was killed by SIGBUS at address 0x");
    CHECK_HAS(error->message, " in read_byte() at ");
    free(error);
    finish(pool);
    munmap(memory, 4096);
    fclose(file);
}

/* The innermost functions are libc's: of no interest in one line. */
TEST(aborts)
{
    pp_pool *pool = pool_of(1);
    pp_error *error = FAILURE(pool, give_up);

    CHECK_HAS(error->message, "give_up(...) was killed by SIGABRT in give_up() at ");
    CHECK(error->address == NULL);
    CHECK_HAS(error->backtrace, "raise");
    CHECK_HAS(error->backtrace, " give_up at ");
    free(error);
    finish(pool);
}

static NOINLINE int shrink(char *volatile memory)
{
    free(memory);
    free(memory);
    return memory != NULL;
}

static int shrink_twice(void)
{
    return shrink(malloc(100)) + 1;
}
PP_TASK(int, shrink_twice);

static NOINLINE int insist(int x)
{
    assert(x > 0);
    return x;
}
PP_TASK(int, insist, int, x);

TEST(what_libc_says)
{
    pp_pool *pool;
    pp_error *error;

    if (HARNESS_SANITIZED)
        SKIP("the sanitizer finds it before");
    pool = pool_of(1);
    error = FAILURE(pool, shrink_twice);
    CHECK_HAS(error->message, "was killed by SIGABRT (");
    CHECK_HAS(error->message, "double free");
    CHECK_HAS(error->message, ") in shrink() at ");
    CHECK_HAS(error->backtrace, " shrink_twice at ");
    free(error);
#ifndef NDEBUG
    error = FAILURE(pool, insist, -1);
    CHECK_HAS(error->message, "Assertion `x > 0' failed) in insist() at ");
    free(error);
#endif
    error = FAILURE(pool, give_up); /* says nothing; and what was said before is forgotten */
    CHECK_HAS(error->message, "was killed by SIGABRT in give_up()");
    free(error);
    finish(pool);
}

static int send(int signal)
{
    kill(getpid(), signal);
    return signal;
}
PP_TASK(int, send, int, signal);

static int spin(atomic_int *begun)
{
    atomic_store(begun, getpid());
    while (atomic_load(begun))
        pause();
    return 0;
}
PP_TASK(int, spin, atomic_int *, begun);

/* A signal that was sent says nothing of any address. */
TEST(sent_by_a_process)
{
    static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
    atomic_int *begun = shared_new(sizeof *begun);
    pp_pool *pool = pool_of(1);

    for (size_t i = 0; i < 5; i++) {
        pp_error *error = FAILURE(pool, send, signals[i]);
        pp_result *result;

        CHECK_EQ(error->signal, signals[i]);
        CHECK(error->address == NULL);
        CHECK(!strstr(error->message, "address"));
        CHECK_HAS(error->message, " in send() at ");
        free(error);
        atomic_store(begun, 0);
        result = pp_apply_async(pool, PP_CALL(spin, begun));
        CHECK_SOON(atomic_load(begun) != 0);
        kill(atomic_load(begun), signals[i]);
        CHECK_EQ(pp_get(result, NULL), PP_ECRASHED);
        CHECK_EQ(pp_error_of(result)->signal, signals[i]);
        CHECK_HAS(pp_error_of(result)->message, " in spin() at ");
    }
    finish(pool);
    shared_free(begun, sizeof *begun);
}

/* What does not crash does not say where. */
TEST(no_report)
{
    pp_pool *pool = pool_of(1);
    pp_error *error = FAILURE(pool, send, SIGKILL);

    CHECK_STR(error->message, "send(...) was killed by SIGKILL");
    CHECK(error->backtrace == NULL && error->address == NULL);
    free(error);
    error = FAILURE(pool, send, SIGTERM);
    CHECK(error->backtrace == NULL);
    free(error);
    finish(pool);
}

/* ---- Stacks ---------------------------------------------------------------- */

static int descend(int depth);
static int (*volatile descend_again)(int) = descend; /* compilers see through it else */

static int descend(int depth)
{
    volatile char frame[2000];

    frame[0] = (char)depth;
    return frame[0] + descend_again(depth + 1) + frame[0];
}
PP_TASK(int, descend, int, depth);

static NOINLINE int take_much(size_t size)
{
    volatile char *much = __builtin_alloca(size);

    much[0] = 1;
    much[size - 1] = 2;
    return much[0];
}
PP_TASK(int, take_much, size_t, size);

TEST(stack_overflow)
{
    pp_pool *pool = pool_of(1);
    pp_error *error = FAILURE(pool, descend, 0);

    CHECK_EQ(error->signal, SIGSEGV);
    CHECK_HAS(error->message, "was killed by SIGSEGV: stack overflow in descend() at ");
    CHECK(error->address != NULL);
    CHECK_HAS(error->backtrace, " descend at ");
    CHECK_HAS(error->backtrace, "-#"); /* most are alike */
    CHECK_HAS(error->backtrace, "\n...");
    CHECK(lines_of(error->backtrace) <= 4);
    free(error);
    finish(pool);
}

/* Not step by step, but by an array that is larger than the stack. */
TEST(stack_overflow_at_once)
{
    struct rlimit limit;
    pp_pool *pool;
    pp_error *error;

    getrlimit(RLIMIT_STACK, &limit);
    if (limit.rlim_cur > (rlim_t)64 << 20)
        SKIP("the stack has no limit, or a high one");
    pool = pool_of(1);
    error = FAILURE(pool, take_much, (size_t)limit.rlim_cur + 100000);
    CHECK_HAS(error->message, ": stack overflow in take_much() at ");
    free(error);
    finish(pool);
}

TEST(small_stack)
{
    struct rlimit limit;
    pp_pool *pool;
    pp_error *error;

    getrlimit(RLIMIT_STACK, &limit);
    limit.rlim_cur = (rlim_t)512 << 10;
    CHECK_EQ(setrlimit(RLIMIT_STACK, &limit), 0);
    pool = pool_of(1);
    error = FAILURE(pool, descend, 0);
    CHECK_HAS(error->message, ": stack overflow in descend() at ");
    free(error);
    finish(pool);
}

static int call_null(void)
{
    int (*volatile function)(void) = NULL;

    return function() + 1;
}
PP_TASK(int, call_null);

static NOINLINE int call_data(void)
{
    static int (*volatile function)(void);
    static const unsigned char data[16] = { 1 };

    function = (int (*)(void))(uintptr_t)data;
    return function() + 1;
}
PP_TASK(int, call_data);

TEST(calls_of_what_is_no_function)
{
    pp_pool *pool = pool_of(1);
    pp_error *error = FAILURE(pool, call_null);

    CHECK_HAS(error->message, "was killed by SIGSEGV at address 0x0 in call_null() at ");
    CHECK_EQ(strncmp(error->backtrace, "#0 0x0\n#1 call_null at ", 23), 0);
    free(error);
    error = FAILURE(pool, call_data);
    CHECK_HAS(error->message, " call_data"); /* its data, or itself */
    CHECK_HAS(error->backtrace, "\n#1 call_data at ");
    free(error);
    finish(pool);
}

#ifdef __x86_64__
static NOINLINE int lose_stack(size_t to)
{
    __asm__ volatile("movq %0, %%rsp; pushq %%rax" : : "r"(to) : "memory");
    return 1;
}
PP_TASK(int, lose_stack, size_t, to);

/* There is nothing to copy: what is known is where. */
TEST(no_stack)
{
    static const size_t places[] = { 8, 0x10000, SIZE_MAX - 7, 0x7ffffffff008, 1 };
    pp_pool *pool = pool_of(1);

    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        pp_error *error = FAILURE(pool, lose_stack, places[i]);

        CHECK_HAS(error->message, "was killed by SIG");
        CHECK_HAS(error->message, " in lose_stack() at ");
        CHECK_HAS(error->backtrace, "#0 lose_stack at ");
        free(error);
    }
    finish(pool);
}
#endif

static pthread_barrier_t barrier;

static void *crash_together(void *address)
{
    pthread_barrier_wait(&barrier);
    return (void *)(intptr_t)fill(address, 1);
}

static int start_threads(void)
{
    pthread_t threads[4];

    pthread_barrier_init(&barrier, NULL, 4);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, crash_together, NULL);
    return pthread_join(threads[0], NULL);
}
PP_TASK(int, start_threads);

/* Who comes first reports, and the others let it. */
TEST(several_threads_at_once)
{
    pp_pool *pool = pool_of(1);

    for (int i = 0; i < 30; i++) {
        pp_error *error = FAILURE(pool, start_threads);

        CHECK_HAS(error->message, "SIGSEGV at address 0x0 in store() at ");
        CHECK_HAS(error->backtrace, "\n#2 crash_together at ");
        free(error);
    }
    finish(pool);
}

/* In the code of the kernel's that is mapped into every process. */
static int tell_time(struct timespec *time)
{
    return clock_gettime(CLOCK_REALTIME, time) + 1;
}
PP_TASK(int, tell_time, struct timespec *, time);

TEST(in_the_kernels_code)
{
    pp_pool *pool = pool_of(1);
    pp_error *error = FAILURE(pool, tell_time, (struct timespec *)16);

    CHECK_HAS(error->message, " in tell_time() at ");
    CHECK_HAS(error->backtrace, "clock_gettime in ");
    free(error);
    finish(pool);
}

static void *crash_in_thread(void *address)
{
    return (void *)(intptr_t)fill(address, 1);
}

static int start_thread(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, crash_in_thread, NULL) == 0)
        pthread_join(thread, NULL);
    return 0;
}
PP_TASK(int, start_thread);

TEST(thread_of_a_task)
{
    pp_pool *pool = pool_of(1);
    pp_error *error = FAILURE(pool, start_thread);

    CHECK_HAS(error->message, "start_thread(...) was killed by SIGSEGV at address 0x0 in store()");
    CHECK_HAS(error->backtrace, "\n#2 crash_in_thread at ");
    free(error);
    finish(pool);
}
