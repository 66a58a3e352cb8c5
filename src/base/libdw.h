/* SPDX-License-Identifier: MIT */
/* libdw, as what is beside dwarf.h uses it: by pointers, since it is not linked. */
#ifndef PPI_BASE_LIBDW_H
#define PPI_BASE_LIBDW_H

#include <dwarf.h>
#include <elfutils/libdwfl.h>

#include "base/dwarf.h"

#define PPI_LIBDW_FUNCTIONS(X)                                                            \
    X(dwarf_attr)                                                                          \
    X(dwarf_attr_integrate)                                                                \
    X(dwarf_diecu)                                                                         \
    X(dwarf_diename)                                                                       \
    X(dwarf_dieoffset)                                                                     \
    X(dwarf_entrypc)                                                                       \
    X(dwarf_filesrc)                                                                       \
    X(dwarf_formstring)                                                                    \
    X(dwarf_formudata)                                                                     \
    X(dwarf_getscopes)                                                                     \
    X(dwarf_getscopes_die)                                                                 \
    X(dwarf_getsrc_die)                                                                    \
    X(dwarf_getsrcfiles)                                                                   \
    X(dwarf_haspc)                                                                         \
    X(dwarf_lineno)                                                                        \
    X(dwarf_linesrc)                                                                       \
    X(dwarf_offdie)                                                                        \
    X(dwarf_tag)                                                                           \
    X(dwfl_addrmodule)                                                                     \
    X(dwfl_attach_state)                                                                   \
    X(dwfl_begin)                                                                          \
    X(dwfl_end)                                                                            \
    X(dwfl_frame_pc)                                                                       \
    X(dwfl_getmodules)                                                                     \
    X(dwfl_getthread_frames)                                                               \
    X(dwfl_linux_proc_maps_report)                                                         \
    X(dwfl_module_addrdie)                                                                 \
    X(dwfl_module_addrinfo)                                                                \
    X(dwfl_module_build_id)                                                                \
    X(dwfl_module_getdwarf)                                                                \
    X(dwfl_module_getelf)                                                                  \
    X(dwfl_module_info)                                                                    \
    X(dwfl_module_nextcu)                                                                  \
    X(dwfl_report_begin)                                                                   \
    X(dwfl_report_end)                                                                     \
    X(dwfl_report_module)                                                                  \
    X(dwfl_thread_state_register_pc)                                                       \
    X(dwfl_thread_state_registers)                                                         \
    X(elf_memory)

struct ppi_dwarf {
#define MEMBER(name) __typeof__(name) *name;
    PPI_LIBDW_FUNCTIONS(MEMBER)
#undef MEMBER
    void *library;
    char *(*demangle)(const char *, char *, size_t *, int *); /* NULL: nobody has it */
    Dwfl *dwfl;
    bool attached;
    const struct ppi_stopped *stopped; /* while it is being unwound */
    uint64_t pc, sp;                   /* where that begins */
    bool lacking;                      /* some of the stack was not there */
    uintptr_t *addresses;
    size_t count, max;
};

#endif
