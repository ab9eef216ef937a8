// The keeper looks at what its job opens, writes and runs, and writes it down. Never in the way: notification only, no
// answer is owed to anybody, and whatever of it fails, the job runs. All is said of what could not be seen.
#define _GNU_SOURCE
#include "observe.h"

#include "keeper.h"

#include <errno.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef FAN_REPORT_TARGET_FID // Linux 5.17
#define FAN_REPORT_TARGET_FID 0x1000
#endif

enum { TOLD, MOUNTS, PROCESSES, EVENTS };

static struct mlos_observer the_observer;

void mlos_observer_partial(struct mlos_observer *observer, enum mlos_reason reason, const char *words)
{
    if (!(observer->said & reason))
        mlos_trace_add(&observer->trace, NULL, "partial %s", words);
    observer->said |= reason;
}

// Never FAN_UNLIMITED_QUEUE: what a job opens faster than it can be written down must not fill the memory.
static void open_group(struct mlos_observer *observer)
{
    unsigned flags = FAN_CLOEXEC | FAN_NONBLOCK | FAN_CLASS_NOTIF | FAN_REPORT_FID | FAN_REPORT_DFID_NAME;
    observer->group = fanotify_init(flags | FAN_REPORT_TARGET_FID, O_RDONLY | O_LARGEFILE | O_CLOEXEC);
    observer->sees_renames = observer->group >= 0;
    if (observer->group < 0 && errno == EINVAL)
        observer->group = fanotify_init(flags, O_RDONLY | O_LARGEFILE | O_CLOEXEC);
    if (observer->group < 0)
        mlos_trace_add(&observer->trace, NULL, "partial no files are seen: fanotify_init: %s", strerror(errno));
}

static void open_processes(struct mlos_observer *observer)
{
    observer->proc_events = mlos_proc_events_open();
    if (observer->proc_events < 0)
        mlos_trace_add(&observer->trace, NULL, "partial no processes are seen: %s", strerror(-observer->proc_events));
}

// Before the fork, so that the child finds all of it. NULL: nobody asked, or the trace cannot be written.
struct mlos_observer *mlos_observe_begin(const struct mlos_spec *spec, int cgroup, int *tell)
{
    struct mlos_observer *observer = &the_observer;
    *tell = -1;
    if (!spec->trace || mlos_trace_init(&observer->trace, spec->trace) < 0)
        return NULL;
    observer->spec = spec;
    observer->self = getpid();
    observer->cgroup = cgroup;
    observer->told = observer->mountinfo = observer->root = observer->proc_events = -1;
    observer->namespaces = (struct mlos_namespaces){
        .of_job = -1,
        .own = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC),
        .own_root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC),
    };
    mlos_observer_saw_streams(observer);
    int ends[2];
    open_group(observer);
    open_processes(observer);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0) {
        observer->told = ends[0];
        *tell = ends[1];
    }
    return observer;
}

// In the child, while it is root.
void mlos_observe_child(const struct mlos_observer *observer, int tell)
{
    if (observer && tell >= 0)
        mlos_namespace_enter(observer->group, tell);
}

void mlos_observe_started(struct mlos_observer *observer, pid_t pid)
{
    if (!observer)
        return;
    mlos_trace_tick(&observer->trace);
    struct mlos_member *member = mlos_members_add(&observer->members, pid, 0);
    if (member && observer->proc_events >= 0)
        mlos_trace_add(&observer->trace, "-", "process %lld %d 0", (long long)observer->trace.now, (int)pid);
}

static void hear_of_namespace(struct mlos_observer *observer)
{
    struct mlos_entered entered;
    struct stat status;
    bool told = mlos_namespace_entered(observer->told, &entered);
    close(observer->told);
    observer->told = -1;
    if (!told || entered.error)
        mlos_trace_add(&observer->trace, NULL, "partial no mount namespace: %s: %s", told ? entered.step : "the job",
                       told ? strerror(entered.error) : "it died");
    observer->mountinfo = entered.mountinfo;
    observer->root = entered.root;
    if (entered.namespace >= 0 && fstat(entered.namespace, &status) == 0)
        observer->namespace = status.st_ino;
    observer->namespaces.of_job = entered.namespace;
    mlos_observer_cover(observer);
}

