/* SPDX-License-Identifier: MIT */
/*
 * A progress bar on standard error: files, bytes, bytes per second, time left.
 * If standard error is not a terminal, nothing is ever drawn.
 */
#ifndef DIGEST_BAR_H
#define DIGEST_BAR_H

#include <stdbool.h>
#include <stdint.h>

struct bar {
    bool enabled; /* standard error is a terminal */
    bool visible;
    double started_s;
    double drawn_s;
    uint64_t all_files; /* what there is to do */
    uint64_t all_bytes;
    uint64_t files; /* what is done */
    uint64_t bytes;
};

void bar_init(struct bar *bar);

/* The time and the rate count from here. */
void bar_start(struct bar *bar);

/* Draws the bar, if the last time was long enough ago. */
void bar_draw(struct bar *bar);

/* Clears the bar's line, so that something else can be written there. */
void bar_hide(struct bar *bar);

#endif
