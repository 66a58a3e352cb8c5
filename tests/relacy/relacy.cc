/* SPDX-License-Identifier: MIT */
/*
 * relacy.cc - the models under relacy, with all orders as they are and with each one weakened
 *
 * Usage: relacy [--runs N] [--seed N] [--orders] [MODEL...]
 *
 * Each model is run so many times, in another schedule each time and with other values read;
 * the seed is the number of the first run, so that one that fails is said again by its number.
 * With --orders each access that the models have come by and that has an order is then made
 * weaker, by a step and wholly (a fence: left out), and the models have to find that, in a
 * fifth of the runs; those that they cannot find stand in the table of spares with the reason.
 */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <set>
#include <sstream>
#include <string>

#include <relacy/relacy.hpp>

#undef memory_order_relaxed
#undef memory_order_acquire
#undef new
#undef delete
#undef malloc
#undef calloc
#undef realloc
#undef free

#include "memory.h"

namespace {

/* ---- Accesses, and which of them is weakened --------------------------- */

/* Nothing here allocates while a model runs: relacy has an allocator of its own, for leaks. */
struct site {
    const char *file, *function;
    int line, kind, order;
    unsigned models; /* a bit for each that comes by it */
};

enum { MOST_SITES = 400 };
site sites[MOST_SITES];
int site_count;
unsigned running; /* the model */
int weakened = -1;
bool wholly;

int weaker(int kind, int order)
{
    if (order != rl::mo_seq_cst || wholly)
        return rl::mo_relaxed;
    return kind == WEAK_LOAD ? rl::mo_acquire : kind == WEAK_STORE ? rl::mo_release
                                                                   : rl::mo_acq_rel;
}

int find_site(const char *file, int line, int kind)
{
    int at = 0;

    while (at < site_count && (sites[at].line != line || sites[at].kind != kind ||
                               std::strcmp(sites[at].file, file) != 0))
        at++;
    return at;
}

/* The order that this access has now. */
int order_at(int kind, int order, const char *file, const char *function, int line)
{
    int at = find_site(file, line, kind);

    if (at == MOST_SITES)
        std::abort();
    if (at == site_count)
        sites[site_count++] = { file, function, line, kind, order, 0 };
    sites[at].models |= 1U << running;
    return at == weakened ? weaker(kind, order) : order;
}

/* ---- Memory ------------------------------------------------------------- */

struct memory {
    rl::atomic<uint64_t> cells[WEAK_PLACES];
    rl::var<int> plain[WEAK_PLAIN];
};

memory *now;
const volatile void *places[WEAK_PLACES];
unsigned place_count;

unsigned find_place(const volatile void *place)
{
    unsigned at = 0;

    while (at < place_count && places[at] != place)
        at++;
    return at;
}

rl::atomic<uint64_t> &cell(const volatile void *place, const char *file, int line)
{
    unsigned at = find_place(place);

    if (at == place_count) {
        std::fprintf(stderr, "%s:%d: the model knows nothing of this place\n", file, line);
        std::abort();
    }
    return now->cells[at];
}

uint64_t cut(size_t size, uint64_t value)
{
    return size == 8 ? value : value & ((UINT64_C(1) << 8 * size) - 1);
}

} // namespace

#define AT rl::debug_info(function, file, line)

uint64_t weak_load(const volatile void *place, size_t, int order, const char *file,
                   const char *function, int line)
{
    order = order_at(WEAK_LOAD, order, file, function, line);
    return cell(place, file, line).load((rl::memory_order)order, AT);
}

void weak_store(volatile void *place, size_t size, uint64_t value, int order,
                const char *file, const char *function, int line)
{
    order = order_at(WEAK_STORE, order, file, function, line);
    cell(place, file, line).store(cut(size, value), (rl::memory_order)order, AT);
}

uint64_t weak_change(volatile void *place, size_t size, int kind, uint64_t value, int order,
                     const char *file, const char *function, int line)
{
    auto mo = (rl::memory_order)order_at(kind, order, file, function, line);
    rl::atomic<uint64_t> &at = cell(place, file, line);

    value = cut(size, value); /* nothing here counts beyond its size */
    switch (kind) {
    case WEAK_ADD:
        return at.fetch_add(value, mo, AT);
    case WEAK_OR:
        return at.fetch_or(value, mo, AT);
    case WEAK_AND:
        return at.fetch_and(value, mo, AT);
    default:
        return at.exchange(value, mo, AT);
    }
}

