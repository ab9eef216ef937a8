// A file by its handle: what it looks like, and what it is called. By its path it would be what has that path by now.
#define _GNU_SOURCE
#include "observe.h"

#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { DIRECTORIES_KEPT = 16 };

// The path of an open file below `filesystem`'s mount, and where that is. In a copy of a mount /proc has what is below.
static bool read_path(const struct mlos_filesystem *filesystem, int fd, char *path, size_t size)
{
    char link[32];
    size_t prefix = filesystem->borrowed || !filesystem->target[1] ? 0 : strlen(filesystem->target);
    if (prefix >= size - 1)
        return false;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path + prefix, size - prefix - 1);
    if (length <= 0 || path[prefix] != '/')
        return false;
    path[prefix + (size_t)length] = '\0';
    memcpy(path, filesystem->target, prefix);
    if (prefix && length == 1)
        path[prefix] = '\0'; // its top
    return true;
}

// The way down from the mount leads to it. The kernel names a file that it had forgotten as if it were a root, and one
// that lies beside what the mount shows by a way that only the file system knows.
static bool leads_to(const struct mlos_filesystem *filesystem, const char *path, uint64_t inode)
{
    size_t length = filesystem->target[1] ? strlen(filesystem->target) : 0;
    if (!filesystem->directory || strncmp(path, filesystem->target, length) != 0 ||
        (path[length] != '/' && path[length] != '\0'))
        return false;
    const char *below = path[length] && path[length + 1] ? path + length + 1 : ".";
    struct open_how how = {.flags = O_PATH | O_NOFOLLOW | O_CLOEXEC,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS};
    mlos_cleanup_close int fd = (int)syscall(SYS_openat2, filesystem->fd, below, &how, sizeof how);
    struct stat there;
    return fd >= 0 && fstat(fd, &there) == 0 && there.st_ino == inode;
}

// Those of the last few directories, until one is renamed: a Python that starts opens a hundred files in each.
static struct directory {
    uint64_t fsid, hash;
    char path[4096];
} directories[DIRECTORIES_KEPT];
static unsigned next_directory;

void mlos_forget_directories(void)
{
    for (int i = 0; i < DIRECTORIES_KEPT; i++)
        directories[i].hash = 0;
}

static const char *directory_path(const struct mlos_filesystem *filesystem, const struct file_handle *handle)
{
    uint64_t hash = mlos_hash(handle->f_handle, handle->handle_bytes, (uint64_t)handle->handle_type) | 1;
    for (int i = 0; i < DIRECTORIES_KEPT; i++)
        if (directories[i].hash == hash && directories[i].fsid == filesystem->fsid)
            return directories[i].path;
    struct stat status;
    mlos_cleanup_close int fd =
        open_by_handle_at(filesystem->fd, (struct file_handle *)handle, O_PATH | O_DIRECTORY | O_CLOEXEC);
    struct directory *directory = &directories[next_directory++ % DIRECTORIES_KEPT];
    directory->hash = 0;
    // /proc says " (deleted)" after the path of one that is gone: who made a name of that kind shall have it.
    if (fd < 0 || fstat(fd, &status) < 0 || status.st_nlink == 0 ||
        !read_path(filesystem, fd, directory->path, sizeof directory->path) ||
        !leads_to(filesystem, directory->path, status.st_ino))
        return NULL;
    directory->hash = hash;
    directory->fsid = filesystem->fsid;
    return directory->path;
}

// The path by which it was opened, or that a rename gave it.
bool mlos_path_of_name(const struct mlos_filesystem *filesystem, const struct file_handle *parent, const char *name,
                       char path[MLOS_PATH_SIZE])
{
    if (!parent || !name || strcmp(name, ".") == 0)
        return false;
    const char *directory = directory_path(filesystem, parent);
    if (!directory)
        return false;
    int length = snprintf(path, MLOS_PATH_SIZE, "%s/%s", directory[1] ? directory : "", name);
    return length > 0 && length < MLOS_PATH_SIZE;
}

// A path that it has now, whatever it was called before.
bool mlos_path_of_file(const struct mlos_filesystem *filesystem, int fd, const struct statx *status,
                       char path[MLOS_PATH_SIZE])
{
    return status->stx_nlink > 0 && read_path(filesystem, fd, path, MLOS_PATH_SIZE) &&
           leads_to(filesystem, path, status->stx_ino);
}

int64_t mlos_nanoseconds(const struct statx_timestamp *at)
{
    return at->tv_sec * INT64_C(1000000000) + at->tv_nsec;
}

// Opens it, O_PATH; -1: it is gone.
int mlos_look(const struct mlos_filesystem *filesystem, const struct file_handle *handle, struct statx *ret)
{
    *ret = (struct statx){0};
    if (!filesystem)
        return -1;
    int fd = open_by_handle_at(filesystem->fd, (struct file_handle *)handle, O_PATH | O_CLOEXEC);
    if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, ret) == 0)
        return fd;
    close(fd);
    return -1;
}
