/* SPDX-License-Identifier: MIT */
/* Loading libdw, and telling it which files there are. */
#include "base/dwarf.h"

#ifdef PPI_HAVE_LIBDW

#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/libdw.h"

/* In a library of their own before glibc 2.34, which may be missing. */
#pragma weak dlclose
#pragma weak dlsym

/* ---- Loading ---- */

/*
 * Whether to load a library would make the leak checker of AddressSanitizer fail at exit: it
 * takes what it sees of thread-local storage of such libraries for something else.
 */
static bool would_disturb_sanitizer(void)
{
    const char *options = getenv("ASAN_OPTIONS");

    return dlsym(RTLD_DEFAULT, "__lsan_do_leak_check") &&
           !(options && strstr(options, "intercept_tls_get_addr=0"));
}

/* False if the library is not there, or so old that it lacks something. */
static bool load(struct ppi_dwarf *dwarf)
{
    void *(*open_library)(const char *, int);

    if (!dlsym || would_disturb_sanitizer())
        return false;
    /* Not found in a static program, which cannot load anything safely, and whose linker
       would warn of a call. */
    open_library = (__typeof__(open_library))dlsym(RTLD_DEFAULT, "dlopen");
    dwarf->library = open_library ? open_library("libdw.so.1", RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!dwarf->library)
        return false;
#define FIND(name)                                                                         \
    dwarf->name = (__typeof__(dwarf->name))dlsym(dwarf->library, #name);                   \
    if (!dwarf->name)                                                                      \
        return false;
    PPI_LIBDW_FUNCTIONS(FIND)
#undef FIND
    dwarf->demangle = (__typeof__(dwarf->demangle))dlsym(RTLD_DEFAULT, "__cxa_demangle");
    return true;
}

/* ---- Finding files ---- */

/* A file to read, and nothing else than a file, as it could be a pipe that waits; or -1. */
static int open_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    struct stat status;

    if (fd >= 0 && (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))) {
        close(fd);
        return -1;
    }
    return fd;
}

/*
 * The code that the kernel maps into every process, of clock_gettime() and the like, is in no
 * file.  Where it lies, and its size; 0 if there is none.
 */
static size_t find_vdso(char **begin)
{
    const ElfW(Ehdr) *header = (const ElfW(Ehdr) *)getauxval(AT_SYSINFO_EHDR);
    const ElfW(Phdr) *parts;
    size_t size;

    *begin = (char *)(uintptr_t)header;
    if (!header)
        return 0;
    parts = (const ElfW(Phdr) *)(const void *)(*begin + header->e_phoff);
    size = header->e_shoff + (size_t)header->e_shnum * header->e_shentsize;
    for (int i = 0; i < header->e_phnum; i++)
        if (parts[i].p_type == PT_LOAD && parts[i].p_vaddr + parts[i].p_memsz > size)
            size = parts[i].p_vaddr + parts[i].p_memsz;
    return size;
}

/* The program's own file is found also when it has been replaced, or removed. */
static bool is_program(const char *path)
{
    char program[PATH_MAX];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);

    if (length < 0)
        return false;
    program[length] = '\0';
    return strcmp(path, program) == 0;
}

#define VDSO "[vdso]"

static int find_elf(Dwfl_Module *module, void **data, const char *path, Dwarf_Addr base,
                    char **file, Elf **elf)
{
    const struct ppi_dwarf *dwarf = *data;
    char *begin;
    int fd;

    (void)module, (void)base;
    if (strcmp(path, VDSO) == 0 && dwarf) {
        size_t size = find_vdso(&begin);

        *elf = dwarf->elf_memory(begin, size);
        return -1;
    }
    if (*path != '/')
        return -1;
    fd = open_file(is_program(path) ? "/proc/self/exe" : path);
    *file = fd < 0 ? NULL : strdup(path);
    return fd;
}

/*
 * Debug information in a file of its own, where packages install it.  Not as libdw would
 * find it, which asks servers for what it lacks: a crash is no reason to go online.
 */
