// Standard input, output and error that are files: `train.py <data.csv >model.bin`. They were opened before there was a
// job, and no event tells of them.
#define _GNU_SOURCE
#include "observe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct sized_handle {
    struct file_handle head;
    unsigned char bytes[MAX_HANDLE_SZ];
};

static bool handle_of(int directory, const char *path, int flags, struct sized_handle *ret)
{
    int mount_id;
    ret->head.handle_bytes = MAX_HANDLE_SZ;
    return name_to_handle_at(directory, path, &ret->head, &mount_id, flags) == 0;
}

static unsigned mount_id_of(int fd)
{
    char path[48], text[512];
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    mlos_cleanup_close int info = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length = info < 0 ? -1 : read(info, text, sizeof text - 1);
    text[length > 0 ? length : 0] = '\0';
    const char *field = strstr(text, "mnt_id:");
    return field ? (unsigned)strtoul(field + 7, NULL, 10) : 0;
}

// Nothing but /proc is asked until this says that the file is on this machine.
static bool is_data(const struct mlos_mounts *mounts, unsigned mount_id)
{
    for (size_t i = 0; i < mounts->count; i++)
        if (mounts->all[i].id == mount_id)
            return mounts->all[i].kind == MLOS_DATA;
    return false;
}

// What the daemon keeps of the job's output lies beside the directory of traces, and is nothing that the job made.
static bool is_the_daemons(const char *path, const char *trace)
{
    const char *slash = strrchr(trace, '/');
    while (slash > trace && slash[-1] != '/')
        slash--;
    return slash > trace && strncmp(path, trace, (size_t)(slash - trace)) == 0;
}

static bool parent_of(const struct mlos_mounts *mounts, const char *path, struct sized_handle *ret)
{
    char directory[MLOS_PATH_SIZE];
    snprintf(directory, sizeof directory, "%.*s", (int)(strrchr(path, '/') - path), path);
    const struct mlos_mount way = {.target = directory};
    return !mlos_mounts_in_the_way(mounts, &way) && handle_of(AT_FDCWD, directory[0] ? directory : "/", 0, ret);
}

static void saw_stream(struct mlos_observer *observer, const struct mlos_mounts *mounts, int fd)
{
    struct statx status;
    struct sized_handle object, parent;
    char link[32], path[MLOS_PATH_SIZE];
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || flags & O_PATH || !is_data(mounts, mount_id_of(fd)) ||
        statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &status) < 0 || !S_ISREG(status.stx_mode) ||
        !handle_of(fd, "", AT_EMPTY_PATH, &object))
        return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = status.stx_nlink ? readlink(link, path, sizeof path - 1) : 0;
    path[length > 0 ? length : 0] = '\0';
    if (is_the_daemons(path, observer->spec->trace))
        return;
    struct mlos_sight sight = {.pid = getpid(), .fsid = mlos_fsid_of(fd), .object = &object.head};
    struct mlos_file *file = mlos_files_add(&observer->files, sight.fsid, sight.object);
    if (!file || file->modes)
        return;
    if (path[0] == '/' && parent_of(mounts, path, &parent))
        sight.parent = &parent.head;
    int access = flags & O_ACCMODE;
    file->number = observer->files.next_number++;
    file->modes = (uint8_t)((access == O_WRONLY ? 0 : MLOS_READ) | (access == O_RDONLY ? 0 : MLOS_WRITE));
    mlos_tell_file(&observer->trace, file, &sight, &status, true, path[0] == '/' ? path : NULL);
    // The keeper looks at it when all is over: it is never closed while we can hear it.
    if (access != O_RDONLY)
        mlos_files_write(&observer->files, file, sight.fsid, sight.object);
}

void mlos_observer_saw_streams(struct mlos_observer *observer)
{
    struct mlos_mounts mounts;
    mlos_cleanup_close int mountinfo = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    if (mountinfo < 0 || mlos_mounts_init(&mounts, mountinfo) < 0)
        return;
    for (int fd = 0; fd < MLOS_STREAMS; fd++)
        saw_stream(observer, &mounts, fd);
    mlos_mounts_deinit(&mounts);
}
