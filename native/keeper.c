// The keeper: one small process per job. Starts the command, waits for it, sees that nothing of it survives, and writes
// down how it ended. Owns the job's directory and cgroup; must not own anything that outlives the job.
#define _GNU_SOURCE
#include "keeper.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

int mlos_keeper_refused(struct mlos_keeper *keeper, const char *step, int error)
{
    if (!keeper->refusal.error)
        mlos_refusal_init(&keeper->refusal, step, error < 0 ? -error : error);
    return -1;
}

// A daemon that does not read must not keep us from our job: what does not fit now is said later.
void mlos_keeper_send_reply(struct mlos_keeper *keeper)
{
    if (keeper->reply.length == 0 || keeper->connection < 0)
        return;
    ssize_t n = send(keeper->connection, keeper->reply.bytes, keeper->reply.length, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    close(keeper->connection);
    keeper->connection = -1;
    keeper->reply.length = 0;
}

static int write_started(struct mlos_keeper *keeper)
{
    struct mlos_text text = {0};
    pid_t self = getpid();
    mlos_text_add(&text, "keeper=%d\nkeeper_start=%llu\n", (int)self, (unsigned long long)mlos_start_time(self));
    mlos_text_add(&text, "pid=%d\npid_start=%llu\n", (int)keeper->child.pid,
                  (unsigned long long)mlos_start_time(keeper->child.pid));
    if (keeper->cgroup_path[0])
        mlos_text_add(&text, "cgroup=%s\n", keeper->cgroup_path);
    mlos_text_add(&text, "boot_id=%s\n", mlos_boot_id());
    mlos_text_add_now(&text);
    mlos_text_add(&text, "%s", keeper->knob_errors.bytes);
    int r = mlos_record_write(keeper->started_record, &text);
    if (r < 0)
        return r;
    return renameat(keeper->directory, "started.new", keeper->directory, "started") < 0 ? -errno : 0;
}

// The streams are the job's now: whoever reads its output shall see the end when the job closes it, not the keeper.
static void let_go_of_streams(void)
{
    for (int fd = 0; fd <= 2; fd++)
        dup2(MLOS_NULL_FD, fd);
}

// systemd makes a terminal that is our standard input our controlling terminal (its setup_input()), and a terminal
// controls one session only. Our signals are blocked, so the hangup does not reach us.
static void let_go_of_terminal(const struct mlos_keeper *keeper)
{
    if (keeper->spec.terminal)
        ioctl(STDIN_FILENO, TIOCNOTTY);
}

static int start(struct mlos_keeper *keeper)
{
    let_go_of_terminal(keeper);
    mlos_cleanup_close int tell = -1;
    keeper->observer = mlos_observe_begin(&keeper->spec, keeper->cgroup, &tell);
    int r = mlos_launch(&keeper->spec, keeper->cgroup, keeper->observer, tell, &keeper->child);
    if (r < 0)
        return mlos_keeper_refused(keeper, "fork", r);
    let_go_of_streams();
    mlos_observe_started(keeper->observer, keeper->child.pid);
    r = write_started(keeper);
    if (r < 0) {
        // Nobody could find the job again: it must not run.
        mlos_keeper_refused(keeper, "started", r);
        mlos_keeper_kill(keeper);
    }
    return 0;
}

static int open_signals(void)
{
    // Blocked means: never taken by surprise, and nothing to put back in the child but the mask.
    sigset_t all, wanted;
    sigfillset(&all);
    sigprocmask(SIG_SETMASK, &all, NULL);
    struct sigaction reaping = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDSTOP};
    sigaction(SIGCHLD, &reaping, NULL);
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGCHLD);
    sigaddset(&wanted, SIGTERM);
    for (int i = 1; i <= 3; i++)
        sigaddset(&wanted, SIGRTMIN + i);
    int fd = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    return fd < 0 ? -errno : fd;
}

static int keep(struct mlos_keeper *keeper, const char *jobdir)
{
    prctl(PR_SET_NAME, "mlos-keeper");
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    keeper->signals = open_signals();
    bool all_gone = true;
    if (keeper->signals < 0)
        mlos_keeper_refused(keeper, "signals", keeper->signals);
    else if (mlos_keeper_prepare(keeper, jobdir) == 0 && start(keeper) == 0)
        all_gone = mlos_keeper_stay(keeper);
    mlos_keeper_end(keeper, all_gone);
    return mlos_keeper_exit_status(keeper);
}

static struct mlos_keeper the_keeper = {
    .directory = -1,
    .exit_record = -1,
    .started_record = -1,
    .connection = -1,
    .signals = -1,
    .cgroup = -1,
    .events = -1,
    .child.report = -1,
};

int mlos_keeper_serve(const char *id, const char *jobdir)
{
    the_keeper.id = id;
    the_keeper.connection = MLOS_CONNECTION_FD;
    return keep(&the_keeper, jobdir);
}

int mlos_keeper_alone(const char *jobdir)
{
    return keep(&the_keeper, jobdir);
}
