/* SPDX-License-Identifier: MIT */
/* Names, files and lines of addresses. */
#ifdef PPI_HAVE_LIBDW

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/libdw.h"

/* An address in a unit of debug information. */
struct unit {
    struct ppi_dwarf *dwarf;
    Dwfl_Module *module;
    Dwarf_Die die;
    Dwarf_Addr at;  /* as it is numbered there: this much ... */
    Dwarf_Addr bias; /* ... lower than in the process */
};

/* clang writes no index of addresses: then all units are asked. */
static bool find_unit(struct unit *unit, uintptr_t address)
{
    struct ppi_dwarf *dwarf = unit->dwarf;
    Dwarf_Die *die = dwarf->dwfl_module_addrdie(unit->module, address, &unit->bias);

    for (Dwarf_Die *at = NULL;
         !die && (at = dwarf->dwfl_module_nextcu(unit->module, at, &unit->bias)) != NULL;)
        if (dwarf->dwarf_haspc(at, address - unit->bias) == 1)
            die = at;
    if (!die)
        return false;
    unit->die = *die;
    unit->at = address - unit->bias;
    return true;
}

/* A path without the folder that the compiler ran in. */
static const char *shorten(const struct unit *unit, const char *path)
{
    struct ppi_dwarf *dwarf = unit->dwarf;
    Dwarf_Die die = unit->die;
    Dwarf_Attribute attribute;
    const char *folder = NULL;
    size_t length;

    if (dwarf->dwarf_attr(&die, DW_AT_comp_dir, &attribute))
        folder = dwarf->dwarf_formstring(&attribute);
    length = folder ? strlen(folder) : 0;
    return length > 0 && strncmp(path, folder, length) == 0 && path[length] == '/'
               ? path + length + 1
               : path;
}

static void find_line(struct unit *unit, struct ppi_source *place)
{
    struct ppi_dwarf *dwarf = unit->dwarf;
    Dwarf_Line *line = dwarf->dwarf_getsrc_die(&unit->die, unit->at);
    const char *path = line ? dwarf->dwarf_linesrc(line, NULL, NULL) : NULL;

    if (path && dwarf->dwarf_lineno(line, &place->line) == 0)
        place->file = shorten(unit, path);
}

static bool number_of(struct ppi_dwarf *dwarf, Dwarf_Die *die, unsigned name,
                      Dwarf_Word *value)
{
    Dwarf_Attribute attribute;

    return dwarf->dwarf_attr(die, name, &attribute) &&
           dwarf->dwarf_formudata(&attribute, value) == 0;
}

/* Where a function is called that has become a part of its caller. */
static void find_call(struct unit *unit, Dwarf_Die *die, struct ppi_source *place)
{
    struct ppi_dwarf *dwarf = unit->dwarf;
    Dwarf_Word file, line;
    Dwarf_Files *files;
    const char *path = NULL;

    if (number_of(dwarf, die, DW_AT_call_file, &file) &&
        number_of(dwarf, die, DW_AT_call_line, &line) &&
        dwarf->dwarf_getsrcfiles(&unit->die, &files, NULL) == 0)
        path = dwarf->dwarf_filesrc(files, (size_t)file, NULL, NULL);
    place->file = path ? shorten(unit, path) : NULL;
    place->line = path ? (int)line : 0;
}

/* "shop::price(std::string const&) const": without the parameters, which can be long. */
static void drop_parameters(char *name)
{
    char *end = strrchr(name, ')'), *at = end;
    int depth = 0;

    if (!end || (end[1] && strcmp(end, ") const") != 0))
        return;
    do
        depth += (*at == ')') - (*at == '(');
    while (depth > 0 && at-- > name);
    if (depth == 0 && at > name)
        *at = '\0';
}

/* A name as it is in the source, if it is C++; *memory is to be freed. */
static const char *demangle(struct ppi_dwarf *dwarf, const char *name, char **memory)
{
    int status;

    *memory = NULL;
    if (name && name[0] == '_' && name[1] == 'Z' && dwarf->demangle)
        *memory = dwarf->demangle(name, NULL, NULL, &status);
    if (!*memory)
        return name;
    drop_parameters(*memory);
    return *memory;
}

static const char *name_of(struct ppi_dwarf *dwarf, Dwarf_Die *die)
{
    Dwarf_Attribute attribute;

    if (dwarf->demangle && dwarf->dwarf_attr_integrate(die, DW_AT_linkage_name, &attribute))
        return dwarf->dwarf_formstring(&attribute);
    return dwarf->dwarf_diename(die);
}

