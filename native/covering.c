// Marks on whatever is mounted in the job's namespace, as it comes and goes, and file systems by their f_fsid.
#define _GNU_SOURCE
#include "observe.h"

#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

// 0: none. As statvfs(3) has it, so that Python's os.statvfs gives the same number.
uint64_t mlos_fsid_of(int fd)
{
    struct statfs status;
    uint32_t words[2];
    if (fstatfs(fd, &status) < 0)
        return 0;
    memcpy(words, &status.f_fsid, sizeof words);
    return words[0] | (uint64_t)words[1] << 32;
}

// --- what is said of a mount that cannot be observed ---

static int search_as(const struct mlos_spec *spec, int root, const char *path)
{
    gid_t ours[1024];
    int count = getgroups(sizeof ours / sizeof ours[0], ours);
    if (count < 0 || setgroups(spec->group_count, spec->groups) < 0)
        return 0;
    setfsgid(spec->gid);
    setfsuid(spec->uid); // drops what root may do with files; 0 gives it back
    int fd = openat(root, path, O_PATH | O_CLOEXEC);
    int error = fd < 0 ? errno : 0;
    mlos_close(&fd);
    setfsuid(0);
    setfsgid(0);
    setgroups((size_t)count, ours);
    return -error;
}

// Could the job's user get there at all? What a container runtime or another user's desktop has mounted is no gap.
// A mount that must not be touched is asked for by its parent directory.
static bool is_in_reach(const struct mlos_observer *observer, const struct mlos_mount *mount)
{
    if (observer->spec->uid == 0)
        return true;
    // Without allow_other a FUSE file system refuses everybody but its owner (fuse.rst).
    char owner[32];
    snprintf(owner, sizeof owner, "user_id=%u,", (unsigned)observer->spec->uid);
    const char *options = mount->options;
    if (strncmp(mount->fstype, "fuse", 4) == 0 && strstr(options, "user_id=") && !strstr(options, owner) &&
        !strstr(options, "allow_other"))
        return false;
    char path[4096 + 4];
    const char *below = mlos_below_root(mount->target);
    const char *slash = strrchr(below, '/');
    int length = mount->kind == MLOS_DATA ? (int)strlen(below) : slash ? (int)(slash - below) : 0;
    if ((size_t)snprintf(path, sizeof path, "%.*s%s.", length, below, length ? "/" : "") >= sizeof path)
        return true;
    return search_as(observer->spec, observer->root, path) != -EACCES;
}

static void say_not_covered(struct mlos_observer *observer, const struct mlos_mount *mount, int error,
                            const struct mlos_mount *in_the_way)
{
    if (!is_in_reach(observer, mount))
        return;
    if (in_the_way)
        mlos_trace_add(&observer->trace, mount->target, "partial not covered: %s, behind %s, at", mount->fstype,
                       in_the_way->fstype);
    else if (error)
        mlos_trace_add(&observer->trace, mount->target, "partial not covered (%s): %s at", strerror(error),
                       mount->fstype);
    else
        mlos_trace_add(&observer->trace, mount->target, "partial not covered: %s at", mount->fstype);
}

// --- file systems ---

static struct mlos_filesystem *find(struct mlos_observer *observer, uint64_t fsid)
{
    for (size_t i = 0; i < observer->filesystem_count; i++)
        if (observer->filesystems[i].fsid == fsid)
            return &observer->filesystems[i];
    return NULL;
}

static struct mlos_filesystem *add(struct mlos_observer *observer, uint64_t fsid)
{
    size_t size = (observer->filesystem_count + 1) * sizeof *observer->filesystems;
    struct mlos_filesystem *larger = realloc(observer->filesystems, size);
    if (!larger)
        return NULL;
    observer->filesystems = larger;
    struct mlos_filesystem *filesystem = &larger[observer->filesystem_count++];
    *filesystem = (struct mlos_filesystem){.fsid = fsid, .tree = -1, .fd = -1};
    return filesystem;
}

// Better a directory than a single file that is mounted somewhere, better all of a file system than a part of it.
static void take_target(struct mlos_observer *observer, const struct mlos_covered *covered,
                        const struct mlos_mount *mount)
{
    struct mlos_filesystem *filesystem = find(observer, covered->fsid);
    if (!filesystem)
        filesystem = add(observer, covered->fsid);
    bool whole = strcmp(mount->root, "/") == 0;
    if (!filesystem || (filesystem->target && filesystem->directory + filesystem->whole >= covered->directory + whole))
        return;
    free(filesystem->target);
    filesystem->target = strdup(mount->target);
    if (!filesystem->told || (covered->directory && !filesystem->directory))
        mlos_trace_add(&observer->trace, mount->target, "covered %016llx %s", (unsigned long long)covered->fsid,
                       mount->fstype);
    filesystem->told = true;
    filesystem->directory = covered->directory;
    filesystem->whole = whole;
}

static void let_go(struct mlos_filesystem *filesystem)
{
    mlos_close(&filesystem->fd);
    mlos_close(&filesystem->tree);
    filesystem->fd = filesystem->tree = -1;
}

