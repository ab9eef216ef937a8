// The descendants of the keeper, where there is no cgroup to ask. The keeper is their subreaper, so whoever loses its
// parent becomes the keeper's child: no descendant gets away, and one that forks faster than we look is seen next time.
#define _GNU_SOURCE
#include "shepherd.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct relative {
    pid_t pid, parent;
    char state;
    bool ours;
};

struct family {
    size_t count, room;
    struct relative *members;
};

static bool read_relative(int proc, const char *name, struct relative *ret)
{
    char path[32];
    snprintf(path, sizeof path, "%.20s/stat", name);
    mlos_cleanup_close int fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
    char stat[512];
    ssize_t length = fd < 0 ? -1 : read(fd, stat, sizeof stat - 1);
    if (length <= 0)
        return false;
    stat[length] = '\0';
    char *at = strrchr(stat, ')');
    int parent;
    *ret = (struct relative){.pid = (pid_t)atoi(stat)};
    if (!at || sscanf(at, ") %c %d", &ret->state, &parent) != 2)
        return false;
    ret->parent = (pid_t)parent;
    return true;
}

// One pass over /proc: only in the rare case that a job leaves something behind.
static struct family read_everybody(void)
{
    struct family all = {0};
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; proc && (entry = readdir(proc));) {
        struct relative one;
        if (!isdigit((unsigned char)entry->d_name[0]) || !read_relative(dirfd(proc), entry->d_name, &one))
            continue;
        if (all.count == all.room) {
            size_t room = all.room ? all.room * 2 : 256;
            struct relative *members = realloc(all.members, room * sizeof *members);
            if (!members)
                break;
            all.members = members;
            all.room = room;
        }
        all.members[all.count++] = one;
    }
    if (proc)
        closedir(proc);
    return all;
}

static int by_pid(const void *a, const void *b)
{
    pid_t left = ((const struct relative *)a)->pid, right = ((const struct relative *)b)->pid;
    return (left > right) - (left < right);
}

// /proc lists processes by their pid (next_tgid() of fs/proc/base.c), so it can be searched as it was read.
static bool is_ours(const struct family *all, pid_t pid)
{
    struct relative key = {.pid = pid};
    const struct relative *found = bsearch(&key, all->members, all->count, sizeof key, by_pid);
    return found && found->ours;
}

static void mark_descendants(struct family *all)
{
    pid_t self = getpid();
    for (bool found = true; found;) {
        found = false;
        for (size_t i = 0; i < all->count; i++) {
            struct relative *one = &all->members[i];
            if (one->ours || (one->parent != self && !is_ours(all, one->parent)))
                continue;
            one->ours = found = true;
        }
    }
}

// A pid that we read may be another's by now; through a pidfd, and its parent read again, it is not.
static void send(const struct relative *to, int signal)
{
    mlos_cleanup_close int pidfd = (int)syscall(SYS_pidfd_open, to->pid, 0);
    char name[16];
    snprintf(name, sizeof name, "/proc/%d", (int)to->pid);
    struct relative now;
    if (pidfd < 0 || !read_relative(AT_FDCWD, name, &now))
        return;
    if (now.parent == to->parent || now.parent == getpid())
        syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0);
}

void mlos_family_signal(int signal)
{
    struct family all = read_everybody();
    mark_descendants(&all);
    for (size_t i = 0; i < all.count; i++)
        if (all.members[i].ours && all.members[i].state != 'Z')
            send(&all.members[i], signal);
    free(all.members);
}

// Our children only: whoever loses its parent becomes one, so that with a few calls all are gone. One short file, no pass
// over /proc, or a process that forks and exits as fast as it can would never be met. Nobody else reaps our children:
// their pids are theirs.
void mlos_family_kill(void)
{
    mlos_cleanup_close int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        mlos_family_signal(SIGKILL); // no CONFIG_PROC_CHILDREN
        return;
    }
    char text[4096];
    long pid = 0;
    for (ssize_t length; (length = read(fd, text, sizeof text)) > 0;) {
        for (ssize_t i = 0; i < length; i++) {
            if (text[i] != ' ') {
                pid = pid * 10 + (text[i] - '0');
                continue;
            }
            if (pid > 1)
                kill((pid_t)pid, SIGKILL);
            pid = 0;
        }
    }
}

// SIGSTOP until a look finds nobody running: those that were not stopped yet may have forked meanwhile.
void mlos_family_stop(void)
{
    bool running = true;
    for (int pass = 0; running && pass < 16; pass++) {
        struct family all = read_everybody();
        mark_descendants(&all);
        running = false;
        for (size_t i = 0; i < all.count; i++) {
            const struct relative *one = &all.members[i];
            if (!one->ours || strchr("TtZX", one->state))
                continue;
            send(one, SIGSTOP);
            running = true;
        }
        free(all.members);
        sched_yield();
    }
}
