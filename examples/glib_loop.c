/*
 * A pool in GLib's main loop, and so in that of a GTK program: the callbacks run in the
 * main thread, where they may touch widgets.  Prints: 0 1 4 9 16 (in any order)
 */
#include <glib-unix.h>
#include <procpool.h>
#include <stdio.h>

struct state {
    GMainLoop *loop;
    int left;
};

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

static void print(pp_result *result, void *user)
{
    struct state *state = user;
    long value;

    if (pp_get(result, &value) == 0)
        printf("%ld%c", value, --state->left ? ' ' : '\n');
    pp_result_free(result);
    if (state->left == 0)
        g_main_loop_quit(state->loop);
}

static gboolean on_readable(gint fd, GIOCondition condition, gpointer pool)
{
    (void)fd;
    (void)condition;
    pp_poll(pool);
    return G_SOURCE_CONTINUE;
}

int main(void)
{
    struct state state = { .left = 5 };
    PP_SCOPED pp_pool *pool = pp_pool_new(.processes = 2, .callbacks = PP_CALLBACKS_POLL);

    if (!pool)
        return 1;
    state.loop = g_main_loop_new(NULL, FALSE);
    guint source = g_unix_fd_add(pp_pool_fd(pool), G_IO_IN, on_readable, pool);

    for (long i = 0; i < 5; i++)
        pp_apply_async(pool, PP_CALL(square, i), .callback = print, .user = &state);
    g_main_loop_run(state.loop);

    g_source_remove(source); /* before the pool closes the descriptor */
    g_main_loop_unref(state.loop);
    return state.left;
}
