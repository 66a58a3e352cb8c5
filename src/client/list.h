/* SPDX-License-Identifier: MIT */
/* Doubly linked lists, the links inside their owners. */
#ifndef PPI_CLIENT_LIST_H
#define PPI_CLIENT_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct ppi_link {
    struct ppi_link *next, *previous; /* NULL: in no list */
};

/* A ring through this head. */
struct ppi_list {
    struct ppi_link head;
};

static inline void ppi_list_init(struct ppi_list *list)
{
    list->head.next = list->head.previous = &list->head;
}

static inline bool ppi_list_empty(const struct ppi_list *list)
{
    return list->head.next == &list->head;
}

static inline void ppi_list_append(struct ppi_list *list, struct ppi_link *link)
{
    link->next = &list->head;
    link->previous = list->head.previous;
    list->head.previous->next = link;
    list->head.previous = link;
}

/* Takes a link out of its list; does nothing when it is in none. */
static inline void ppi_list_remove(struct ppi_link *link)
{
    if (!link->next)
        return;
    link->next->previous = link->previous;
    link->previous->next = link->next;
    link->next = link->previous = NULL;
}

#define PPI_OWNER(pointer, type, member) \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

/* The owner of a list's first link; not for empty lists. */
#define PPI_FIRST(list, type, member) PPI_OWNER((list)->head.next, type, member)

#endif
