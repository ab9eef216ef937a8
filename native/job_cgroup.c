// The cgroup (v2) of one job: made, written, emptied, removed; see the kernel's admin-guide/cgroup-v2.
#define _GNU_SOURCE
#include "shepherd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEEPEST = 64 };

// Returns the directory's fd. One that is left over and empty is made anew, so that it counts from zero.
int mlos_cgroup_make(const char *path)
{
    int r = mkdir(path, 0755) < 0 ? -errno : 0;
    if (r == -EEXIST) {
        r = mlos_cgroup_remove(path);
        if (r == 0)
            r = mkdir(path, 0755) < 0 ? -errno : 0;
    }
    if (r < 0)
        return r;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 ? -errno : fd;
}

// One write(2) per value: the kernel parses each write on its own.
int mlos_cgroup_write(int cgroup, const char *file, const char *value)
{
    mlos_cleanup_close int fd = openat(cgroup, file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    return fd < 0 || write(fd, value, strlen(value)) < 0 ? -errno : 0;
}

// As much as fits; always ended by NUL.
ssize_t mlos_cgroup_read(int cgroup, const char *file, char *buffer, size_t size)
{
    mlos_cleanup_close int fd = openat(cgroup, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t length = fd < 0 ? -1 : read(fd, buffer, size - 1);
    buffer[length > 0 ? length : 0] = '\0';
    return length < 0 ? -errno : length;
}

// `events` is the open cgroup.events; poll(2) tells with POLLPRI when it changed.
bool mlos_cgroup_populated(int events)
{
    char text[128];
    ssize_t length = pread(events, text, sizeof text - 1, 0);
    text[length > 0 ? length : 0] = '\0';
    return strstr(text, "populated 1") != NULL;
}

static void signal_members(int cgroup, int signal)
{
    mlos_cleanup_close int fd = openat(cgroup, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    char text[4096];
    long pid = 0;
    for (ssize_t length; fd >= 0 && (length = read(fd, text, sizeof text)) > 0;) {
        for (ssize_t i = 0; i < length; i++) {
            if (text[i] != '\n') {
                pid = pid * 10 + (text[i] - '0');
                continue;
            }
            // 0 is a process of another PID namespace; kill(2) would take it for our own process group.
            if (pid > 1)
                kill((pid_t)pid, signal);
            pid = 0;
        }
    }
}

// Call `act` for the cgroup and all below it, the deepest first. A job may have made cgroups of its own.
static void walk(int cgroup, int depth, void (*act)(int cgroup, int argument), int argument)
{
    int copy = depth < DEEPEST ? openat(cgroup, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    DIR *directory = copy < 0 ? NULL : fdopendir(copy);
    if (!directory) {
        mlos_close(&copy);
        return;
    }
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (entry->d_type != DT_DIR || entry->d_name[0] == '.')
            continue;
        mlos_cleanup_close int child = openat(copy, entry->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (child < 0)
            continue;
        walk(child, depth + 1, act, argument);
    }
    act(copy, argument);
    closedir(directory);
}

void mlos_cgroup_signal(int cgroup, int signal)
{
    walk(cgroup, 0, signal_members, signal);
}

void mlos_cgroup_kill(int cgroup)
{
    // Linux 5.14. Before: nothing forks in a frozen cgroup, and SIGKILL reaches into it.
    if (mlos_cgroup_write(cgroup, "cgroup.kill", "1") == 0)
        return;
    mlos_cgroup_write(cgroup, "cgroup.freeze", "1");
    mlos_cgroup_signal(cgroup, SIGKILL);
}

static void remove_children(int cgroup, int unused)
{
    (void)unused;
    int copy = openat(cgroup, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *directory = copy < 0 ? NULL : fdopendir(copy);
    if (!directory) {
        mlos_close(&copy);
        return;
    }
    for (struct dirent *entry; (entry = readdir(directory));)
        if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
            unlinkat(copy, entry->d_name, AT_REMOVEDIR);
    closedir(directory);
}

int mlos_cgroup_remove(const char *path)
{
    if (rmdir(path) == 0)
        return 0;
    mlos_cleanup_close int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return -errno;
    walk(fd, 0, remove_children, 0);
    return rmdir(path) < 0 ? -errno : 0;
}