/* What an address lies in: blocks, functions that have become parts of others, and the
   function.  To be freed; 0 if nothing is known. */
static int find_scopes(struct unit *unit, Dwarf_Die **scopes)
{
    struct ppi_dwarf *dwarf = unit->dwarf;
    Dwarf *all = dwarf->dwfl_module_getdwarf(unit->module, &unit->bias);
    Dwarf_Die innermost;
    Dwarf_Off at;

    *scopes = NULL;
    if (!all || dwarf->dwarf_getscopes(&unit->die, unit->at, scopes) <= 0)
        return 0;
    at = dwarf->dwarf_dieoffset(*scopes);
    free(*scopes);
    *scopes = NULL;
    return dwarf->dwarf_offdie(all, at, &innermost)
               ? dwarf->dwarf_getscopes_die(&innermost, scopes)
               : 0;
}

/*
 * Whether all places were seen.  If not, the line is known at most: libdw does not look into
 * namespaces, in which clang's functions are described.
 */
static bool see_places(struct unit *unit, struct ppi_code *code, struct ppi_source *line,
                       ppi_see_source *see, void *user)
{
    struct ppi_dwarf *dwarf = unit->dwarf;
    struct ppi_source place = { 0 };
    Dwarf_Die *scopes;
    int count = find_scopes(unit, &scopes);
    bool found = false;

    find_line(unit, &place);
    *line = place;
    for (int i = 0; i < count && !found; i++) {
        int tag = dwarf->dwarf_tag(&scopes[i]);
        Dwarf_Addr entry;
        char *memory;

        if (tag != DW_TAG_inlined_subroutine && tag != DW_TAG_subprogram)
            continue;
        place.function = demangle(dwarf, name_of(dwarf, &scopes[i]), &memory);
        see(&place, user);
        free(memory);
        found = tag == DW_TAG_subprogram;
        if (!found)
            find_call(unit, &scopes[i], &place);
        else if (dwarf->dwarf_entrypc(&scopes[i], &entry) == 0)
            code->function = (uintptr_t)(entry + unit->bias);
    }
    free(scopes);
    return found;
}

/* Of what has no debug information, or too little: the name in the table of symbols. */
static void see_symbol(struct ppi_dwarf *dwarf, Dwfl_Module *module, uintptr_t address,
                       struct ppi_code *code, struct ppi_source *line, ppi_see_source *see,
                       void *user)
{
    GElf_Off offset;
    GElf_Sym symbol;
    const char *name = dwarf->dwfl_module_addrinfo(module, address, &offset, &symbol, NULL,
                                                   NULL, NULL);
    char *memory;

    if (name)
        code->function = address - (uintptr_t)offset;
    line->function = demangle(dwarf, name, &memory);
    see(line, user);
    free(memory);
}

void ppi_dwarf_find_code(struct ppi_dwarf *dwarf, uintptr_t address, struct ppi_code *code)
{
    Dwfl_Module *module = dwarf->dwfl_addrmodule(dwarf->dwfl, address);
    const char *name, *slash;
    Dwarf_Addr begin, end, bias = 0;

    *code = (struct ppi_code){ 0 };
    if (!module)
        return;
    name = dwarf->dwfl_module_info(module, NULL, &begin, &end, NULL, NULL, NULL, NULL);
    if (address < begin || address >= end || !dwarf->dwfl_module_getelf(module, &bias))
        return; /* behind it, or of a file that is no program */
    slash = name ? strrchr(name, '/') : NULL;
    code->object = (uintptr_t)begin;
    code->offset = address - (uintptr_t)bias;
    snprintf(code->name, sizeof code->name, "%s", slash ? slash + 1 : name ? name : "");
}

void ppi_dwarf_find_places(struct ppi_dwarf *dwarf, uintptr_t address, bool symbols_only,
                           struct ppi_code *code, ppi_see_source *see, void *user)
{
    struct unit unit = { .dwarf = dwarf };
    struct ppi_source line = { 0 };

    unit.module = dwarf->dwfl_addrmodule(dwarf->dwfl, address);
    if (!unit.module || !*code->name)
        see(&(struct ppi_source){ 0 }, user);
    else if (symbols_only || !find_unit(&unit, address) ||
             !see_places(&unit, code, &line, see, user))
        see_symbol(dwarf, unit.module, address, code, &line, see, user);
}

#endif
