/* SPDX-License-Identifier: MIT */
#include "base/backtrace.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* In a library of its own before glibc 2.34, which may be missing. */
#pragma weak dladdr

#define MOST_FRAMES 64
#define MOST_KNOWN 4096 /* addresses: then it begins anew */
#define BUCKETS 256

/* Of what macros make of tasks. */
#define GLUE "_pp_run"

/* What is known of an address. */
struct known {
    struct known *next;
    uintptr_t address;
    struct ppi_code code;
    enum owner { THEIRS, SYSTEMS, OURS } owner;
    char *lines;  /* the function's is the last; before it what has become a part of it */
};

struct ppi_backtraces {
    struct ppi_dwarf *dwarf; /* NULL: there is none */
    bool elsewhere;          /* not of this process */
    size_t count;
    struct known *known[BUCKETS];
};

/* ---- Without libdw ---- */

struct search {
    uintptr_t address;
    struct ppi_code *code;
};

static int search_object(struct dl_phdr_info *info, size_t size, void *user)
{
    struct search *search = user;
    const char *slash = strrchr(info->dlpi_name, '/');

    (void)size;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        uintptr_t begin = info->dlpi_addr + header->p_vaddr;

        if (header->p_type != PT_LOAD || search->address - begin >= header->p_memsz)
            continue;
        search->code->object = info->dlpi_addr + info->dlpi_phdr[0].p_vaddr;
        search->code->offset = search->address - info->dlpi_addr;
        snprintf(search->code->name, sizeof search->code->name, "%s",
                 !*info->dlpi_name ? program_invocation_short_name
                 : slash           ? slash + 1
                                   : info->dlpi_name);
        return 1;
    }
    return 0;
}

/* What the dynamic linker knows: objects, and the functions that they offer to others. */
static const char *find_symbol(uintptr_t address, struct ppi_code *code)
{
    Dl_info info;

    dl_iterate_phdr(search_object, &(struct search){ address, code });
    if (!dladdr || !dladdr((const void *)address, &info) || !info.dli_sname)
        return NULL;
    code->function = (uintptr_t)info.dli_saddr;
    return info.dli_sname;
}

/* ---- Addresses ---- */

static bool begins_with(const char *text, const char *const *prefixes)
{
    while (*prefixes && strncmp(text, *prefixes, strlen(*prefixes)) != 0)
        prefixes++;
    return *prefixes;
}

/* The system's libraries do what their callers have told them. */
static enum owner owner_of(const char *object)
{
    static const char *const systems[] = {
        "libc.so",  "libc-",  "libm.so",   "libpthread", "ld-linux", "ld-musl", "libstdc++.so",
        "libgcc_",  "libc++", "libunwind", "libasan",    "libubsan", "libtsan", "[vdso]",
        NULL,
    };
    static const char *const ours[] = { "libprocpool.so", NULL };

    return begins_with(object, systems) ? SYSTEMS : begins_with(object, ours) ? OURS : THEIRS;
}

/* So do those of sanitizers that have become a part of the program. */
static bool is_sanitizers(const char *function)
{
    static const char *const prefixes[] = {
        "__interceptor_", "___interceptor_", "__sanitizer", "__asan",
        "__tsan",         "__ubsan",         "__msan",      NULL,
    };

    return begins_with(function, prefixes);
}

/* While an address is being looked up. */
struct writer {
    FILE *text;
    const struct known *known;
    bool any;
};

static void write_place(const struct ppi_source *place, void *user)
{
    struct writer *writer = user;
    const struct ppi_code *code = &writer->known->code;

    if (writer->any)
        fputc('\n', writer->text);
    writer->any = true;
    if (place->function)
        fprintf(writer->text, "%.200s%s", place->function,
                place->file || *code->name ? " " : "");
    if (place->file)
        fprintf(writer->text, "at %.240s:%d", place->file, place->line);
    else if (*code->name)
        fprintf(writer->text, "%s%s+0x%zx", place->function ? "in " : "", code->name,
                (size_t)code->offset);
    else if (!place->function)
        fprintf(writer->text, "0x%zx", (size_t)writer->known->address);
}

