// Which processes belong to the job, and whether one of them went where our marks do not reach.
#define _GNU_SOURCE
#include "observe.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST_RECORDS = 1 << 20, ROUNDS = 64 };
// A machine may fork all the time without our job: then we look a hundred times a second, not at each.
static const int64_t REST = 10 * 1000 * 1000;

static void tell_process(struct mlos_observer *observer, const struct mlos_member *member)
{
    if (observer->process_records++ >= MOST_RECORDS) {
        mlos_observer_partial(observer, MLOS_TOO_MANY_PROCESSES, "more processes than are remembered: 1048576");
        return;
    }
    mlos_trace_add(&observer->trace, member->executable ? member->executable : "-", "process %lld %d %d",
                   (long long)observer->trace.now, (int)member->pid, (int)member->parent);
}

static void set_executable(struct mlos_member *member, const char *path)
{
    free(member->executable);
    member->executable = path ? strdup(path) : NULL;
}

enum place { HERE, ELSEWHERE, GONE };

static enum place place_of(const struct mlos_observer *observer, pid_t pid)
{
    char path[64];
    struct stat status;
    snprintf(path, sizeof path, "/proc/%d/ns/mnt", (int)pid);
    if (stat(path, &status) < 0)
        return GONE;
    return observer->namespace && status.st_ino != observer->namespace ? ELSEWHERE : HERE;
}

static void say_elsewhere(struct mlos_observer *observer, const struct mlos_member *member)
{
    if (observer->said & MLOS_UNSEEN_NAMESPACE)
        return;
    observer->said |= MLOS_UNSEEN_NAMESPACE;
    mlos_trace_add(&observer->trace, member->executable ? member->executable : "a process",
                   "partial another mount namespace:");
}

static bool forked(struct mlos_observer *observer, const struct mlos_proc_event *event)
{
    if (!mlos_members_find(&observer->members, event->parent))
        return false;
    struct mlos_member *member = mlos_members_add(&observer->members, event->pid, event->parent);
    if (!member)
        return true;
    const struct mlos_member *parent = mlos_members_find(&observer->members, event->parent);
    set_executable(member, parent ? parent->executable : NULL);
    if (place_of(observer, event->pid) == ELSEWHERE)
        say_elsewhere(observer, member);
    tell_process(observer, member);
    return true;
}

static bool execed(struct mlos_observer *observer, const struct mlos_proc_event *event)
{
    struct mlos_member *member = mlos_members_find(&observer->members, event->pid);
    if (!member)
        return false;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/%d/exe", (int)event->pid);
    ssize_t length = readlink(link, path, sizeof path - 1);
    enum place place = length > 0 ? place_of(observer, event->pid) : GONE;
    member->execs++;
    member->unchecked = place == GONE;
    if (place == GONE)
        return true; // the marks may have seen what it was
    path[length] = '\0';
    set_executable(member, path);
    if (place == ELSEWHERE)
        say_elsewhere(observer, member);
    tell_process(observer, member);
    return true;
}

static bool ended(struct mlos_observer *observer, const struct mlos_proc_event *event)
{
    struct mlos_member *member = mlos_members_find(&observer->members, event->pid);
    if (!member)
        return false;
    member->exited = observer->members.some_exited = true;
    member->status = event->status;
    return true;
}

static bool saw(struct mlos_observer *observer, const struct mlos_proc_event *event)
{
    switch (event->what) {
    case MLOS_FORKED:
        return forked(observer, event);
    case MLOS_EXECED:
        return execed(observer, event);
    case MLOS_EXITED:
        return ended(observer, event);
    default:
        return false;
    }
}

static void add_stranger(struct mlos_observer *observer, pid_t pid)
{
    if (pid <= 1 || mlos_members_find(&observer->members, pid))
        return;
    struct mlos_member *member = mlos_members_add(&observer->members, pid, 0);
    if (!member)
        return;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/%d/exe", (int)pid);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = '\0';
    set_executable(member, length > 0 ? path : NULL);
    tell_process(observer, member);
}

// Events were lost: those who are there now are found, those who came and went are not.
static void find_members_again(struct mlos_observer *observer)
{
    mlos_observer_partial(observer, MLOS_PROCESSES_LOST, "processes began faster than they could be seen");
    for (size_t i = 0; i < observer->members.count; i++) {
        struct mlos_member *member = &observer->members.all[i];
        if (kill(member->pid, 0) < 0 && errno == ESRCH)
            member->exited = observer->members.some_exited = true;
    }
    mlos_cleanup_close int fd =
        observer->cgroup < 0 ? -1 : openat(observer->cgroup, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    char text[4096];
    long pid = 0;
    for (ssize_t length; fd >= 0 && (length = read(fd, text, sizeof text)) > 0;) {
        for (ssize_t i = 0; i < length; i++) {
            if (text[i] != '\n') {
                pid = pid * 10 + (text[i] - '0');
                continue;
            }
            add_stranger(observer, (pid_t)pid);
            pid = 0;
        }
    }
}

void mlos_observer_read_processes(struct mlos_observer *observer)
{
    struct mlos_proc_event events[MLOS_PROC_EVENTS];
    bool any = false, ours = false;
    for (int round = 0, count = 1; round < ROUNDS && observer->proc_events >= 0; round++) {
        count = mlos_proc_events_read(observer->proc_events, events);
        if (count == -ENOBUFS)
            find_members_again(observer);
        else if (count <= 0)
            break;
        for (int i = 0; i < count; i++)
            ours |= saw(observer, &events[i]);
        any |= count > 0;
    }
    if (any && !ours)
        observer->proc_events_rest_until = observer->trace.now + REST;
}

static bool is_a_loader(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    return strncmp(name, "ld-", 3) == 0 || strncmp(name, "ld.", 3) == 0 || strncmp(name, "ld64.", 5) == 0;
}

// A mark saw the opening of a program, by which the kernel begins execve(2).
void mlos_observer_saw_program(struct mlos_observer *observer, pid_t pid, const char *path)
{
    if (path && is_a_loader(path))
        return;
    // Its fork was told before it could open anything, but maybe after we last listened.
    if (!mlos_members_find(&observer->members, pid))
        mlos_observer_read_processes(observer);
    struct mlos_member *member = mlos_members_find(&observer->members, pid);
    if (!member)
        return;
    member->seen++;
    free(member->opened);
    member->opened = path ? strdup(path) : NULL;
}

// Once all events of the group are read. Who became a program that no mark saw being opened, and was gone before we
// could look, may have been in a namespace of its own.
void mlos_observer_settle_processes(struct mlos_observer *observer)
{
    if (!observer->members.some_exited)
        return;
    for (size_t i = 0; i < observer->members.count; i++) {
        struct mlos_member *member = &observer->members.all[i];
        if (!member->exited)
            continue;
        if (member->unchecked) {
            set_executable(member, member->opened);
            tell_process(observer, member);
            if (member->seen < member->execs)
                say_elsewhere(observer, member);
        }
        if (observer->process_records <= MOST_RECORDS)
            mlos_trace_add(&observer->trace, NULL, "exited %lld %d %u", (long long)observer->trace.now,
                           (int)member->pid, member->status);
    }
    mlos_members_forget_exited(&observer->members);
    observer->members.some_exited = false;
}
