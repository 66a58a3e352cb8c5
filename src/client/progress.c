/* SPDX-License-Identifier: MIT */
/* How far a result has come, as numbers and as a bar on a terminal. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/public.h"
#include "client/client.h"

/* ---- Numbers ---- */

/* That cannot change before we unlock: only then may the seat be given to another, whose item
   would be taken for one of the dead worker's task. */
bool ppi_is_taken(const pp_pool *pool, unsigned seat)
{
    uint32_t incarnation = ppi_announced(pool, seat);

    /* Pairs with the release in ppi_seat_init(): what follows is this worker's. */
    return incarnation != pool->released[seat] &&
           atomic_load_explicit(&ppi_queue_seat(pool->queue, seat)->incarnation,
                                memory_order_acquire) == incarnation;
}

struct ppi_flight *ppi_flight_on(const pp_pool *pool, unsigned seat)
{
    struct ppi_flight *flight;
    uint64_t position;

    if (!ppi_is_taken(pool, seat))
        return NULL;
    /* Pairs with the fence in ppi_run_task(): an item that is read later is of this task,
       or of one after it. */
    position = atomic_load_explicit(&ppi_queue_seat(pool->queue, seat)->runs,
                                    memory_order_acquire);
    flight = &pool->flights[position % PPI_WINDOW];
    return flight->result && flight->position == position ? flight : NULL;
}

/*
 * A worker moves on to the next task only after the commit of the whole, so that an
 * item that is not of this flight stands for one that is done.  A flight may be seen on
 * two seats, when the first one dies just now: it counts once.
 */
size_t ppi_done_on_seats(pp_pool *pool, const pp_result *only, size_t *running)
{
    size_t done = 0, now = 0;

    pool->looks++;
    /* Seats are given out from the first on: behind one that never was, none was. */
    for (unsigned seat = 0; ppi_announced(pool, seat) != 0; seat++) {
        struct ppi_flight *flight = ppi_flight_on(pool, seat);
        uint64_t item;
        size_t known;

        if (!flight || (only && flight->result != only))
            continue;
        known = flight->end - flight->begin - flight->left;
        if (flight->looked == pool->looks)
            known = flight->ahead;
        item = atomic_load_explicit(&ppi_queue_seat(pool->queue, seat)->item,
                                    memory_order_relaxed);
        item = item < flight->end ? item : flight->end; /* whatever it says */
        now += item < flight->end && flight->looked != pool->looks;
        flight->looked = pool->looks;
        flight->ahead = known;
        if (item <= flight->begin + known)
            continue;
        done += item - flight->begin - known;
        flight->ahead = item - flight->begin;
    }
    if (running)
        *running = now;
    return done;
}

/* Locked.  Of the items that have ended, those that failed. */
static size_t failed_items(const pp_result *result)
{
    size_t marked = 0;

    if (!ppi_rest(result))
        return ppi_failed(result);
    for (size_t word = 0; word < ppi_outcome_words(result); word++)
        marked += (size_t)__builtin_popcountll(ppi_own_outcomes(result, word));
    return ppi_failed(result) + (result->done > marked ? result->done - marked : 0);
}

/* Locked. */
static pp_progress measure(pp_result *result)
{
    uint64_t end = ppi_state(result) == PPI_OPEN ? ppi_now_ns() : result->ended_ns;
    pp_progress progress = { .total = result->count, .eta = HUGE_VAL };
    size_t done = result->done;

    if (ppi_state(result) == PPI_OPEN && result->in_flight > 0 && !result->pool->lost)
        done += ppi_done_on_seats(result->pool, result, NULL);
    if (done > result->shown)
        result->shown = done < result->count ? done : result->count;
    progress.done = result->shown;
    progress.failed = failed_items(result);
    if (result->started_ns != 0 && end > result->started_ns)
        progress.elapsed = (double)(end - result->started_ns) / 1e9;
    if (progress.elapsed > 0)
        progress.rate = (double)progress.done / progress.elapsed;
    if (progress.done == progress.total)
        progress.eta = 0;
    else if (progress.rate > 0)
        progress.eta = (double)(progress.total - progress.done) / progress.rate;
    return progress;
}

PPI_PUBLIC pp_progress pp_progress_of(pp_result *result)
{
    pp_progress progress = { 0 };

    if (ppi_check_result(result) != 0)
        return progress;
    pthread_mutex_lock(&result->pool->lock);
    ppi_look(result->pool);
    progress = measure(result);
    pthread_mutex_unlock(&result->pool->lock);
    return progress;
}

/* ---- The bar ---- */

enum { MOST_COLUMNS = 512, LONGEST_BAR = 40, SHORTEST_BAR = 5, USUAL_COLUMNS = 80 };

#define REDRAW_S 0.1

static bool can_draw(FILE *stream)
{
    const char *terminal = getenv("TERM");

    return isatty(fileno(stream)) && !(terminal && strcmp(terminal, "dumb") == 0);
}

