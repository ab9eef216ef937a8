// After a job's end: the record that outlives it, and the daemon told if the command never ran.
#define _GNU_SOURCE
#include "keeper.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/wait.h>

// Exit statuses of a keeper whose command never ran, as env(1) has them.
enum { EXIT_REFUSED = 125, EXIT_CANNOT_RUN = 126, EXIT_NOT_FOUND = 127 };

static void write_exit(struct mlos_keeper *keeper, bool all_gone)
{
    struct mlos_text text = {0};
    if (keeper->refusal.error) {
        mlos_text_add(&text, "error_step=%s\nerror_errno=%d\n", keeper->refusal.step, keeper->refusal.error);
    } else if (keeper->ended && keeper->status.si_code == CLD_EXITED) {
        mlos_text_add(&text, "code=%d\n", keeper->status.si_status);
    } else if (keeper->ended) {
        mlos_text_add(&text, "signal=%d\n", keeper->status.si_status);
        mlos_text_add(&text, "core=%d\n", keeper->status.si_code == CLD_DUMPED);
    }
    if (!all_gone)
        mlos_text_add(&text, "survivors=1\n");
    mlos_usage_add(&text, keeper->cgroup);
    mlos_text_add_now(&text);
    mlos_text_add(&text, "end\n");
    mlos_record_write(keeper->exit_record, &text);
}

static void reply_refused(struct mlos_keeper *keeper)
{
    keeper->reply.length = 0;
    mlos_text_add(&keeper->reply, "failed %s %s %d", keeper->id, keeper->refusal.step, keeper->refusal.error);
}

// All is done and written down, so there is time: a daemon that is slow shall hear of every start it asked for.
static void say_last_word(struct mlos_keeper *keeper)
{
    mlos_keeper_send_reply(keeper);
    while (keeper->connection >= 0 && keeper->reply.length) {
        struct pollfd wait = {.fd = keeper->connection, .events = POLLOUT};
        poll(&wait, 1, -1);
        mlos_keeper_send_reply(keeper);
    }
}

int mlos_keeper_exit_status(const struct mlos_keeper *keeper)
{
    if (strcmp(keeper->refusal.step, "exec") == 0)
        return keeper->refusal.error == ENOENT ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
    if (keeper->refusal.error || !keeper->ended)
        return EXIT_REFUSED;
    return keeper->status.si_code == CLD_EXITED ? keeper->status.si_status : 128 + keeper->status.si_status;
}

void mlos_keeper_end(struct mlos_keeper *keeper, bool all_gone)
{
    if (keeper->exit_record >= 0)
        write_exit(keeper, all_gone);
    mlos_observe_end(keeper->observer);
    if (keeper->cgroup_path[0])
        mlos_cgroup_remove(keeper->cgroup_path);
    // Last, so that whoever hears it finds the record complete and the cgroup gone.
    if (keeper->refusal.error)
        reply_refused(keeper);
    say_last_word(keeper);
}