static int find_debuginfo(Dwfl_Module *module, void **data, const char *name, Dwarf_Addr base,
                          const char *main, const char *link, GElf_Word checksum, char **file)
{
    struct ppi_dwarf *dwarf = *data;
    const unsigned char *id;
    GElf_Addr at;
    char path[PATH_MAX];
    int fd, length, size = dwarf->dwfl_module_build_id(module, &id, &at);

    (void)name, (void)base, (void)main, (void)link, (void)checksum;
    if (size <= 0 || size > 64)
        return -1;
    length = sprintf(path, "/usr/lib/debug/.build-id/%02x/", id[0]);
    for (int i = 1; i < size; i++)
        length += sprintf(path + length, "%02x", id[i]);
    strcpy(path + length, ".debug");
    fd = open_file(path);
    *file = fd < 0 ? NULL : strdup(path);
    return fd;
}

static const Dwfl_Callbacks callbacks = {
    .find_elf = find_elf,
    .find_debuginfo = find_debuginfo,
};

/* For the two that find files. */
static int mark_module(Dwfl_Module *module, void **data, const char *name, Dwarf_Addr base,
                       void *dwarf)
{
    (void)module, (void)name, (void)base;
    *data = dwarf;
    return DWARF_CB_OK;
}

static void report_vdso(struct ppi_dwarf *dwarf)
{
    char *begin;
    size_t size = find_vdso(&begin);

    if (size > 0)
        dwarf->dwfl_report_module(dwarf->dwfl, VDSO, (uintptr_t)begin,
                                  (uintptr_t)begin + size);
}

/* Tells libdw which files are mapped where. */
static bool report(struct ppi_dwarf *dwarf, const char *maps)
{
    FILE *file = maps ? fmemopen((void *)(uintptr_t)maps, strlen(maps), "r")
                      : fopen("/proc/self/maps", "re");
    bool done;

    if (!file)
        return false;
    dwarf->dwfl_report_begin(dwarf->dwfl);
    done = dwarf->dwfl_linux_proc_maps_report(dwarf->dwfl, file) == 0;
    fclose(file);
    if (!maps)
        report_vdso(dwarf);
    return dwarf->dwfl_report_end(dwarf->dwfl, NULL, NULL) == 0 && done &&
           dwarf->dwfl_getmodules(dwarf->dwfl, mark_module, dwarf, 0) == 0;
}

struct ppi_dwarf *ppi_dwarf_open(const char *maps)
{
    struct ppi_dwarf *dwarf = calloc(1, sizeof *dwarf);

    if (dwarf && load(dwarf) && (dwarf->dwfl = dwarf->dwfl_begin(&callbacks)) != NULL &&
        report(dwarf, maps))
        return dwarf;
    ppi_dwarf_close(dwarf);
    return NULL;
}

void ppi_dwarf_close(struct ppi_dwarf *dwarf)
{
    if (!dwarf)
        return;
    if (dwarf->dwfl)
        dwarf->dwfl_end(dwarf->dwfl);
    if (dwarf->library)
        dlclose(dwarf->library);
    free(dwarf);
}

#else /* no libdw */

struct ppi_dwarf *ppi_dwarf_open(const char *maps)
{
    (void)maps;
    return NULL;
}

void ppi_dwarf_close(struct ppi_dwarf *dwarf)
{
    (void)dwarf;
}

size_t ppi_dwarf_unwind(struct ppi_dwarf *dwarf, const struct ppi_stopped *stopped,
                        uintptr_t *addresses, size_t max, bool *all)
{
    (void)dwarf, (void)stopped, (void)addresses, (void)max, (void)all;
    return 0;
}

void ppi_dwarf_find_code(struct ppi_dwarf *dwarf, uintptr_t address, struct ppi_code *code)
{
    (void)dwarf, (void)address, (void)code;
}

void ppi_dwarf_find_places(struct ppi_dwarf *dwarf, uintptr_t address, bool symbols_only,
                           struct ppi_code *code, ppi_see_source *see, void *user)
{
    (void)dwarf, (void)address, (void)symbols_only, (void)code, (void)see, (void)user;
}

#endif