bool weak_swap(volatile void *place, size_t size, uint64_t *expected, uint64_t value, int yes,
               int no, const char *file, const char *function, int line)
{
    int order = order_at(WEAK_SWAPS, yes, file, function, line);

    if (order != yes)
        no = order == rl::mo_acq_rel && no != rl::mo_relaxed ? rl::mo_acquire : rl::mo_relaxed;
    return cell(place, file, line)
        .compare_exchange(rl::bool_t<false>(), *expected, cut(size, value),
                          (rl::memory_order)order, (rl::memory_order)no, AT);
}

void weak_fence(int order, const char *file, const char *function, int line)
{
    order = order_at(WEAK_FENCE, order, file, function, line);
    if (order != rl::mo_relaxed)
        rl::atomic_thread_fence((rl::memory_order)order, AT);
}

int weak_wait(const volatile void *word, uint32_t value)
{
    rl::atomic<uint64_t> &at = cell(word, "futex", 0);

    if (at.fetch_add(0, rl::mo_relaxed, RL_INFO) != value)
        return -11;
    at.wait(rl::ctx(), false, false, RL_INFO);
    return 0;
}

int weak_wake(const volatile void *word, int count)
{
    return (int)cell(word, "futex", 0)
        .wake(rl::ctx(), count > 64 ? 64 : (unsigned)count, RL_INFO);
}

void weak_place(const volatile void *place, uint64_t value)
{
    unsigned at = find_place(place);

    if (at == WEAK_PLACES) {
        std::fprintf(stderr, "too many places\n");
        std::abort();
    }
    if (at == place_count)
        places[place_count++] = place;
    now->cells[at].store(value, rl::mo_relaxed, RL_INFO);
}

void weak_read(unsigned plain)
{
    (void)now->plain[plain](RL_INFO).load();
}

void weak_write(unsigned plain)
{
    now->plain[plain](RL_INFO).store(1);
}

void weak_check(bool condition, const char *text)
{
    if (!condition)
        rl::ctx().fail_test(text, rl::test_result_user_assert_failed, RL_INFO);
}

namespace {

/* ---- Runs --------------------------------------------------------------- */

template <unsigned THREADS>
struct suite : rl::test_suite<suite<THREADS>, THREADS> {
    memory own;

    void before()
    {
        now = &own;
        for (auto &plain : own.plain)
            plain(RL_INFO).store(0);
        place_count = 0;
        weak_models[running].before();
    }

    void thread(unsigned index)
    {
        weak_models[running].threads[index]();
    }

    void after()
    {
        if (weak_models[running].after)
            weak_models[running].after();
    }
};

struct verdict {
    bool right;
    unsigned long runs;
    std::string words;
};

/* What relacy says; without its allocator, which is in use while it does. */
class notes : public std::streambuf {
    char text[1 << 20];

public:
    notes()
    {
        setp(text, text + sizeof text - 1);
    }

