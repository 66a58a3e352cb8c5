/* SPDX-License-Identifier: MIT */
#include "bar.h"

#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define REDRAW_S 0.1

enum { CELLS = 24, MAX_COLUMNS = 256 };

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int columns(void)
{
    struct winsize size;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return 80;
    return size.ws_col < MAX_COLUMNS ? size.ws_col : MAX_COLUMNS;
}

/* How much is done, from 0 to 1: of the bytes, or of the files if all are empty. */
static double share(const struct bar *bar)
{
    uint64_t done = bar->all_bytes > 0 ? bar->bytes : bar->files;
    uint64_t all = bar->all_bytes > 0 ? bar->all_bytes : bar->all_files;

    /* Files may have grown since they were counted. */
    return all == 0 || done > all ? 1 : (double)done / (double)all;
}

static void draw_cells(char cells[CELLS + 1], double done)
{
    int filled = (int)(done * CELLS);

    memset(cells, '.', CELLS);
    memset(cells, '#', (size_t)filled);
    cells[CELLS] = '\0';
}

static void print_left(char *text, size_t size, double done, double elapsed_s)
{
    long left_s = done > 0 ? (long)(elapsed_s * (1 - done) / done + 0.5) : -1;

    if (left_s < 0)
        snprintf(text, size, "-:-- left");
    else if (left_s < 3600)
        snprintf(text, size, "%ld:%02ld left", left_s / 60, left_s % 60);
    else
        snprintf(text, size, "%ld:%02ld:%02ld left", left_s / 3600, left_s / 60 % 60,
                 left_s % 60);
}

static void print_bar(const struct bar *bar, char *text, size_t size)
{
    double elapsed_s = bar->drawn_s - bar->started_s, done = share(bar);
    double rate = elapsed_s > 0 ? (double)bar->bytes / elapsed_s : 0;
    char cells[CELLS + 1], left[32];

    draw_cells(cells, done);
    print_left(left, sizeof left, done, elapsed_s);
    snprintf(text, size, "[%s] %llu/%llu files  %.1f MB  %.1f MB/s  %s", cells,
             (unsigned long long)bar->files, (unsigned long long)bar->all_files,
             1e-6 * (double)bar->bytes, 1e-6 * rate, left);
}

void bar_init(struct bar *bar)
{
    *bar = (struct bar){ .enabled = isatty(STDERR_FILENO), .drawn_s = now_s() };
}

void bar_start(struct bar *bar)
{
    bar->started_s = now_s();
}

void bar_draw(struct bar *bar)
{
    char text[MAX_COLUMNS];

    if (!bar->enabled || now_s() < bar->drawn_s + REDRAW_S)
        return;
    bar->drawn_s = now_s();
    bar->visible = true;
    if (bar->started_s > 0)
        print_bar(bar, text, sizeof text);
    else
        snprintf(text, sizeof text, "%llu files found", (unsigned long long)bar->all_files);
    /* One column stays free: a full line would wrap on some terminals. */
    fprintf(stderr, "\r%.*s\033[K", columns() - 1, text);
    fflush(stderr);
}

void bar_hide(struct bar *bar)
{
    if (!bar->visible)
        return;
    fputs("\r\033[K", stderr);
    fflush(stderr);
    bar->visible = false;
}
