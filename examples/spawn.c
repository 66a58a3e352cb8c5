/*
 * Pools beside running threads: these hold locks now and then, of libc and others, which a
 * fork would take along.  Since main() calls pp_init(), such pools come from a fresh image of
 * the program.  Prints: 20 pools, sum 385 in each
 */
#include <procpool.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { THREADS = 8, POOLS = 20, ITEMS = 10 };

static atomic_bool enough;

/* Takes the locks of the environment, of time zones and of malloc() again and again. */
static void *live(void *name)
{
    while (!atomic_load(&enough)) {
        time_t now = time(NULL);
        struct tm tm;

        setenv(name, "1", 1);
        localtime_r(&now, &tm);
        free(malloc(1000));
        unsetenv(name);
    }
    return NULL;
}

/* Needs the same locks. */
static long square(long x)
{
    time_t now = time(NULL);
    struct tm tm;

    setenv("TZ", "UTC", 1);
    localtime_r(&now, &tm);
    return x * x;
}
PP_TASK(long, square, long, x);

static long sum_of_squares(void)
{
    long items[ITEMS], sum = 0;
    PP_SCOPED pp_pool *pool = pp_pool_new(.processes = 2);

    for (long i = 0; i < ITEMS; i++)
        items[i] = i + 1;
    if (pp_map(pool, square, items, ITEMS, items) != 0)
        return -1;
    for (long i = 0; i < ITEMS; i++)
        sum += items[i];
    return sum;
}

int main(int argc, char **argv)
{
    static char names[THREADS][2] = { "A", "B", "C", "D", "E", "F", "G", "H" };
    pthread_t threads[THREADS];
    int right = 0;

    pp_init(&argc, &argv); /* before anything else */
    for (int i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, live, names[i]) != 0)
            return 1;
    for (int i = 0; i < POOLS; i++)
        right += sum_of_squares() == 385;
    atomic_store(&enough, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    printf("%d pools, sum 385 in each\n", right);
}
