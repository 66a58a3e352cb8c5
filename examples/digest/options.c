/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <getopt.h>
#include <procpool.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_PROCESSES = 1024, EXIT_USAGE = 2 };

static void usage(FILE *stream)
{
    fputs("Usage: digest [-j N] FOLDER...\n"
          "Prints the SHA-256 of every regular file under the folders, as sha256sum does.\n"
          "\n"
          "  -j, --processes=N  work in N processes (default: one per CPU)\n"
          "      --help         print this help\n"
          "      --version      print the version\n"
          "\n"
          "Exit status: 0 all files were read, 1 some were not, 2 wrong usage,\n"
          "130 interrupted, 143 terminated.\n",
          stream);
}

static int parse_processes(const char *text)
{
    char *end;
    long processes = strtol(text, &end, 10);

    if (end == text || *end != '\0' || processes < 1 || processes > MAX_PROCESSES) {
        fprintf(stderr, "digest: -j takes a number from 1 to %d\n", MAX_PROCESSES);
        exit(EXIT_USAGE);
    }
    return (int)processes;
}

struct options parse_options(int argc, char **argv)
{
    static const struct option known[] = {
        { "processes", required_argument, NULL, 'j' },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'v' },
        { NULL, 0, NULL, 0 },
    };
    struct options options = { .processes = 0 };
    int option;

    while ((option = getopt_long(argc, argv, "j:", known, NULL)) != -1) {
        switch (option) {
        case 'j':
            options.processes = parse_processes(optarg);
            break;
        case 'h':
            usage(stdout);
            exit(EXIT_SUCCESS);
        case 'v':
            printf("digest (procpool %s)\n", pp_version());
            exit(EXIT_SUCCESS);
        default:
            usage(stderr);
            exit(EXIT_USAGE);
        }
    }
    options.folders = argv + optind;
    if (!*options.folders) {
        usage(stderr);
        exit(EXIT_USAGE);
    }
    return options;
}
