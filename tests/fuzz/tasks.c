/* SPDX-License-Identifier: MIT */
/* What is run in the rig, and what must come of it. */
#include <procpool.h>
#include <string.h>

#include "queue/claims.h"
#include "rig.h"

enum { BIG_WORDS = 5, MOST_COUNT = 12 };

struct big {
    long words[BIG_WORDS];
};

static long value_of(long id)
{
    return id * 1000003 + 7;
}

/* The words of an item: of any length, so that they lie in the record or in the outbox. */
static const char *text_of(long id)
{
    static char text[64];

    memset(text, 'a' + (int)(id % 26), sizeof text);
    snprintf(text, sizeof text, "%ld", value_of(id));
    text[strlen(text)] = '.';
    text[12 + id % 48] = '\0';
    return text;
}

/* ---- In the worker ---- */

/* A worker that raises looks itself for its item: that this is its own end would be no news. */
static void be_hostile(void)
{
    _Atomic uint64_t *item = &rig.workers[rig.running].seat.shm->item;
    unsigned deeds = input_front(rig.input);
    uint64_t right = atomic_load(item);

    for (unsigned i = 0; i < deeds % 8; i++)
        rig_mischief(input_front);
    if (rig.powers.dies && deeds >= 128)
        rig_die(deeds % 2 ? 11 /* SIGSEGV */ : 1 << 8 /* exit(1) */);
    atomic_store(item, right);
}

static void enter(long id)
{
    if (rig.running == rig.hostile)
        be_hostile();
    if (rig.running == rig.hostile || id < 0 || (size_t)id >= rig.items_count)
        return;
    rig.items[id].honest++;
    if (rig.powers.dies && rig.may_die && input_front(rig.input) < 8)
        rig_die(11);
}

static long give_long(long id)
{
    enter(id);
    return value_of(id);
}
PP_TASK(long, give_long, long, id);

static struct big give_big(long id)
{
    struct big big;

    enter(id);
    for (int i = 0; i < BIG_WORDS; i++)
        big.words[i] = value_of(id) + i;
    return big;
}
PP_TASK(struct big, give_big, long, id);

static const char *give_string(long id)
{
    enter(id);
    return id % 8 == 0 ? NULL : text_of(id);
}
PP_TASK(const char *, give_string, long, id);

static const char *give_back(long id, const char *text)
{
    enter(id);
    return text;
}
PP_TASK(const char *, give_back, long, id, const char *, text);

static pp_bytes give_bytes(long id)
{
    enter(id);
    return (pp_bytes){ text_of(id), (size_t)id % 60 };
}
PP_TASK(pp_bytes, give_bytes, long, id);

static long raise_it(long id)
{
    enter(id);
    if (id % 2)
        pp_raise((int)id + 1, "item %ld has failed: %s", id, text_of(id));
    return value_of(id);
}
PP_TASK(long, raise_it, long, id);

static const pp_task *const tasks[RIG_KINDS] = {
    [RIG_LONG] = &give_long_pp_task,     [RIG_BIG] = &give_big_pp_task,
    [RIG_STRING] = &give_string_pp_task, [RIG_ECHO] = &give_back_pp_task,
    [RIG_BYTES] = &give_bytes_pp_task,   [RIG_RAISE] = &raise_it_pp_task,
    [RIG_IN_PLACE] = &give_long_pp_task,
};

/* ---- Submitting ---- */

static PP_ARGS(give_back) echo_items[RIG_MOST_ITEMS];
static PP_ARGS(give_long) other_items[RIG_MOST_ITEMS]; /* those of all others are the same */
static char echo_texts[RIG_MOST_ITEMS][64];

static void make_item(size_t id)
{
    rig.items[id] = (struct rig_item){ .value = value_of((long)id) };
    strcpy(echo_texts[id], text_of((long)id));
    echo_items[id] = (PP_ARGS(give_back)){ (long)id, echo_texts[id] };
    other_items[id] = (PP_ARGS(give_long)){ (long)id };
}

/* As a map that waits does, whose values go to exactly their place. */
static void *place_of_values(size_t count)
{
    void *place;

    pthread_mutex_unlock(&rig.pool->lock);
    place = pp_shared_alloc(rig.pool, count * sizeof(long));
    pthread_mutex_lock(&rig.pool->lock);
    return place;
}

void rig_submit(void)
{
    struct rig_result *made = &rig.results[rig.results_count];
    unsigned kind = input_front(rig.input), how = input_front(rig.input);
    size_t count = 1 + how % MOST_COUNT;
    pp_result *result;

    if (rig.results_count == RIG_MOST_RESULTS || rig.items_count + count > RIG_MOST_ITEMS)
        return;
    *made = (struct rig_result){
        .kind = kind % RIG_KINDS,
        .first = rig.items_count,
        .count = count,
    };
    for (size_t i = 0; i < count; i++)
        make_item(rig.items_count++);
    if (made->kind == RIG_IN_PLACE)
        made->in_place = place_of_values(count);
    made->result = result = ppi_result_new(rig.pool, tasks[made->kind], count, !made->in_place);
    FUZZ_CHECK(result != NULL);
    rig.results_count++;
    if (made->in_place) {
        result->values = made->in_place;
        result->values_borrowed = true;
    }
    result->waits = true;
    result->items = made->kind == RIG_ECHO ? (void *)&echo_items[made->first]
                                           : (void *)&other_items[made->first];
    result->chunksize = how / MOST_COUNT % 8;
    result->limits.retries = (uint16_t)(kind / RIG_KINDS % 3);
    result->limits.time_ns = kind >= 220 ? PPI_SECOND : 0;
    result->stop_on_error = kind / RIG_KINDS % 8 == 7;
    ppi_share(result, result->items, made->in_place);
    ppi_submit(rig.pool, result);
}

