// One job in the hands of its keeper: shared by keeper.c, prepare.c, stay.c and ending.c, which follow one another.
#pragma once

#include "shepherd.h"

#include <poll.h>
#include <signal.h>

enum mlos_phase { MLOS_RUNNING, MLOS_STOPPING, MLOS_KILLING };

struct mlos_keeper {
    const char *id;
    struct mlos_spec spec;
    char cgroup_path[4096];
    int directory, exit_record, started_record; // the job's directory and two files in it
    int connection, signals;
    int cgroup, events;
    struct mlos_child child;
    struct mlos_observer *observer; // NULL: nobody asked what the job uses
    struct mlos_refusal refusal;  // error 0: none
    struct mlos_text reply;       // length 0: said, or not yet known
    struct mlos_text knob_errors; // lines for `started`
    enum mlos_phase phase;
    int64_t deadline; // of the phase, CLOCK_MONOTONIC in ms
    bool ended;       // the main process; `status` is its end
    bool alone;       // no descendant is left
    siginfo_t status;
};

// Note why the command never ran (the first reason counts). Returns -1.
int mlos_keeper_refused(struct mlos_keeper *keeper, const char *step, int error);
void mlos_keeper_send_reply(struct mlos_keeper *keeper);

int mlos_keeper_prepare(struct mlos_keeper *keeper, const char *jobdir); // prepare.c; -1: refused
void mlos_keeper_kill(struct mlos_keeper *keeper);                      // stay.c
bool mlos_keeper_stay(struct mlos_keeper *keeper);                      // stay.c; false: something survived
void mlos_keeper_end(struct mlos_keeper *keeper, bool all_gone);        // ending.c
int mlos_keeper_exit_status(const struct mlos_keeper *keeper);          // ending.c

// observe.c: what the job opens, writes and runs. An observer may be NULL: then nothing happens.
enum { MLOS_OBSERVED = 4 }; // things that it waits for

struct mlos_observer *mlos_observe_begin(const struct mlos_spec *spec, int cgroup, int *tell);
void mlos_observe_started(struct mlos_observer *observer, pid_t pid);
void mlos_observe_pollfds(const struct mlos_observer *observer, struct pollfd wait[MLOS_OBSERVED]);
int mlos_observe_timeout_ms(struct mlos_observer *observer, int timeout_ms);
void mlos_observe_handle(struct mlos_observer *observer, const struct pollfd wait[MLOS_OBSERVED]);
void mlos_observe_end(struct mlos_observer *observer);
