/* SPDX-License-Identifier: MIT */
/* scenarios.h - what clients do */
#ifndef TESTS_INJECT_SCENARIOS_H
#define TESTS_INJECT_SCENARIOS_H

/* scenario_work.c */
void run_calls(void);
void run_map(void);
void run_shared(void);
void run_strings(void);
void run_full(void);
void run_backlog(void);
void run_imap(void);
void run_imap_unordered(void);
void run_followers(void);
void run_callbacks(void);
void run_poll(void);
void run_search(void);

/* scenario_deaths.c */
void run_crash(void);
void run_retries(void);
void run_report(void);
void run_told(void);
void run_raise(void);
void run_nonsense(void);
void run_damage(void);
void run_owed(void);
void run_spare(void);
void run_broken(void);
void run_no_start(void);

/* scenario_ends.c */
void run_limit(void);
void run_grace(void);
void run_cancel(void);
void run_soon(void);
void run_retire(void);
void run_overdue(void);
void run_resize(void);
void run_terminate(void);
void run_free(void);

#endif
