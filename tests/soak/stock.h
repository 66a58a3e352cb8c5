/* SPDX-License-Identifier: MIT */
/* stock.h - what the client holds, which a pool must leave as it was */
#ifndef TESTS_SOAK_STOCK_H
#define TESTS_SOAK_STOCK_H

struct stock {
    unsigned descriptors, threads, mappings, children;
};

/* Only what pools could have mapped: shared memory. */
struct stock take_stock(void);

/* Fails if there is more than before. */
void compare_stock(const struct stock *before);

/* Memory, which has its bounds after some rounds. */
void watch_memory(unsigned long rounds);

#endif
