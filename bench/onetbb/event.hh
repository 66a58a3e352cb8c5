// SPDX-License-Identifier: MIT
// What one thread waits for and another sets, through a futex.
#ifndef BENCH_ONETBB_EVENT_HH
#define BENCH_ONETBB_EVENT_HH

#include <atomic>
#include <cstdint>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

class Event
{
  public:
    void clear()
    {
        word.store(0);
    }
    void set()
    {
        word.store(1);
        syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
    }
    void wait()
    {
        while (word.load() == 0)
            syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0);
    }

  private:
    std::atomic<std::uint32_t> word{ 0 };
};

#endif