void mlos_observer_give_back(struct mlos_observer *observer)
{
    for (size_t i = 0; i < observer->filesystem_count; i++)
        if (observer->filesystems[i].borrowed)
            let_go(&observer->filesystems[i]);
}

static void open_filesystem(const struct mlos_observer *observer, struct mlos_filesystem *filesystem)
{
    // open_by_handle_at(2) wants more than O_PATH. The event of opening a file is ours, and sight.c knows.
    int flags = O_RDONLY | O_NONBLOCK | O_CLOEXEC | (filesystem->directory ? O_DIRECTORY : 0);
    filesystem->tree = mlos_namespace_copy(&observer->namespaces, filesystem->target);
    filesystem->borrowed = filesystem->tree < 0;
    if (filesystem->borrowed) {
        filesystem->tree = -1;
        filesystem->fd = openat(observer->root, mlos_below_root(filesystem->target), flags | O_NOFOLLOW);
    } else {
        char link[32];
        snprintf(link, sizeof link, "/proc/self/fd/%d", filesystem->tree);
        filesystem->fd = open(link, flags);
    }
    if (filesystem->fd < 0 || mlos_fsid_of(filesystem->fd) != filesystem->fsid)
        let_go(filesystem);
}

// With its fd open; NULL: it is not, or no longer, mounted where we could find it.
const struct mlos_filesystem *mlos_observer_filesystem(struct mlos_observer *observer, uint64_t fsid)
{
    struct mlos_filesystem *filesystem = find(observer, fsid);
    // An event may be faster than the news of its mount.
    if (!filesystem && observer->covered_at != observer->trace.now) {
        mlos_observer_cover(observer);
        filesystem = find(observer, fsid);
    }
    if (!filesystem || !filesystem->target)
        return NULL;
    if (filesystem->fd < 0)
        open_filesystem(observer, filesystem);
    return filesystem->fd < 0 ? NULL : filesystem;
}

// --- mounts ---

static struct mlos_covered *find_mount(const struct mlos_observer *observer, unsigned id)
{
    for (size_t i = 0; i < observer->mount_count; i++)
        if (observer->mounts[i].id == id)
            return &observer->mounts[i];
    return NULL;
}

static struct mlos_covered *add_mount(struct mlos_observer *observer, unsigned id)
{
    struct mlos_covered *larger =
        realloc(observer->mounts, (observer->mount_count + 1) * sizeof *observer->mounts);
    if (!larger)
        return NULL;
    observer->mounts = larger;
    struct mlos_covered *covered = &larger[observer->mount_count++];
    *covered = (struct mlos_covered){.id = id};
    return covered;
}

static void cover_data(struct mlos_observer *observer, const struct mlos_mount *mount, struct mlos_covered *covered)
{
    struct statx status;
    mlos_cleanup_close int fd =
        openat(observer->root, mlos_below_root(mount->target), O_PATH | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_MNT_ID, &status) < 0)
        return;
    // Another one lies on top of it, and no path leads here.
    if (status.stx_mask & STATX_MNT_ID && status.stx_mnt_id != mount->id)
        return;
    int r = mlos_mount_mark(observer->group, observer->root, mount);
    if (r < 0) {
        say_not_covered(observer, mount, -r, NULL);
        return;
    }
    if (mlos_mount_watch_renames(observer->group, observer->root, mount) < 0)
        observer->sees_renames = false; // then paths are asked for at the end
    covered->directory = S_ISDIR(status.stx_mode);
    // A device that is mounted onto another must not be opened for its own sake.
    covered->usable = covered->directory || S_ISREG(status.stx_mode);
    covered->fsid = mlos_fsid_of(fd);
}

static void look_at(struct mlos_observer *observer, const struct mlos_mounts *mounts, const struct mlos_mount *mount)
{
    const struct mlos_mount *in_the_way = mlos_mounts_in_the_way(mounts, mount);
    struct mlos_covered *covered = find_mount(observer, mount->id);
    bool is_new = !covered;
    if (is_new)
        covered = add_mount(observer, mount->id);
    if (!covered)
        return;
    if (is_new && mount->kind == MLOS_REMOTE && !in_the_way)
        say_not_covered(observer, mount, 0, NULL);
    else if (is_new && mount->kind == MLOS_DATA && in_the_way)
        say_not_covered(observer, mount, 0, in_the_way);
    else if (is_new && mount->kind == MLOS_DATA)
        cover_data(observer, mount, covered);
    if (covered->usable && !in_the_way)
        take_target(observer, covered, mount);
}

void mlos_observer_cover(struct mlos_observer *observer)
{
    struct mlos_mounts mounts;
    if (observer->mountinfo < 0 || observer->group < 0 || mlos_mounts_init(&mounts, observer->mountinfo) < 0)
        return;
    observer->covered_at = observer->trace.now;
    mlos_forget_directories();
    // Whatever was unmounted: we are the last who have it.
    for (size_t i = 0; i < observer->filesystem_count; i++) {
        let_go(&observer->filesystems[i]);
        free(observer->filesystems[i].target);
        observer->filesystems[i].target = NULL;
    }
    for (size_t i = 0; i < mounts.count; i++)
        look_at(observer, &mounts, &mounts.all[i]);
    mlos_mounts_deinit(&mounts);
}
