/* SPDX-License-Identifier: MIT */
#ifndef DIGEST_OPTIONS_H
#define DIGEST_OPTIONS_H

struct options {
    int processes;  /* 0: one per CPU */
    char **folders; /* one or more, then NULL */
};

/* Ends the program if it was called wrongly, or only for its help or version. */
struct options parse_options(int argc, char **argv);

#endif