/* What fits without touching the last column, where some terminals begin a new line. */
static size_t columns_of(FILE *stream)
{
    struct winsize size;
    size_t columns = USUAL_COLUMNS;

    if (ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        columns = size.ws_col;
    return (columns < MOST_COLUMNS ? columns : MOST_COLUMNS) - 1;
}

static void print_time(char *text, size_t size, const char *before, double seconds,
                       const char *after)
{
    unsigned long s = seconds < 1e9 ? (unsigned long)(seconds + 0.5) : 0;

    if (seconds >= 1e9)
        snprintf(text, size, "  %s-:--%s", before, after);
    else if (s < 3600)
        snprintf(text, size, "  %s%lu:%02lu%s", before, s / 60, s % 60, after);
    else
        snprintf(text, size, "  %s%lu:%02lu:%02lu%s", before, s / 3600, s / 60 % 60, s % 60,
                 after);
}

/* Tenths by hand: printf() would take the locale's point. */
static void print_rate(char *text, size_t size, double rate)
{
    static const char *const units[] = { "s", "min", "h" };
    unsigned unit = 0;
    unsigned long long tenths;

    for (; unit < 2 && rate > 0 && rate < 1; unit++)
        rate *= 60;
    tenths = rate < 1e15 ? (unsigned long long)(rate * 10 + 0.5) : 0;
    if (tenths < 1000)
        snprintf(text, size, "  %llu.%llu/%s", tenths / 10, tenths % 10, units[unit]);
    else
        snprintf(text, size, "  %llu/%s", tenths / 10, units[unit]);
}

/* The parts of the line, in the order in which they stand there. */
enum { PERCENT, BAR, COUNT, RATE, TIME, FAILED, PARTS };

static unsigned percent_of(const pp_progress *progress)
{
    double part = progress->total > 0 ? (double)progress->done / (double)progress->total : 1;
    unsigned percent = (unsigned)(part * 100);

    return percent >= 100 && progress->done < progress->total ? 99 : percent;
}

static void print_parts(char parts[PARTS][64], const pp_progress *progress)
{
    bool ended = progress->done == progress->total;

    snprintf(parts[PERCENT], 64, "%3u%%", percent_of(progress));
    snprintf(parts[COUNT], 64, " %zu/%zu", progress->done, progress->total);
    print_rate(parts[RATE], 64, progress->rate);
    if (ended)
        print_time(parts[TIME], 64, "in ", progress->elapsed, "");
    else
        print_time(parts[TIME], 64, "", progress->eta, " left");
    if (progress->failed > 0)
        snprintf(parts[FAILED], 64, "  %zu failed", progress->failed);
}

static void print_bar(char *text, size_t width, const pp_progress *progress)
{
    size_t filled = width;

    if (progress->done < progress->total)
        filled = (size_t)((double)width * ((double)progress->done / (double)progress->total));
    snprintf(text, 64, " [%*s]", (int)width, "");
    memset(text + 2, '#', filled < width ? filled : width);
}

/* Makes the line, at most so many columns long; what is worth less is left out first. */
static size_t print_line(char *line, size_t columns, const pp_progress *progress)
{
    static const int by_worth[] = { PERCENT, COUNT, FAILED, TIME, RATE };
    char parts[PARTS][64] = { "" };
    size_t length = 0, room = columns;

    print_parts(parts, progress);
    for (size_t i = 0; i < sizeof by_worth / sizeof by_worth[0]; i++) {
        char *part = parts[by_worth[i]];

        if (strlen(part) <= room)
            room -= strlen(part);
        else
            *part = '\0';
    }
    if (room >= SHORTEST_BAR + 3)
        print_bar(parts[BAR], room - 3 < LONGEST_BAR ? room - 3 : LONGEST_BAR, progress);
    for (int i = 0; i < PARTS; i++) {
        memcpy(line + length, parts[i], strlen(parts[i]));
        length += strlen(parts[i]);
    }
    return length;
}

/* Draws the line over the last one, which was so long; returns its own length. */
static size_t draw(pp_result *result, FILE *stream, size_t last)
{
    char line[1 + MOST_COLUMNS + 1] = "\r";
    pp_progress progress = pp_progress_of(result);
    size_t columns = columns_of(stream), length = print_line(line + 1, columns, &progress);
    size_t end = length;

    for (; end < last && end < columns; end++)
        line[1 + end] = ' ';
    fwrite(line, 1, 1 + end, stream);
    fflush(stream);
    return length;
}

PPI_PUBLIC int pp_progress_bar_with(pp_result *result, FILE *stream, double timeout)
{
    int error = ppi_check_result(result);
    uint64_t deadline, now;
    size_t length = 0;
    bool drawn = false;

    if (!error && (!stream || isnan(timeout)))
        error = -EINVAL;
    if (error || !can_draw(stream))
        return error ? error : pp_wait_with(result, timeout);
    deadline = ppi_deadline_ns(timeout);
    do {
        double left;

        now = ppi_now_ns();
        left = deadline == PPI_NEVER ? HUGE_VAL
               : deadline > now      ? (double)(deadline - now) / 1e9
                                     : 0;
        error = pp_wait_with(result, left < REDRAW_S ? left : REDRAW_S);
        if (error && error != -ETIMEDOUT)
            break;
        length = draw(result, stream, length);
        drawn = true;
    } while (error && now < deadline);
    if (drawn) {
        fputc('\n', stream);
        fflush(stream);
    }
    return error;
}
