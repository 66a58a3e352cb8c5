// SPDX-License-Identifier: MIT
//
// An exception that no task catches ends the worker, like one that nobody catches ends a
// program, and the report says where it was thrown.  The frames of the client, whose stack a
// worker has a copy of, are no place to go on: its handlers are not entered.
#include <procpool.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <sys/types.h>
#include <unistd.h>

static pid_t client;
static bool failed;

static void check(bool condition, const char *what, const char *found)
{
    if (condition)
        return;
    failed = true;
    std::printf("FAIL %s; it is \"%s\"\n", what, found ? found : "NULL");
}

namespace kitchen {
__attribute__((noinline)) int take(const std::string &text)
{
    if (text.empty())
        throw std::invalid_argument("nothing to take");
    return static_cast<int>(text.size());
}
}

struct guard {
    ~guard()
    {
        if (getpid() != client)
            std::puts("FAIL a destructor ran in a worker");
    }
};

/* What a C compiler does with PP_TASK, which C++ lacks. */
static void run_take(const void *, void *result)
{
    int value = kitchen::take("") + 1;

    std::memcpy(result, &value, sizeof value);
}

static const pp_task take_task = { sizeof(pp_task), "take",  run_take, 0,
                                   sizeof(int),     PP_VALUE_, 0,      {} };

static int initialize(void *)
{
    return kitchen::take("") - 1;
}

static void check_words(const pp_error *error, const char *begin)
{
    check(std::strstr(error->message, begin) == error->message, "the message", error->message);
    check(std::strstr(error->message, " in kitchen::take() at") != nullptr, "the place",
          error->message);
    check(std::strstr(error->message, "exception.cc:") != nullptr, "the file", error->message);
    check(error->backtrace && std::strstr(error->backtrace, " kitchen::take at "),
          "the backtrace", error->backtrace);
    check(error->backtrace && std::strstr(error->backtrace, "__cxa_throw"), "who has thrown",
          error->backtrace);
    check(!error->backtrace || !std::strstr(error->backtrace, " main "), "where it ends",
          error->backtrace);
}

/* Everything happens inside of the handlers' reach: also the making of the pool. */
static void test()
{
    guard guard;
    pp_pool_options options = {};
    pp_apply_options apply = {};
    pp_error *error = nullptr;
    pp_pool *pool;

    options.size = sizeof options;
    options.processes = 1;
    options.error = &error;
    pool = pp_pool_new_with(&options);
    check(pool != nullptr, "a pool", error ? error->message : nullptr);
    apply.size = sizeof apply;
    apply.error = &error;
    for (int i = 0; i < 3; i++) {
        int code = pp_apply_with(pool, pp_call{ &take_task, nullptr }, nullptr, &apply);

        check(code == PP_ECRASHED, "the code", pp_strerror(code));
        check(error->signal == SIGABRT, "the signal", error->message);
        check_words(error, "take(...) was killed by SIGABRT in ");
        std::free(error);
        error = nullptr;
    }
    pp_pool_free(pool);

    options.initializer = initialize;
    pool = pp_pool_new_with(&options);
    check(!pool && error, "no pool", "one");
    if (error)
        check_words(error, "a worker's initializer was killed by SIGABRT in ");
    std::free(error);
}

int main()
{
    client = getpid();
    alarm(60);
    try {
        test();
    } catch (...) {
        std::puts(getpid() == client ? "FAIL an exception in the client"
                                     : "FAIL a worker went on in the client's handler");
        std::fflush(stdout);
        std::_Exit(1);
    }
    return failed;
}
