/* SPDX-License-Identifier: MIT */
#include "hang.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "scene.h"

enum { MOST = 512 };

/* Parents come before their children in the end. */
static unsigned descendants(pid_t *list)
{
    unsigned count = 1;

    list[0] = getpid();
    for (unsigned looked = 0; looked < count; looked++) {
        DIR *dir = opendir("/proc");
        struct dirent *entry;

        while (dir && (entry = readdir(dir))) {
            char path[300], text[512], *close;
            FILE *file;
            int parent = 0;

            snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
            if (entry->d_name[0] < '0' || entry->d_name[0] > '9' || !(file = fopen(path, "re")))
                continue;
            text[fread(text, 1, sizeof text - 1, file)] = '\0';
            fclose(file);
            close = strrchr(text, ')');
            if (close && sscanf(close + 1, " %*c %d", &parent) == 1 &&
                parent == list[looked] && count < MOST)
                list[count++] = atoi(entry->d_name);
        }
        if (dir)
            closedir(dir);
    }
    return count;
}

static void describe(pid_t pid)
{
    char command[1024];

    snprintf(command, sizeof command,
             "exec >&2; echo; echo \"=== $(cat /proc/%d/comm) %d: $(grep -E '^State|^PPid' "
             "/proc/%d/status | tr '\\n' ' ')\"; cd /proc/%d/task && grep -H . */wchan; "
             "if command -v eu-stack >/dev/null; then timeout 20 eu-stack -p %d; "
             "elif command -v gdb >/dev/null; then timeout 30 gdb -p %d -batch "
             "-ex 'thread apply all bt' 2>/dev/null | grep -E '^(#|Thread)'; "
             "else cat */stack */syscall; fi",
             pid, pid, pid, pid, pid, pid);
    if (system(command) != 0)
        fprintf(stderr, "soak: the stack of %d is incomplete\n", pid);
}

void describe_all(void)
{
    pid_t list[MOST];
    unsigned count = descendants(list);

    for (unsigned i = 1; i < count; i++)
        describe(list[i]);
}

void end_all(void)
{
    pid_t list[MOST];
    unsigned count;

    while ((count = descendants(list)) > 1) {
        for (unsigned i = 1; i < count; i++)
            kill(list[i], SIGKILL);
        while (waitpid(-1, NULL, WNOHANG | __WALL) > 0)
            ;
        pause_us(1000);
    }
}
