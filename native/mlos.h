// What Python sees of the C: one function per system call that the standard library of Python lacks.
//
// Every function returns >= 0, or -errno. None allocates, none keeps state, none decides.
// build.py reads this file twice: the compiler through #include, cffi with the lines that begin with '#' left out.
#pragma once

#include <stddef.h>
#include <stdint.h>

// openat2.c: openat2(2).
int mlos_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);

// renameat2.c: renameat2(2).
int mlos_renameat2(int old_dirfd, const char *old_path, int new_dirfd, const char *new_path, unsigned int flags);

// file_handle.c: name_to_handle_at(2) and open_by_handle_at(2).
struct mlos_file_handle {
    uint64_t mount_id;
    int32_t type;
    uint32_t size;
    unsigned char bytes[128];
};
int mlos_name_to_handle_at(int dirfd, const char *path, struct mlos_file_handle *handle, int flags);
int mlos_open_by_handle_at(int mount_fd, const struct mlos_file_handle *handle, int flags);

// pidfd.c: ioctl_pidfd(2). Unset fields are 0; `mask` says which are set.
struct mlos_pid_info {
    uint64_t mask;
    uint64_t cgroupid;
    uint32_t pid;
    uint32_t ppid;
    uint32_t ruid;
    uint32_t euid;
    uint32_t rgid;
    uint32_t egid;
    int32_t exit_status;
};
int mlos_pidfd_get_info(int pidfd, struct mlos_pid_info *info);

// fanotify.c: fanotify_init(2) and fanotify_mark(2); a NULL path marks dirfd itself.
int mlos_fanotify_init(unsigned int flags, unsigned int event_f_flags);
int mlos_fanotify_mark(int group, unsigned int flags, uint64_t mask, int dirfd, const char *path);

// landlock.c: landlock_create_ruleset(2), asked for its version; and a rule set that allows nothing (its version).
int mlos_landlock_abi(void);
int mlos_landlock_refuse_all(void);

// seccomp.c: PR_SET_NO_NEW_PRIVS, and the filter of a process that uses only the descriptors it is given.
int mlos_no_new_privs(void);
int mlos_seccomp_given_fds_only(void);

// fstat.c: fstat(2), also where newfstatat(2) is refused.
struct mlos_stat {
    uint32_t mode;
    int64_t size;
    int64_t mtime_ns;
    int64_t ctime_ns;
};
int mlos_fstat(int fd, struct mlos_stat *status);

// ioprio.c: ioprio_set(2).
int mlos_ioprio_set(int which, int who, int ioprio);

// filesystem.c: ioctl_fs(2) of the inode flags, the UUID, and fs-verity.
int mlos_get_inode_flags(int fd, uint32_t *flags);
int mlos_set_inode_flags(int fd, uint32_t flags);
int mlos_get_filesystem_uuid(int fd, unsigned char uuid[16]);
int mlos_enable_verity(int fd, uint32_t hash_algorithm, uint32_t block_size);
int mlos_measure_verity(int fd, uint32_t *hash_algorithm, unsigned char *digest, uint32_t *size);

// cachestat.c: cachestat(2). Pages; a length of 0 means up to the end of the file.
struct mlos_cachestat {
    uint64_t cached;
    uint64_t dirty;
    uint64_t writeback;
    uint64_t evicted;
    uint64_t recently_evicted;
};
int mlos_cachestat(int fd, uint64_t offset, uint64_t length, struct mlos_cachestat *pages);

// fsuid.c: setfsuid(2), setfsgid(2) and setgroups(2), of the calling thread alone.
int mlos_set_thread_identity(uint32_t uid, uint32_t gid, const uint32_t *groups, size_t count);