static void write_places(const struct ppi_backtraces *backtraces, struct known *known,
                         struct writer *writer)
{
    struct ppi_source place = { 0 };

    if (backtraces->dwarf) {
        ppi_dwarf_find_code(backtraces->dwarf, known->address, &known->code);
        known->owner = owner_of(known->code.name);
        ppi_dwarf_find_places(backtraces->dwarf, known->address, known->owner != THEIRS,
                              &known->code, write_place, writer);
        return;
    }
    if (!backtraces->elsewhere)
        place.function = find_symbol(known->address, &known->code);
    known->owner = owner_of(known->code.name);
    write_place(&place, writer);
}

static bool write_lines(const struct ppi_backtraces *backtraces, struct known *known)
{
    size_t length;
    struct writer writer = { .text = open_memstream(&known->lines, &length), .known = known };

    if (!writer.text)
        return false;
    write_places(backtraces, known, &writer);
    if (fclose(writer.text) != 0 || !known->lines)
        return false;
    if (is_sanitizers(known->lines))
        known->owner = SYSTEMS;
    return true;
}

static void forget_all(struct ppi_backtraces *backtraces)
{
    for (size_t i = 0; i < BUCKETS; i++)
        while (backtraces->known[i]) {
            struct known *known = backtraces->known[i];

            backtraces->known[i] = known->next;
            free(known->lines);
            free(known);
        }
    backtraces->count = 0;
}

/* What is known of an address; NULL without memory. */
static const struct known *look_up(struct ppi_backtraces *backtraces, uintptr_t address)
{
    struct known **bucket = &backtraces->known[address % BUCKETS], *known;

    for (known = *bucket; known; known = known->next)
        if (known->address == address)
            return known;
    known = calloc(1, sizeof *known);
    if (!known)
        return NULL;
    known->address = address;
    if (!write_lines(backtraces, known)) {
        free(known->lines);
        free(known);
        return NULL;
    }
    known->next = *bucket;
    *bucket = known;
    backtraces->count++;
    return known;
}

/* ---- Lines ---- */

#define MOST_LINES (2 * MOST_FRAMES)

struct line {
    const char *text;
    size_t length;
    const struct known *known;
};

struct lines {
    size_t count;
    struct line all[MOST_LINES];
};

static void add_line(struct lines *lines, const struct known *known, const char *text,
                     size_t length)
{
    if (lines->count < MOST_LINES)
        lines->all[lines->count++] = (struct line){ text, length, known };
}

/* How long the function's name is, at the beginning of a line; 0 if it has none. */
static size_t name_length(const struct line *line)
{
    for (size_t i = 0; i + 4 <= line->length; i++)
        if (strncmp(line->text + i, " at ", 4) == 0 || strncmp(line->text + i, " in ", 4) == 0)
            return i;
    return 0;
}

static bool is_of(const struct line *line, const char *function)
{
    size_t length = strlen(function);

    return name_length(line) == length && memcmp(line->text, function, length) == 0;
}

/* Adds all lines of an address, but not the last if that only calls the task of this name,
   which is there already. */
static void add_lines(struct lines *lines, const struct known *known, const char *task)
{
    const char *text = known->lines, *end;

    while ((end = strchr(text, '\n')) != NULL) {
        add_line(lines, known, text, (size_t)(end - text));
        text = end + 1;
    }
    if (!task || lines->count == 0 || !is_of(&lines->all[lines->count - 1], task))
        add_line(lines, known, text, strlen(text));
}

/* Whether all of the way was gone: otherwise there is more, or nobody knows. */
static bool collect(struct ppi_backtraces *backtraces, const struct ppi_stopped *stopped,
                    const struct ppi_outermost *outermost, struct lines *lines)
{
    uintptr_t addresses[MOST_FRAMES] = { (uintptr_t)stopped->pc };
    bool all = false;
    size_t count = 1;

    if (backtraces->dwarf)
        count = ppi_dwarf_unwind(backtraces->dwarf, stopped, addresses, MOST_FRAMES,
                                 &all);
    if (backtraces->count > MOST_KNOWN)
        forget_all(backtraces);
    for (size_t i = 0; i < count; i++) {
        const struct known *known = look_up(backtraces, addresses[i]);
        bool last = known && outermost->function &&
                    known->code.function == outermost->function;

        if (known)
            add_lines(lines, known, last ? outermost->task : NULL);
        if (last)
            return lines->count < MOST_LINES;
    }
    return all && lines->count < MOST_LINES;
}