/* ---- What is known of items ---- */

static struct rig_result *made_as(const pp_result *result)
{
    for (size_t i = 0; i < rig.results_count; i++)
        if (rig.results[i].result == result)
            return &rig.results[i];
    return NULL;
}

/* The items of a flight; NULL if there is none at this position. */
static struct rig_item *items_at(uint64_t position, size_t *count)
{
    const struct ppi_flight *flight = &rig.pool->flights[position % PPI_WINDOW];
    const struct rig_result *made = flight->result ? made_as(flight->result) : NULL;

    *count = made ? flight->end - flight->begin : 0;
    return made ? &rig.items[made->first + flight->begin] : NULL;
}

void rig_taint(uint64_t position)
{
    size_t count;
    struct rig_item *items = items_at(position, &count);

    for (size_t i = 0; i < count; i++)
        items[i].tainted = true;
}

void rig_harm(uint64_t position)
{
    size_t count;
    struct rig_item *items = items_at(position, &count);

    for (size_t i = 0; i < count; i++)
        items[i].harmed = true;
}

void rig_harm_all(const pp_result *result)
{
    const struct rig_result *made = made_as(result);

    for (size_t i = 0; made && i < made->count; i++)
        rig.items[made->first + i].harmed = true;
}

/* ---- In the end ---- */

bool rig_all_there(void)
{
    for (size_t i = 0; i < rig.results_count; i++)
        if (!ppi_is_there(rig.results[i].result))
            return false;
    return true;
}

union value {
    long number;
    struct big big;
    char *string;
    pp_bytes bytes;
};

static bool is_right(enum rig_kind kind, long id, const union value *value)
{
    switch (kind) {
    case RIG_BIG:
        for (int i = 0; i < BIG_WORDS; i++)
            if (value->big.words[i] != value_of(id) + i)
                return false;
        return true;
    case RIG_STRING:
        return id % 8 == 0 ? !value->string
                           : value->string && strcmp(value->string, text_of(id)) == 0;
    case RIG_ECHO:
        return value->string && strcmp(value->string, text_of(id)) == 0;
    case RIG_BYTES:
        return value->bytes.size == (size_t)id % 60 &&
               memcmp(value->bytes.data, text_of(id), value->bytes.size) == 0;
    default:
        return value->number == value_of(id);
    }
}

/* Whatever it is: it can be read. */
static void read_value(enum rig_kind kind, const union value *value)
{
    volatile size_t sum = 0;

    if ((kind == RIG_STRING || kind == RIG_ECHO) && value->string)
        sum += strlen(value->string);
    for (size_t i = 0; kind == RIG_BYTES && i < value->bytes.size; i++)
        sum += ((const unsigned char *)value->bytes.data)[i];
    (void)sum;
}

/* Its words are words, and it is about what it says. */
static void check_error(const struct rig_result *made, size_t item, const pp_error *error)
{
    FUZZ_CHECK(error->message && strlen(error->message) < PPI_MESSAGE_SIZE);
    FUZZ_CHECK(!error->backtrace || strlen(error->backtrace) > 0);
    FUZZ_CHECK(strcmp(error->function, made->result->task->name) == 0);
    FUZZ_CHECK(error->kind == PP_CANCELLED || error->index == item ||
               error == ppi_rest(made->result));
    FUZZ_CHECK(error->kind >= PP_RAISED && error->kind <= PP_BROKEN);
}

static void check_failed(const struct rig_result *made, size_t item, const pp_error *error)
{
    const struct rig_item *known = &rig.items[made->first + item];
    long id = (long)(made->first + item);

    check_error(made, item, error);
    if (known->tainted || known->harmed || rig.powers.claims || made->result->stop_on_error)
        return;
    FUZZ_CHECK(made->kind == RIG_RAISE && id % 2 && error->kind == PP_RAISED);
    FUZZ_CHECK(error->code == (int)id + 1 && known->honest == 1);
}

static void check_value(const struct rig_result *made, size_t item, const union value *value)
{
    const struct rig_item *known = &rig.items[made->first + item];
    long id = (long)(made->first + item);

    read_value(made->kind, value);
    if (known->tainted || rig.ghost || (rig.powers.claims && rig.powers.seat))
        return;
    FUZZ_CHECK(is_right(made->kind, id, value));
    FUZZ_CHECK(made->kind != RIG_RAISE || id % 2 == 0);
    if (!known->harmed && !rig.powers.claims)
        FUZZ_CHECK(known->honest == 1);
}

static void check_result(struct rig_result *made)
{
    pp_result *result = made->result;
    size_t size = result->task->result_size, failures = 0;
    char *values = made->in_place ? (char *)made->in_place : calloc(made->count, size);

    FUZZ_CHECK(values && result->done == result->count && result->in_flight == 0);
    ppi_hand_out(result, values, true);
    for (size_t i = 0; i < made->count; i++) {
        const pp_error *error = ppi_failure_of_item(result, i, &failures);
        union value value = { 0 };

        memcpy(&value, values + i * size, size);
        if (error)
            check_failed(made, i, error);
        else
            check_value(made, i, &value);
        if (!error && result->task->result_kind != PP_VALUE_)
            free(value.string);
    }
    FUZZ_CHECK(failures == ppi_failed(result));
    ppi_result_destroy(result);
    if (!made->in_place)
        free(values);
}

void rig_check_results(void)
{
    for (size_t i = 0; i < rig.results_count; i++)
        check_result(&rig.results[i]);
    FUZZ_CHECK(rig.pool->used == 0 && rig.pool->open == 0);
    FUZZ_CHECK(ppi_list_empty(&rig.pool->results) && ppi_list_empty(&rig.pool->backlog));
}