    const char *words()
    {
        *pptr() = '\0';
        return text;
    }
};

verdict run(unsigned model, unsigned long runs, unsigned long seed)
{
    static std::aligned_storage_t<sizeof(notes), alignof(notes)> memory[2];
    notes &said = *::new (&memory[0]) notes, &wasted = *::new (&memory[1]) notes;
    std::ostream words(&said), progress(&wasted);
    rl::test_params params;

    running = model;
    params.iteration_count = seed + runs - 1;
    params.output_stream = &words;
    params.progress_stream = &progress;
    params.execution_depth_limit = 20000;
    params.initial_state = std::to_string(seed) + " ";
    bool right = weak_models[model].threads[2] ? rl::simulate<suite<3>>(params)
                                               : rl::simulate<suite<2>>(params);
    return { right, (unsigned long)params.stop_iteration, said.words() };
}

/* Without what models do before all else. */
void print(const std::string &words)
{
    std::istringstream lines(words);
    std::string line;

    while (std::getline(lines, line))
        if (line.find("in weak_place") == line.npos && line.find("in before") == line.npos)
            std::printf("%s\n", line.c_str());
}

std::string what_failed(const std::string &words)
{
    std::istringstream lines(words);
    std::string line, first;

    std::getline(lines, line); /* the type */
    while (std::getline(lines, line) && line.empty())
        ;
    return line;
}

/* ---- Weakening ---------------------------------------------------------- */

const char *const kinds[] = { "load", "store", "exchange", "fetch_add", "fetch_or", "fetch_and",
                              "compare_exchange", "fence" };

/* Whether a model finds that the access is too weak now. */
bool is_found(int site, unsigned long runs, std::string *by)
{
    weakened = site;
    for (unsigned model = 0; model < weak_model_count; model++) {
        if (!(sites[site].models >> model & 1))
            continue;
        verdict said = run(model, runs, 1);

        if (!said.right) {
            *by = std::string(weak_models[model].name) + ", run " + std::to_string(said.runs) +
                  ": " + what_failed(said.words);
            break;
        }
    }
    weakened = -1;
    return !by->empty();
}

const weak_spare *spare_of(const site &at)
{
    for (unsigned i = 0; i < weak_spare_count; i++)
        if (std::strcmp(weak_spares[i].function, at.function) == 0 &&
            weak_spares[i].kind == at.kind && weak_spares[i].order == at.order)
            return &weak_spares[i];
    return nullptr;
}

/* Says what becomes of a site that is weakened; whether it is as it should be. */
bool weaken(int index, unsigned long runs, std::set<const weak_spare *> *used)
{
    const site at = sites[index];
    const weak_spare *spare = spare_of(at);
    std::string by, by_step;
    const char *file = std::strstr(at.file, "src/") ? std::strstr(at.file, "src/") : at.file;
    bool two = at.order == rl::mo_seq_cst;

    wholly = false;
    bool step = two && is_found(index, runs, &by_step);
    wholly = true;
    bool found = step || is_found(index, runs, &by);
    std::printf("%s:%d %s(): %s %s: ", file, at.line, at.function,
                rl::format((rl::memory_order)at.order), kinds[at.kind]);
    if (found)
        std::printf("needed%s (%s)\n", step || !two ? "" : ", but not all of it",
                    step ? by_step.c_str() : by.c_str());
    else if (spare)
        std::printf("spare: %s\n", spare->why);
    else
        std::printf("NOT MISSED by any model\n");
    std::fflush(stdout);
    if (!found && spare)
        used->insert(spare);
    return found || spare;
}

} // namespace

int main(int argc, char **argv)
{
    unsigned long runs = 20000, seed = 1;
    bool orders = false;
    unsigned failed = 0, chosen = 0;
    std::set<std::string> names;

    for (int i = 1; i < argc; i++)
        if (std::strcmp(argv[i], "--orders") == 0)
            orders = true;
        else if (std::strcmp(argv[i], "--runs") == 0 && i + 1 < argc)
            runs = std::strtoul(argv[++i], NULL, 10);
        else if (std::strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            seed = std::strtoul(argv[++i], NULL, 10);
        else
            names.insert(argv[i]);
    for (unsigned model = 0; model < weak_model_count; model++) {
        if (!names.empty() && !names.count(weak_models[model].name))
            continue;
        verdict said = run(model, runs, seed);
        chosen++;
        std::printf("%s: %lu runs: %s\n", weak_models[model].name, said.runs,
                    said.right ? "right" : "WRONG");
        if (!said.right) {
            print(said.words);
            failed++;
        }
        std::fflush(stdout);
    }
    if (orders && !failed) {
        std::set<const weak_spare *> used;
        const int count = site_count;
        unsigned ordered = 0;

        for (int site = 0; site < count; site++)
            if (sites[site].order != rl::mo_relaxed && std::strstr(sites[site].file, "src/")) {
                ordered++;
                failed += !weaken(site, runs < 5 ? 1 : runs / 5, &used);
            }
        for (unsigned i = 0; i < weak_spare_count && names.empty(); i++)
            if (!used.count(&weak_spares[i])) {
                std::printf("%s(): %s: not a spare any more\n", weak_spares[i].function,
                            kinds[weak_spares[i].kind]);
                failed++;
            }
        std::printf("%u accesses with an order\n", ordered);
    }
    std::printf("relacy: %u models, %u failed\n", chosen, failed);
    return failed || chosen == 0;
}
