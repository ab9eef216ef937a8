// While a job runs: wait for its end, stop it when asked, and see that nothing of it survives.
#define _GNU_SOURCE
#include "keeper.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    KILL_AGAIN_MS = 50,
    GIVE_UP_MS = 10 * 1000, // what SIGKILL has not ended by then waits for a disk or a driver
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000) + now.tv_nsec / 1000000;
}

// The report pipe became readable: a refusal, or its end.
static void read_report(struct mlos_keeper *keeper)
{
    struct mlos_refusal refusal;
    ssize_t length = read(keeper->child.report, &refusal, sizeof refusal);
    close(keeper->child.report);
    keeper->child.report = -1;
    if (length == sizeof refusal)
        mlos_keeper_refused(keeper, refusal.step, refusal.error);
    if (keeper->refusal.error)
        return;
    mlos_text_add(&keeper->reply, "started %s %d %d", keeper->id, (int)getpid(), (int)keeper->child.pid);
    if (keeper->connection < 0)
        mlos_notify_ready();
}

static bool populated(const struct mlos_keeper *keeper)
{
    return keeper->events >= 0 && mlos_cgroup_populated(keeper->events);
}

static void signal_all(struct mlos_keeper *keeper, int signal)
{
    if (populated(keeper))
        mlos_cgroup_signal(keeper->cgroup, signal);
    else if (!keeper->alone)
        mlos_family_signal(signal);
}

void mlos_keeper_kill(struct mlos_keeper *keeper)
{
    if (keeper->phase != MLOS_KILLING)
        keeper->deadline = now_ms() + GIVE_UP_MS;
    keeper->phase = MLOS_KILLING;
    if (populated(keeper))
        mlos_cgroup_kill(keeper->cgroup);
    else if (!keeper->alone)
        mlos_family_kill();
}

static void stop_all(struct mlos_keeper *keeper)
{
    if (keeper->phase != MLOS_RUNNING)
        return;
    keeper->phase = MLOS_STOPPING;
    keeper->deadline = now_ms() + keeper->spec.grace_ms;
    signal_all(keeper, SIGTERM);
    // Who is frozen or stopped cannot end in good order.
    if (keeper->cgroup >= 0)
        mlos_cgroup_write(keeper->cgroup, "cgroup.freeze", "0");
    signal_all(keeper, SIGCONT);
}

static void reap(struct mlos_keeper *keeper)
{
    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG) < 0) {
            keeper->alone = errno == ECHILD;
            return;
        }
        if (info.si_pid == 0)
            return;
        if (info.si_pid != keeper->child.pid)
            continue;
        keeper->ended = true;
        keeper->status = info;
    }
}

static void handle_signal(struct mlos_keeper *keeper)
{
    struct signalfd_siginfo info;
    while (read(keeper->signals, &info, sizeof info) == sizeof info) {
        int signal = (int)info.ssi_signo;
        if (signal == SIGTERM)
            stop_all(keeper);
        else if (signal == SIGRTMIN + 1)
            mlos_family_stop();
        else if (signal == SIGRTMIN + 2)
            mlos_family_signal(SIGCONT);
        else if (signal == SIGRTMIN + 3)
            mlos_keeper_kill(keeper);
    }
}

static int timeout_ms(const struct mlos_keeper *keeper)
{
    if (keeper->phase == MLOS_KILLING)
        return KILL_AGAIN_MS;
    if (keeper->phase == MLOS_RUNNING)
        return -1;
    int64_t left = keeper->deadline - now_ms();
    return left < 0 ? 0 : left > INT32_MAX ? INT32_MAX : (int)left;
}

static void wait_for_something(struct mlos_keeper *keeper)
{
    enum { OURS = 4 };
    struct pollfd wait[OURS + MLOS_OBSERVED] = {
        {.fd = keeper->signals, .events = POLLIN},
        {.fd = keeper->child.report, .events = POLLIN},
        {.fd = keeper->phase == MLOS_RUNNING ? -1 : keeper->events, .events = POLLPRI},
        {.fd = keeper->reply.length ? keeper->connection : -1, .events = POLLOUT},
    };
    int timeout = mlos_observe_timeout_ms(keeper->observer, timeout_ms(keeper));
    mlos_observe_pollfds(keeper->observer, wait + OURS);
    if (poll(wait, sizeof wait / sizeof wait[0], timeout) < 0)
        return;
    if (wait[0].revents)
        handle_signal(keeper);
    if (wait[1].revents)
        read_report(keeper);
    mlos_observe_handle(keeper->observer, wait + OURS);
}

// Until the main process has ended and nothing of the job is left, or nothing more can be done.
bool mlos_keeper_stay(struct mlos_keeper *keeper)
{
    for (;;) {
        reap(keeper);
        // The report is there before the child can be: a refusal is not missed.
        if (keeper->ended && keeper->child.report >= 0)
            read_report(keeper);
        mlos_keeper_send_reply(keeper);
        if (keeper->ended && keeper->alone && !populated(keeper))
            return true;
        if (keeper->ended && keeper->phase == MLOS_RUNNING)
            stop_all(keeper);
        if (keeper->phase == MLOS_KILLING || (keeper->phase == MLOS_STOPPING && now_ms() >= keeper->deadline))
            mlos_keeper_kill(keeper);
        if (keeper->phase == MLOS_KILLING && now_ms() >= keeper->deadline)
            return false;
        wait_for_something(keeper);
    }
}
