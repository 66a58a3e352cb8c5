/*
 * A pool in libuv's loop, beside a timer: nothing waits for the pool but the loop.
 * Prints: 0 1 4 9 16 (in any order), and the timer's done
 */
#include <procpool.h>
#include <stdio.h>
#include <uv.h>

struct state {
    pp_pool *pool;
    uv_poll_t poll;
    uv_timer_t timer;
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
        printf("%ld ", value);
    pp_result_free(result);
    if (--state->left == 0)
        uv_poll_stop(&state->poll); /* the loop ends when nothing is left in it */
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    struct state *state = poll->data;

    (void)status;
    (void)events;
    pp_poll(state->pool);
}

static void on_timer(uv_timer_t *timer)
{
    struct state *state = timer->data;

    if (state->left > 0)
        return;
    puts("done");
    uv_timer_stop(timer);
}

int main(void)
{
    struct state state = { .left = 5 };
    uv_loop_t *loop = uv_default_loop();
    PP_SCOPED pp_pool *pool = pp_pool_new(.processes = 2, .callbacks = PP_CALLBACKS_POLL);

    if (!pool)
        return 1;
    state.pool = pool;
    state.poll.data = state.timer.data = &state;
    uv_poll_init(loop, &state.poll, pp_pool_fd(pool));
    uv_poll_start(&state.poll, UV_READABLE, on_readable);
    uv_timer_init(loop, &state.timer);
    uv_timer_start(&state.timer, on_timer, 10, 10);
    for (long i = 0; i < 5; i++)
        pp_apply_async(pool, PP_CALL(square, i), .callback = print, .user = &state);
    uv_run(loop, UV_RUN_DEFAULT);

    uv_close((uv_handle_t *)&state.poll, NULL); /* before the pool closes the descriptor */
    uv_close((uv_handle_t *)&state.timer, NULL);
    uv_run(loop, UV_RUN_DEFAULT);
    uv_loop_close(loop);
    return state.left;
}