void mlos_observe_pollfds(const struct mlos_observer *observer, struct pollfd wait[MLOS_OBSERVED])
{
    for (int i = 0; i < MLOS_OBSERVED; i++)
        wait[i] = (struct pollfd){.fd = -1};
    if (!observer)
        return;
    wait[TOLD] = (struct pollfd){.fd = observer->told, .events = POLLIN};
    // Every kernel tells of each change of a namespace in this way; FAN_MARK_MNTNS is of Linux 6.14.
    wait[MOUNTS] = (struct pollfd){.fd = observer->mountinfo, .events = POLLPRI};
    if (observer->proc_events_rest_until <= observer->trace.now)
        wait[PROCESSES] = (struct pollfd){.fd = observer->proc_events, .events = POLLIN};
    if (observer->group_rests_until <= observer->trace.now)
        wait[EVENTS] = (struct pollfd){.fd = observer->group, .events = POLLIN};
}

static int sooner(int timeout_ms, int64_t ns)
{
    int ms = (int)((ns + 999999) / 1000000);
    return timeout_ms < 0 || ms < timeout_ms ? ms : timeout_ms;
}

// How long to wait at most, given what the caller would wait (-1: for ever).
int mlos_observe_timeout_ms(struct mlos_observer *observer, int timeout_ms)
{
    if (!observer)
        return timeout_ms;
    mlos_trace_tick(&observer->trace);
    int64_t now = observer->trace.now;
    if (observer->group_rests_until > now)
        timeout_ms = sooner(timeout_ms, observer->group_rests_until - now);
    if (observer->proc_events_rest_until > now)
        timeout_ms = sooner(timeout_ms, observer->proc_events_rest_until - now);
    int due = mlos_trace_due_ms(&observer->trace);
    return due < 0 ? timeout_ms : sooner(timeout_ms, due * INT64_C(1000000));
}

// Processes first: an event of a file names one, and it was there before.
static bool take_all(struct mlos_observer *observer)
{
    mlos_observer_read_processes(observer);
    bool drained = mlos_observer_read_events(observer);
    if (drained)
        mlos_observer_settle_processes(observer);
    return drained;
}

void mlos_observe_handle(struct mlos_observer *observer, const struct pollfd wait[MLOS_OBSERVED])
{
    if (!observer)
        return;
    mlos_trace_tick(&observer->trace);
    if (wait[TOLD].revents)
        hear_of_namespace(observer);
    if (wait[MOUNTS].revents) {
        take_all(observer); // of what may be gone a moment later
        mlos_observer_cover(observer);
    }
    if (wait[PROCESSES].revents || wait[EVENTS].revents)
        take_all(observer);
    mlos_trace_flush_if_due(&observer->trace);
}

// The kernel takes milliseconds to dissolve a group and a namespace, and whoever has the last fd waits. That shall not
// be the keeper, whose end is the end of the job. A child of our parent: where nobody reaps orphans, it leaves nothing.
static void leave_it_to_another(const struct mlos_observer *observer)
{
    struct clone_args how = {.flags = CLONE_PARENT};
    if (observer->group >= 0 && syscall(SYS_clone3, &how, sizeof how) == 0)
        _exit(0);
}

// Nothing of the job is left; what it did is still in the queues.
void mlos_observe_end(struct mlos_observer *observer)
{
    if (!observer)
        return;
    mlos_trace_tick(&observer->trace);
    if (observer->told >= 0)
        hear_of_namespace(observer);
    while (!take_all(observer))
        continue;
    mlos_observer_look_again(observer);
    mlos_trace_add(&observer->trace, NULL, "end %lld", (long long)observer->trace.now);
    mlos_trace_deinit(&observer->trace);
    leave_it_to_another(observer);
}
