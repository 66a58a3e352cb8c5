/* SPDX-License-Identifier: MIT */
/* Marks the functions of procpool.h: all others stay inside the library. */
#ifndef PPI_BASE_PUBLIC_H
#define PPI_BASE_PUBLIC_H

#define PPI_PUBLIC __attribute__((visibility("default")))

#endif
