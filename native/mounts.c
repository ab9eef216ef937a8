// The mounts of a namespace, from its mountinfo (proc_pid_mountinfo(5)), and which of them may be touched at all:
// asking a file server that is dead would stop the job and its keeper.
#define _GNU_SOURCE
#include "observe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <unistd.h>

#ifndef FAN_RENAME // the headers of the C library of Debian 12 lack it
#define FAN_RENAME 0x10000000
#endif

// Kinds that keep their data on this machine.
static const char *const DATA[] = {
    "ext2",     "ext3",   "ext4",   "xfs",   "btrfs",   "bcachefs", "f2fs",   "zfs",   "jfs",    "reiserfs", "nilfs2",
    "vfat",     "msdos",  "exfat",  "ntfs3", "ntfs",    "hfs",      "hfsplus", "apfs", "udf",    "iso9660",  "ubifs",
    "squashfs", "erofs",  "cramfs", "romfs", "minix",   "jffs2",    "zonefs", "bfs",   "ufs",    "affs",     "befs",
    "overlay",  "aufs",   "ecryptfs", "tmpfs", "ramfs",
};

// Kinds through which the kernel and its services speak; files in them are no data.
static const char *const PSEUDO[] = {
    "proc",       "sysfs",    "cgroup",   "cgroup2",   "devpts",    "devtmpfs",    "mqueue",         "debugfs",
    "tracefs",    "bpf",      "configfs", "securityfs", "pstore",   "efivarfs",    "autofs",         "binfmt_misc",
    "fusectl",    "hugetlbfs", "nsfs",    "rpc_pipefs", "nfsd",     "selinuxfs",   "smackfs",        "resctrl",
    "rootfs",     "sockfs",   "pipefs",   "guest_memfd", "dax",     "functionfs",  "fuse.lxcfs",     "fuse.portal",
    "xenfs",      "openpromfs", "ipathfs",
};

static bool is_one_of(const char *fstype, const char *const *kinds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(fstype, kinds[i]) == 0)
            return true;
    return false;
}

static enum mlos_mount_kind kind_of(const struct mlos_mount *mount)
{
    // systemd gives each service its secrets in one, and before Linux 6.4 they are no tmpfs.
    if (strcmp(mount->fstype, "ramfs") == 0 && strncmp(mount->target, "/run/credentials/", 17) == 0)
        return MLOS_PSEUDO;
    if (is_one_of(mount->fstype, PSEUDO, sizeof PSEUDO / sizeof PSEUDO[0]))
        return MLOS_PSEUDO;
    // What we do not know may be anywhere.
    return is_one_of(mount->fstype, DATA, sizeof DATA / sizeof DATA[0]) ? MLOS_DATA : MLOS_REMOTE;
}

static void unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from;) {
        if (from[0] == '\\' && from[1] >= '0' && from[1] <= '3' && from[2] >= '0' && from[2] <= '7' && from[3] >= '0' &&
            from[3] <= '7') {
            *to++ = (char)((from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0'));
            from += 4;
        } else {
            *to++ = *from++;
        }
    }
    *to = '\0';
}

// "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw": optional fields end at the lone dash.
static bool parse_line(char *line, struct mlos_mount *ret)
{
    char *rest = strstr(line, " - ");
    if (!rest)
        return false;
    *rest = '\0';
    char *save, *fields[5], *word = strtok_r(line, " ", &save);
    for (int i = 0; i < 5; i++, word = strtok_r(NULL, " ", &save)) {
        if (!word)
            return false;
        fields[i] = word;
    }
    char *fstype = strtok_r(rest + 3, " ", &save), *options = strrchr(save ? save : "", ' ');
    if (!fstype)
        return false;
    unescape(fields[4]);
    *ret = (struct mlos_mount){
        .id = (unsigned)strtoul(fields[0], NULL, 10),
        .root = fields[3],
        .target = fields[4],
        .fstype = fstype,
        .options = options ? options + 1 : "",
    };
    ret->kind = kind_of(ret);
    return true;
}

static char *read_all(int fd)
{
    size_t length = 0, capacity = 16 << 10;
    char *text = malloc(capacity);
    if (lseek(fd, 0, SEEK_SET) < 0) {
        free(text);
        return NULL;
    }
    while (text) {
        ssize_t n = read(fd, text + length, capacity - length - 1);
        if (n == 0) {
            text[length] = '\0';
            return text;
        }
        length += n > 0 ? (size_t)n : 0;
        char *larger = n < 0 && errno != EINTR ? NULL : text;
        if (larger && capacity - length < 4096)
            larger = realloc(text, capacity *= 2);
        if (!larger)
            free(text);
        text = larger;
    }
    return NULL;
}

int mlos_mounts_init(struct mlos_mounts *ret, int mountinfo)
{
    *ret = (struct mlos_mounts){.text = read_all(mountinfo)};
    if (!ret->text)
        return -ENOMEM;
    size_t lines = 0;
    for (const char *at = ret->text; (at = strchr(at, '\n')); at++)
        lines++;
    ret->all = calloc(lines + 1, sizeof *ret->all);
    if (!ret->all) {
        mlos_mounts_deinit(ret);
        return -ENOMEM;
    }
    char *save;
    for (char *line = strtok_r(ret->text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
        ret->count += parse_line(line, &ret->all[ret->count]);
    return 0;
}

void mlos_mounts_deinit(struct mlos_mounts *mounts)
{
    free(mounts->all);
    free(mounts->text);
    *mounts = (struct mlos_mounts){0};
}

static bool is_at_or_below(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    return strncmp(path, directory, length) == 0 && (path[length] == '/' || path[length] == '\0');
}

// A mount that must not be touched and that the way to `of` leads through, or that lies on top of it. What is at / is
// in everybody's way already.
const struct mlos_mount *mlos_mounts_in_the_way(const struct mlos_mounts *mounts, const struct mlos_mount *of)
{
    for (size_t i = 0; i < mounts->count; i++) {
        const struct mlos_mount *other = &mounts->all[i];
        if (other != of && other->kind == MLOS_REMOTE && other->target[1] && is_at_or_below(of->target, other->target))
            return other;
    }
    return NULL;
}

const char *mlos_below_root(const char *absolute)
{
    return absolute[1] ? absolute + 1 : ".";
}

int mlos_mount_mark(int group, int root, const struct mlos_mount *mount)
{
    uint64_t mask = FAN_OPEN | FAN_OPEN_EXEC | FAN_CLOSE_WRITE;
    unsigned flags = FAN_MARK_ADD | FAN_MARK_MOUNT | FAN_MARK_DONT_FOLLOW;
    return fanotify_mark(group, flags, mask, root, mlos_below_root(mount->target)) < 0 ? -errno : 0;
}

// No mount tells of renames, only a whole file system, and then those of everybody: there are few (Linux 5.17).
int mlos_mount_watch_renames(int group, int root, const struct mlos_mount *mount)
{
    unsigned flags = FAN_MARK_ADD | FAN_MARK_FILESYSTEM | FAN_MARK_DONT_FOLLOW;
    const char *path = mlos_below_root(mount->target);
    return fanotify_mark(group, flags, FAN_RENAME | FAN_ONDIR, root, path) < 0 ? -errno : 0;
}