/* What has called the first of them is of no interest. */
static void drop_ours(struct lines *lines)
{
    size_t count = lines->count;

    while (count > 0 && lines->all[count - 1].known->owner == OURS)
        count--;
    if (count > 0)
        lines->count = count;
}

/* ---- Text ---- */

/* Of what macros make of a task the name is the task's. */
static size_t shown_name(const struct line *line)
{
    size_t name = name_length(line), glue = strlen(GLUE);

    return name > glue && strncmp(line->text + name - glue, GLUE, glue) == 0 ? name - glue
                                                                             : name;
}

static void write_line(FILE *text, const struct line *line)
{
    size_t name = name_length(line);

    fprintf(text, "%.*s%.*s", (int)shown_name(line), line->text, (int)(line->length - name),
            line->text + name);
}

static bool is_same(const struct line *a, const struct line *b)
{
    return a->length == b->length && memcmp(a->text, b->text, a->length) == 0;
}

/* Lines that are the same have one number after the other: of recursions there are many. */
static void write_lines_of(FILE *text, const struct lines *lines)
{
    for (size_t i = 0, next; i < lines->count; i = next) {
        const struct line *line = &lines->all[i];

        for (next = i + 1; next < lines->count && is_same(&lines->all[next], line); next++)
            ;
        fprintf(text, i == 0 ? "#%zu" : "\n#%zu", i);
        if (next > i + 1)
            fprintf(text, "-#%zu", next - 1);
        fputc(' ', text);
        write_line(text, line);
    }
}

/* "store() at nested.c:12", "store()" or "nested+0x1139" */
static void write_where(char *where, size_t size, const struct line *line)
{
    size_t name = name_length(line), shown = shown_name(line);
    bool has_source = strncmp(line->text + name, " at ", 4) == 0;

    snprintf(where, size, "%.*s%s%.*s", (int)shown, line->text,
             name > 0 && !memchr(line->text, '(', shown) ? "()" : "",
             name > 0 && !has_source ? 0 : (int)(line->length - name), line->text + name);
}

/* From this line on. */
static void find_where(char *where, size_t size, const struct lines *lines, size_t from)
{
    *where = '\0';
    for (size_t i = from; i < lines->count; i++) {
        const struct known *known = lines->all[i].known;

        if (known->owner != THEIRS || !*known->code.name)
            continue;
        write_where(where, size, &lines->all[i]);
        return;
    }
}

bool ppi_backtrace_of(struct ppi_backtraces *backtraces, const struct ppi_stopped *stopped,
                      const struct ppi_outermost *outermost, struct ppi_backtrace *backtrace)
{
    struct lines lines = { 0 };
    size_t length;
    FILE *text = open_memstream(&backtrace->lines, &length);
    bool complete;

    if (!text)
        return false;
    complete = collect(backtraces, stopped, outermost, &lines);
    drop_ours(&lines);
    write_lines_of(text, &lines);
    if (!complete)
        fputs("\n...", text);
    find_where(backtrace->where, sizeof backtrace->where, &lines,
               stopped->astray);
    if (fclose(text) == 0 && backtrace->lines && lines.count > 0)
        return true;
    free(backtrace->lines);
    return false;
}

struct ppi_backtraces *ppi_backtraces_new(const char *maps)
{
    struct ppi_backtraces *backtraces = calloc(1, sizeof *backtraces);

    if (!backtraces)
        return NULL;
    backtraces->dwarf = ppi_dwarf_open(maps);
    backtraces->elsewhere = maps;
    return backtraces;
}

void ppi_backtraces_free(struct ppi_backtraces *backtraces)
{
    if (!backtraces)
        return;
    forget_all(backtraces);
    ppi_dwarf_close(backtraces->dwarf);
    free(backtraces);
}
