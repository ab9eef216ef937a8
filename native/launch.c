// From a spec to a process: what must happen between fork and exec. The child says at which step it was refused, over a
// pipe that closes by itself when the command runs.
#define _GNU_SOURCE
#include "shepherd.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static const char OOM_SCORE_ADJ[] = "/proc/self/oom_score_adj";

// What a job gets back: what its keeper was started with, but never protection. "": leave it as it is.
static char job_oom_score[16];

// Keepers are small and remember how jobs ended: the kernel shall look elsewhere first. Refused without privilege.
void mlos_lower_oom_score(void)
{
    mlos_cleanup_close int fd = open(OOM_SCORE_ADJ, O_RDWR | O_CLOEXEC);
    char before[16];
    ssize_t length = fd < 0 ? -1 : read(fd, before, sizeof before - 1);
    if (length <= 0)
        return;
    before[length] = '\0';
    int job = atoi(before) > 0 ? atoi(before) : 0;
    if (pwrite(fd, "-900", 4, 0) == 4 || atoi(before) != job)
        snprintf(job_oom_score, sizeof job_oom_score, "%d", job);
}

static void restore_oom_score(void)
{
    if (!job_oom_score[0])
        return;
    mlos_cleanup_close int fd = open(OOM_SCORE_ADJ, O_WRONLY | O_CLOEXEC);
    if (fd >= 0 && write(fd, job_oom_score, strlen(job_oom_score)) < 0)
        return; // raising it is always allowed; the kernel would have to be broken
}

// Without root a daemon runs jobs of its own user only, and that user's groups are what it has already.
static int become(const struct mlos_spec *spec)
{
    if (geteuid() == 0 && setgroups(spec->group_count, spec->groups) < 0)
        return -errno;
    if (setresgid(spec->gid, spec->gid, spec->gid) < 0 || setresuid(spec->uid, spec->uid, spec->uid) < 0)
        return -errno;
    return 0;
}

// All fds but the standard streams vanish at exec; the report pipe among them tells by vanishing that exec worked.
static void keep_standard_streams_only(void)
{
    if (syscall(SYS_close_range, 3, ~0u, CLOSE_RANGE_CLOEXEC) == 0)
        return; // Linux 5.11
    for (int fd = 3; fd < 1024; fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
}

void mlos_refusal_init(struct mlos_refusal *refusal, const char *step, int error)
{
    *refusal = (struct mlos_refusal){.error = error};
    memcpy(refusal->step, step, strnlen(step, sizeof refusal->step - 1));
}

static __attribute__((noreturn)) void refuse(int report, const char *step, int error)
{
    struct mlos_refusal refusal;
    mlos_refusal_init(&refusal, step, error);
    ssize_t written = write(report, &refusal, sizeof refusal);
    _exit(written == sizeof refusal ? 126 : 125);
}

static __attribute__((noreturn)) void child(const struct mlos_spec *spec, int report, int cgroup_to_join,
                                            const struct mlos_observer *observer, int tell)
{
    int r = cgroup_to_join < 0 ? 0 : mlos_cgroup_write(cgroup_to_join, "cgroup.procs", "0");
    if (r < 0)
        refuse(report, "cgroup-join", -r);
    keep_standard_streams_only();
    if (setsid() < 0)
        refuse(report, "setsid", errno);
    if (spec->terminal && ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0)
        refuse(report, "terminal", errno);
    restore_oom_score();
    mlos_observe_child(observer, tell);
    // The system call takes a mask of any size; the C library's type ends at 1024 CPUs.
    if (spec->affinity_size && syscall(SYS_sched_setaffinity, 0, spec->affinity_size, spec->affinity) < 0)
        refuse(report, "affinity", errno);
    r = become(spec);
    if (r < 0)
        refuse(report, "user", -r);
    umask(spec->umask);
    // As the user: what root may enter is not the point.
    if (chdir(spec->cwd) < 0)
        refuse(report, "chdir", errno);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    environ = spec->env;
    execvp(spec->argv[0], spec->argv);
    refuse(report, "exec", errno);
}

// fork(2) into a cgroup: the child is never anywhere else, not even for an instant (Linux 5.7).
static pid_t fork_into(int cgroup)
{
    struct clone_args how = {.flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (uint64_t)cgroup};
    return (pid_t)syscall(SYS_clone3, &how, sizeof how);
}

// `cgroup` is a directory's fd, or -1.
int mlos_launch(const struct mlos_spec *spec, int cgroup, const struct mlos_observer *observer, int tell,
                struct mlos_child *ret)
{
    int report[2];
    if (pipe2(report, O_CLOEXEC) < 0)
        return -errno;
    pid_t pid = cgroup < 0 ? fork() : fork_into(cgroup);
    int cgroup_to_join = -1;
    // No clone3(2) here, or a sandbox that forbids it: the child joins by itself.
    if (pid < 0 && cgroup >= 0 && (errno == ENOSYS || errno == EPERM || errno == EINVAL || errno == E2BIG)) {
        cgroup_to_join = cgroup;
        pid = fork();
    }
    if (pid == 0)
        child(spec, report[1], cgroup_to_join, observer, tell);
    int error = errno;
    close(report[1]);
    if (pid < 0) {
        close(report[0]);
        return -error;
    }
    *ret = (struct mlos_child){.pid = pid, .report = report[0]};
    return 0;
}
