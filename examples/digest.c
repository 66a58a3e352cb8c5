/* SPDX-License-Identifier: MIT */
/*
 * digest: the SHA-256 of every regular file under the given folders, computed by
 * all CPUs.  Prints what sha256sum prints, in the order of the walk, in which the
 * names of each folder are sorted; `sha256sum -c` reads it.
 *
 * How it uses the pool: digest_file() is mapped over batches of paths, which
 * travel as strings.  The batches run ahead of the output by a window of bounded
 * size, and the oldest one is waited for, so that the lines come out in order while
 * the work goes on.  A file that cannot be read, and one whose worker dies, are the
 * same to the program: an error of that file alone.
 */
#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <openssl/evp.h>
#include <procpool.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "digest/bar.h"
#include "digest/options.h"

#define TICK_S 0.1 /* how often a wait looks up, for the bar and for Ctrl-C */

enum {
    SHA256_SIZE = 32,
    BUFFER_SIZE = 128 * 1024,
    BATCH_FILES = 128,
    BATCH_BYTES = 4 * 1024 * 1024,
    WINDOW = 256, /* batches on their way */
};

/* ---- In the workers ---------------------------------------------------- */

struct digest {
    unsigned char sum[SHA256_SIZE];
    uint64_t bytes;
};

/* Made before the pool: each worker finds a copy of its own. */
static EVP_MD *sha256;
static EVP_MD_CTX *hasher;

/* Returns 0 or an errno. */
static int hash(int fd, struct digest *digest)
{
    static unsigned char buffer[BUFFER_SIZE];
    ssize_t got;

    if (EVP_DigestInit_ex(hasher, sha256, NULL) != 1)
        return ENOMEM;
    while ((got = read(fd, buffer, sizeof buffer)) > 0) {
        if (EVP_DigestUpdate(hasher, buffer, (size_t)got) != 1)
            return ENOMEM;
        digest->bytes += (uint64_t)got;
    }
    if (got < 0)
        return errno;
    return EVP_DigestFinal_ex(hasher, digest->sum, NULL) == 1 ? 0 : ENOMEM;
}

static struct digest digest_file(const char *path)
{
    struct digest digest = { .bytes = 0 };
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NOFOLLOW);
    int error = fd < 0 ? errno : hash(fd, &digest);

    if (fd >= 0)
        close(fd);
    if (error != 0)
        pp_raise(error, "%s", strerror(error));
    return digest;
}
PP_TASK(struct digest, digest_file, const char *, path);

/* ---- The run ----------------------------------------------------------- */

/* Files that are sent together: enough of them, or of their bytes, to be worth it. */
struct batch {
    pp_result *result;
    char *paths[BATCH_FILES];
    size_t count;
    uint64_t bytes;
};

struct run {
    pp_pool *pool;
    struct batch batches[WINDOW]; /* a ring, oldest first */
    size_t first;
    size_t count;
    bool failed;
    bool broken; /* it makes no sense to go on */
    struct bar bar;
};

static volatile sig_atomic_t stop_signal;

static bool stopped(const struct run *run)
{
    return stop_signal != 0 || run->broken || ferror(stdout);
}

static void complain(struct run *run, const char *name, const char *message)
{
    bar_hide(&run->bar);
    fprintf(stderr, "digest: %s: %s\n", name, message);
    run->failed = true;
}

static void give_up(struct run *run, const char *name, int error)
{
    complain(run, name, pp_strerror(-error));
    run->broken = true;
}

/* ---- The output -------------------------------------------------------- */

/* A name with a backslash or a line end in it is escaped, and its line marked. */
static void print_line(const struct digest *digest, const char *path)
{
    static const char hex[] = "0123456789abcdef";

    if (strpbrk(path, "\\\n\r"))
        putchar('\\');
    for (int i = 0; i < SHA256_SIZE; i++) {
        putchar(hex[digest->sum[i] >> 4]);
        putchar(hex[digest->sum[i] & 15]);
    }
    fputs("  ", stdout);
    for (; *path; path++) {
        switch (*path) {
        case '\\':
            fputs("\\\\", stdout);
            break;
        case '\n':
            fputs("\\n", stdout);
            break;
        case '\r':
            fputs("\\r", stdout);
            break;
        default:
            putchar(*path);
        }
    }
    putchar('\n');
}

static void report(struct run *run, const char *path, const struct digest *digest,
                   const pp_error *error)
{
    run->bar.files++;
    if (error) {
        complain(run, path, error->message);
        return;
    }
    run->bar.bytes += digest->bytes;
    if (run->bar.visible && isatty(STDOUT_FILENO))
        bar_hide(&run->bar);
    print_line(digest, path);
}

/* ---- The window -------------------------------------------------------- */

static void free_batch(struct batch *batch)
{
    for (size_t i = 0; i < batch->count; i++)
        free(batch->paths[i]);
    pp_result_free(batch->result);
    *batch = (struct batch){ .count = 0 };
}

/* Failures are listed in the order of the items. */
static void print_batch(struct run *run, const struct batch *batch,
                        const struct digest digests[])
{
    size_t failures = 0;

    for (size_t i = 0; i < batch->count; i++) {
        const pp_error *error = pp_failure(batch->result, failures);
        bool failed = error && error->index == i;

        report(run, batch->paths[i], &digests[i], failed ? error : NULL);
        failures += failed;
    }
}

