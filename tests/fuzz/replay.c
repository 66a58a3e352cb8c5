/* SPDX-License-Identifier: MIT */
/*
 * A fuzz target as a test: runs the inputs of a corpus, then mutations of them.
 *
 *     TARGET [FILE|FOLDER...] [--runs N] [--seed N] [--only N]
 *
 * Ends with "N passed, 0 failed" or, as the target does, by abort(): then it says with which
 * seed and number the same input is made again, and writes that to a file.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

enum { LARGEST = 4096, MOST_INPUTS = 4096, PATIENCE_S = 30 };

struct bytes {
    size_t size;
    uint8_t all[LARGEST];
};

static struct bytes *inputs[MOST_INPUTS];
static size_t inputs_count;
static struct bytes current;
static uint64_t seed = 1, state, number;

/* Steele, Lea and Flood's SplitMix64. */
static uint64_t next(void)
{
    uint64_t x = state += UINT64_C(0x9e3779b97f4a7c15);

    x = (x ^ x >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ x >> 27) * UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

static size_t below(size_t n)
{
    return (size_t)(next() % n);
}

/* ---- When it fails ---- */

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *format, ...)
{
    char text[256];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length > 0 && write(STDERR_FILENO, text, (size_t)length) < 0)
        return;
}

static void tell_input(void)
{
    static bool told;
    char name[64];
    FILE *file;

    if (told)
        return;
    told = true;
    snprintf(name, sizeof name, "crash-%s-%llu", program_invocation_short_name,
             (unsigned long long)number);
    file = fopen(name, "w");
    if (file) {
        fwrite(current.all, 1, current.size, file);
        fclose(file);
    }
    say("input %llu of seed %llu: --seed %llu --only %llu; it is in %s\n",
        (unsigned long long)number, (unsigned long long)seed, (unsigned long long)seed,
        (unsigned long long)number, file ? name : "no file");
}

static void fail(int signal)
{
    tell_input();
    raise(signal); /* with the handler gone */
}

/* Sanitizers have handlers of their own, and end the program without a signal. */
extern void __sanitizer_set_death_callback(void (*callback)(void)) __attribute__((weak));

static void watch(void)
{
    const int signals[] = { SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM };
    struct sigaction action = { .sa_handler = fail, .sa_flags = (int)SA_RESETHAND };

    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
        if (!__sanitizer_set_death_callback || signals[i] == SIGABRT || signals[i] == SIGALRM)
            sigaction(signals[i], &action, NULL);
    if (__sanitizer_set_death_callback)
        __sanitizer_set_death_callback(tell_input);
}

/* ---- Inputs ---- */

static void add_file(const char *path)
{
    FILE *file = fopen(path, "r");
    struct bytes *input = calloc(1, sizeof *input);

    if (!file || !input || inputs_count == MOST_INPUTS) {
        say("%s cannot be read\n", path);
        exit(2);
    }
    input->size = fread(input->all, 1, LARGEST, file);
    inputs[inputs_count++] = input;
    fclose(file);
}

static int is_no_dot(const struct dirent *entry)
{
    return *entry->d_name != '.';
}

static void add(const char *path)
{
    struct dirent **names;
    struct stat status;
    int count;

    if (stat(path, &status) == 0 && !S_ISDIR(status.st_mode)) {
        add_file(path);
        return;
    }
    count = scandir(path, &names, is_no_dot, alphasort); /* the same order everywhere */
    for (int i = 0; i < count; i++) {
        char name[4096];

        snprintf(name, sizeof name, "%s/%s", path, names[i]->d_name);
        add_file(name);
        free(names[i]);
    }
    if (count >= 0)
        free(names);
}

static void take_input(const struct bytes *input)
{
    current = *input;
}

static void make_input(void)
{
    current.size = below(4) ? 1 + below(192) : 1 + below(1024);
    for (size_t i = 0; i < current.size; i++)
        current.all[i] = (uint8_t)next();
}

/* The first part of it, and then the last of another. */
static void splice(const struct bytes *other)
{
    size_t keep = below(current.size + 1), from = below(other->size + 1);
    size_t size = other->size - from;

    if (size > LARGEST - keep)
        size = LARGEST - keep;
    memcpy(current.all + keep, other->all + from, size);
    current.size = keep + size;
}

static void change(void)
{
    static const uint8_t favourites[] = { 0, 1, 2, 7, 8, 16, 127, 128, 255 };
    size_t at = below(current.size), size = 1 + below(8);

    if (size > current.size - at)
        size = current.size - at;
    switch (below(6)) {
    case 0:
        current.all[at] ^= (uint8_t)(1 << below(8));
        break;
    case 1:
        current.all[at] = favourites[below(sizeof favourites)];
        break;
    case 2: /* cut out */
        memmove(current.all + at, current.all + at + size, current.size - at - size);
        current.size -= size;
        break;
    case 3: /* twice */
        if (current.size + size > LARGEST)
            break;
        memmove(current.all + at + size, current.all + at, current.size - at);
        current.size += size;
        break;
    default:
        current.all[at] = (uint8_t)next();
    }
}

static void mutate(void)
{
    if (inputs_count == 0 || below(4) == 0) {
        make_input();
        return;
    }
    take_input(inputs[below(inputs_count)]);
    if (below(3) == 0)
        splice(inputs[below(inputs_count)]);
    for (size_t i = below(12); i > 0 && current.size > 0; i--)
        change();
}

/* Copied, so that a read past its end is seen. */
static void run(void)
{
    uint8_t *data = malloc(current.size + 1);

    alarm(PATIENCE_S);
    if (!data)
        abort();
    memcpy(data, current.all, current.size);
    LLVMFuzzerTestOneInput(data, current.size);
    free(data);
}

int main(int argc, char **argv)
{
    uint64_t runs = 0, only = 0, first = 1;

    for (int i = 1; i < argc; i++)
        if (strncmp(argv[i], "--", 2) != 0)
            add(argv[i]);
        else if (i + 1 == argc)
            return 2;
        else if (strcmp(argv[i], "--runs") == 0)
            runs = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--only") == 0)
            first = only = strtoull(argv[++i], NULL, 10);
        else
            return 2;
    watch();
    if (getenv("TEST_THOROUGH"))
        runs *= 20;
    for (size_t i = 0; i < inputs_count && only == 0; i++) {
        take_input(inputs[i]);
        run();
    }
    for (number = first; number <= (only ? only : runs); number++) {
        state = seed * UINT64_C(0x2545f4914f6cdd1d) + number;
        next();
        mutate();
        run();
    }
    printf("seed %llu: %zu inputs and %llu mutations\n", (unsigned long long)seed,
           inputs_count, (unsigned long long)(only ? 1 : runs));
    printf("1 passed, 0 failed\n");
    return 0;
}
