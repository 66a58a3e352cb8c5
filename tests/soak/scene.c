/* SPDX-License-Identifier: MIT */
#include "scene.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PATH "SOAK_SCENE"

struct scene *scene;

static void map(int fd)
{
    void *memory = mmap(NULL, sizeof *scene, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (memory == MAP_FAILED)
        WRONG("no memory for the scene");
    scene = memory;
}

void scene_make(void)
{
    int fd = memfd_create("soak-scene", MFD_CLOEXEC);
    char path[64];

    if (fd < 0 || ftruncate(fd, sizeof *scene) < 0)
        WRONG("no memory for the scene");
    map(fd);
    snprintf(path, sizeof path, "/proc/%d/fd/%d", getpid(), fd);
    setenv(PATH, path, 1);
}

/* In a fresh image, which a pool of PP_SPAWN is: what it has inherited is a name. */
__attribute__((constructor)) static void find(void)
{
    const char *path = getenv(PATH);
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

    if (fd < 0)
        return;
    map(fd);
    close(fd);
}

void wrong(const char *file, int line, const char *format, ...)
{
    char text[1024];
    va_list list;

    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    fprintf(stderr, "soak: WRONG at %s:%d (process %d): %s\n", file, line, getpid(), text);
    if (scene) {
        fprintf(stderr, "soak: in the round SEED=%llu: %s\n",
                (unsigned long long)atomic_load(&scene->round_seed), scene->plan);
        atomic_store(&scene->failed, true);
    }
    _exit(1);
}

double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

void pause_us(unsigned long microseconds)
{
    struct timespec left = { (time_t)(microseconds / 1000000),
                             (long)(microseconds % 1000000) * 1000 };

    while (nanosleep(&left, &left) != 0)
        ;
}

void spin_us(unsigned long microseconds)
{
    double end = now() + (double)microseconds * 1e-6;

    while (now() < end)
        ;
}