/* Waits for the oldest batch and prints its lines, unless a signal comes first. */
static void finish_oldest(struct run *run)
{
    struct batch *batch = &run->batches[run->first];
    struct digest digests[BATCH_FILES];

    while (pp_get(batch->result, digests, .timeout = TICK_S) == -ETIMEDOUT) {
        if (stopped(run))
            return;
        bar_draw(&run->bar);
    }
    print_batch(run, batch, digests);
    free_batch(batch);
    run->first = (run->first + 1) % WINDOW;
    run->count--;
    bar_draw(&run->bar);
}

/* The batch that is being filled. */
static struct batch *newest(struct run *run)
{
    return &run->batches[(run->first + run->count) % WINDOW];
}

/* Sends the newest batch, and prints what is done meanwhile. */
static void submit(struct run *run)
{
    struct batch *batch = newest(run);

    batch->result = pp_map_async(run->pool, digest_file, batch->paths, batch->count);
    if (!batch->result) {
        give_up(run, "cannot submit", errno);
        return;
    }
    run->count++;
    while (run->count > 0 && !stopped(run) &&
           (run->count == WINDOW || pp_ready(run->batches[run->first].result)))
        finish_oldest(run);
}

static void add(struct run *run, const FTSENT *file)
{
    struct batch *batch = newest(run);
    char *path = strdup(file->fts_path);

    if (!path) {
        give_up(run, file->fts_path, errno);
        return;
    }
    batch->paths[batch->count++] = path;
    batch->bytes += (uint64_t)file->fts_statp->st_size;
    if (batch->count == BATCH_FILES || batch->bytes >= BATCH_BYTES)
        submit(run);
}

/* Waits for all that was added. */
static void finish_all(struct run *run)
{
    if (newest(run)->count > 0 && !stopped(run))
        submit(run);
    while (run->count > 0 && !stopped(run))
        finish_oldest(run);
}

/* ---- The walk ---------------------------------------------------------- */

typedef void visitor(struct run *run, const FTSENT *entry);

static void count_file(struct run *run, const FTSENT *entry)
{
    if (entry->fts_info != FTS_F)
        return;
    run->bar.all_files++;
    run->bar.all_bytes += (uint64_t)entry->fts_statp->st_size;
    bar_draw(&run->bar);
}

static void digest_entry(struct run *run, const FTSENT *entry)
{
    switch (entry->fts_info) {
    case FTS_F:
        add(run, entry);
        break;
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        complain(run, entry->fts_path, strerror(entry->fts_errno));
        break;
    case FTS_DC:
        complain(run, entry->fts_path, "folder contains itself");
        break;
    default: /* folders, links, devices */
        break;
    }
}

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

/* Visits all that is in a folder; links are not followed.  Returns 0 or an errno. */
static int walk(struct run *run, char *folder, visitor *visit)
{
    FTS *tree = fts_open((char *[]){ folder, NULL }, FTS_PHYSICAL | FTS_NOCHDIR, by_name);
    int error = tree ? 0 : errno;

    while (tree && !stopped(run)) {
        FTSENT *entry = fts_read(tree);

        if (!entry) {
            error = errno; /* 0 at the end of the walk */
            break;
        }
        visit(run, entry);
    }
    if (tree)
        fts_close(tree);
    return error;
}

static void digest_folders(struct run *run, char **folders)
{
    for (char **folder = folders; run->bar.enabled && *folder; folder++)
        walk(run, *folder, count_file);
    bar_start(&run->bar);
    for (char **folder = folders; *folder; folder++) {
        int error = walk(run, *folder, digest_entry);

        if (error != 0)
            complain(run, *folder, strerror(error));
    }
    finish_all(run);
    bar_hide(&run->bar);
}

/* ---- The program ------------------------------------------------------- */

static void on_signal(int number)
{
    stop_signal = number;
}

/* The first Ctrl-C ends the program in order, a second one at once. */
static void catch_signals(void)
{
    struct sigaction action = { .sa_handler = on_signal,
                                .sa_flags = (int)(SA_RESTART | SA_RESETHAND) };

    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static pp_pool *start_pool(int processes)
{
    sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    hasher = EVP_MD_CTX_new();
    if (!sha256 || !hasher) {
        fputs("digest: libcrypto has no SHA-256\n", stderr);
        return NULL;
    }
    pp_pool *pool = pp_pool_new(.processes = processes);
    if (!pool)
        fprintf(stderr, "digest: cannot start the workers: %s\n", pp_strerror(-errno));
    return pool;
}

/* Ends what still runs and frees what is left. */
static void clean_up(struct run *run)
{
    pp_terminate(run->pool);
    for (size_t i = 0; i < WINDOW; i++)
        free_batch(&run->batches[i]);
    pp_pool_free(run->pool);
    EVP_MD_CTX_free(hasher);
    EVP_MD_free(sha256);
}

int main(int argc, char **argv)
{
    static struct run run;
    struct options options = parse_options(argc, argv);

    setvbuf(stderr, NULL, _IOLBF, 0); /* a message is written in one piece */
    run.pool = start_pool(options.processes);
    if (!run.pool)
        return EXIT_FAILURE;
    catch_signals();
    bar_init(&run.bar);
    digest_folders(&run, options.folders);
    clean_up(&run);
    if (fflush(stdout) != 0 || ferror(stdout))
        complain(&run, "standard output", "write error");
    if (stop_signal != 0)
        return 128 + stop_signal;
    return run.failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
