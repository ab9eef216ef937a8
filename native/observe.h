// What a keeper sees of its job's files and processes: shared by observe.c and the files named below.
#pragma once

#include "shepherd.h"

#include <fcntl.h>

struct file_handle;

// trace.c: the file that all of it is written to; src/mlosd/kernel/trace.py says what a line looks like.
struct mlos_trace {
    int fd;
    int64_t began, now;    // CLOCK_BOOTTIME in ns; since it began
    int64_t waiting_since; // the oldest line that is not in the file yet; -1: none is
    bool urgent;           // one of them is awaited
    bool lost, full;       // the disk took no more; it is as large as one may become
    uint64_t size;
    size_t length;
    char buffer[1 << 16];
};

int mlos_trace_init(struct mlos_trace *trace, const char *path);
void mlos_trace_deinit(struct mlos_trace *trace);
void mlos_trace_tick(struct mlos_trace *trace);
// A line; `name` (NULL: none) becomes its last field, escaped.
void mlos_trace_add(struct mlos_trace *trace, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void mlos_trace_flush_if_due(struct mlos_trace *trace);
void mlos_trace_flush(struct mlos_trace *trace);
int mlos_trace_due_ms(const struct mlos_trace *trace); // -1: nothing waits

// mounts.c: the mounts of a namespace, and which of them can be observed.
enum mlos_mount_kind {
    MLOS_DATA,   // on this machine: asking it answers
    MLOS_PSEUDO, // holds nothing that is data
    MLOS_REMOTE, // a server or a program answers, or does not: must not be touched
};

struct mlos_mount {
    unsigned id;
    enum mlos_mount_kind kind;
    const char *root, *target, *fstype, *options;
};

struct mlos_mounts {
    char *text;
    struct mlos_mount *all;
    size_t count;
};

int mlos_mounts_init(struct mlos_mounts *ret, int mountinfo);
void mlos_mounts_deinit(struct mlos_mounts *mounts);
const struct mlos_mount *mlos_mounts_in_the_way(const struct mlos_mounts *mounts, const struct mlos_mount *of);
int mlos_mount_mark(int group, int root, const struct mlos_mount *mount);
int mlos_mount_watch_renames(int group, int root, const struct mlos_mount *mount);
const char *mlos_below_root(const char *absolute); // the same path, for openat(2) and a root that is open

// namespace.c: the child's own mount namespace, marked before anything runs in it.
struct mlos_entered {
    int error; // 0: it has its own namespace
    char step[16];
    int mountinfo, root, namespace;
};

void mlos_namespace_enter(int group, int tell);

struct mlos_namespaces {
    int of_job, own, own_root;
};

int mlos_namespace_copy(const struct mlos_namespaces *namespaces, const char *target);
bool mlos_namespace_entered(int told, struct mlos_entered *ret); // false: the child died before it could tell

// files.c: every file that the job used, by file system and handle.
enum { MLOS_READ = 1, MLOS_WRITE = 2, MLOS_EXEC = 4 };

struct mlos_file {
    uint64_t key; // 0: an empty slot
    uint32_t check;
    uint32_t number;
    uint32_t written; // its place among the written ones, from 1; 0: it is none
    uint8_t modes;
    bool closed;    // after writing, and not opened since
    bool unwatched; // a device, a socket, a pipe
};

struct mlos_written {
    uint64_t fsid;
    struct file_handle *handle;
    uint32_t number, closes;
    uint64_t path; // a hash of it; 0: not known
    uint64_t size;
    int64_t mtime, ctime, told_at;
};

struct mlos_files {
    struct mlos_file *slots;
    size_t capacity, used; // a power of two
    uint32_t next_number;
    struct mlos_written *written;
    size_t written_count, written_capacity;
};

uint64_t mlos_hash(const void *bytes, size_t length, uint64_t seed);
struct mlos_file *mlos_files_find(struct mlos_files *files, uint64_t fsid, const struct file_handle *handle);
// NULL: no more of them are remembered. A new one has no modes.
struct mlos_file *mlos_files_add(struct mlos_files *files, uint64_t fsid, const struct file_handle *handle);
struct mlos_written *mlos_files_write(struct mlos_files *files, struct mlos_file *file, uint64_t fsid,
                                      const struct file_handle *handle);
void mlos_files_deinit(struct mlos_files *files);

// proc_events.c: the process connector.
enum mlos_proc_what { MLOS_FORKED, MLOS_EXECED, MLOS_EXITED, MLOS_OTHER };

struct mlos_proc_event {
    enum mlos_proc_what what;
    pid_t pid, parent;
    uint32_t status;
};

enum { MLOS_PROC_EVENTS = 64 };
int mlos_proc_events_open(void);
int mlos_proc_events_read(int fd, struct mlos_proc_event events[MLOS_PROC_EVENTS]); // how many; -errno

// members.c: the processes of the job.
struct mlos_member {
    pid_t pid, parent;
    unsigned execs, seen; // programs it became; those of which an open was seen
    bool unchecked;       // it became one and was gone before its namespace could be looked at
    bool exited;
    uint32_t status;
    char *executable; // NULL: not known
    char *opened;     // the last program that a mark saw being opened
};

struct mlos_members {
    struct mlos_member *all; // by pid
    size_t count, capacity;
    bool some_exited;
};

struct mlos_member *mlos_members_find(const struct mlos_members *members, pid_t pid);
struct mlos_member *mlos_members_add(struct mlos_members *members, pid_t pid, pid_t parent);
void mlos_members_forget_exited(struct mlos_members *members);
void mlos_members_deinit(struct mlos_members *members);

// observe.c: all of it together.
struct mlos_covered { // a mount that was looked at
    unsigned id;
    bool usable, directory;
    uint64_t fsid; // where it is usable
};

struct mlos_filesystem {
    uint64_t fsid;
    char *target; // of a mount of it, in the job's namespace; NULL: none is left
    bool told, directory, whole; // the mount shows all of it, from its root
    int tree, fd; // a copy of the mount that is mounted nowhere, and its top; -1: not needed yet
    bool borrowed; // no copy could be made: fd is of the mount itself
};

struct mlos_observer {
    struct mlos_trace trace;
    const struct mlos_spec *spec;
    pid_t self;
    int cgroup;
    int group; // of fanotify
    int told;  // where the child tells of its namespace
    int mountinfo, root;
    struct mlos_namespaces namespaces;
    uint64_t namespace; // the number of the job's; 0: not known
    int proc_events;
    int64_t group_rests_until, proc_events_rest_until; // as trace.now
    struct mlos_covered *mounts;
    size_t mount_count;
    struct mlos_filesystem *filesystems;
    size_t filesystem_count;
    int64_t covered_at;
    struct mlos_files files;
    struct mlos_members members;
    uint32_t process_records;
    bool sees_renames;
    unsigned said; // which reasons for being partial were given
    int64_t spent_on_directories; // that were renamed, in ns
};

enum mlos_reason { // each is given once
    MLOS_OVERFLOW = 1,
    MLOS_TOO_MANY_FILES = 2,
    MLOS_TOO_MANY_PROCESSES = 4,
    MLOS_PROCESSES_LOST = 8,
    MLOS_UNSEEN_NAMESPACE = 16,
    MLOS_NOT_LOOKED_AT = 32,
};

void mlos_observer_partial(struct mlos_observer *observer, enum mlos_reason reason, const char *words);

// covering.c: marks on what is mounted, and file systems found by f_fsid.
void mlos_observer_cover(struct mlos_observer *observer);
const struct mlos_filesystem *mlos_observer_filesystem(struct mlos_observer *observer, uint64_t fsid);
uint64_t mlos_fsid_of(int fd);
void mlos_observer_give_back(struct mlos_observer *observer); // what would hinder whoever unmounts it

// look.c: a file by its handle.
struct statx;
struct statx_timestamp;
enum { MLOS_PATH_SIZE = 4096 + 256 }; // a directory's, which /proc limits, and a name

int mlos_look(const struct mlos_filesystem *filesystem, const struct file_handle *handle, struct statx *ret);
int64_t mlos_nanoseconds(const struct statx_timestamp *at);
bool mlos_path_of_name(const struct mlos_filesystem *filesystem, const struct file_handle *parent, const char *name,
                       char path[MLOS_PATH_SIZE]);
bool mlos_path_of_file(const struct mlos_filesystem *filesystem, int fd, const struct statx *status,
                       char path[MLOS_PATH_SIZE]);
void mlos_forget_directories(void);

// sight.c: one event of the group becomes lines.
struct mlos_sight {
    uint64_t mask;
    pid_t pid;
    uint64_t fsid;
    const struct file_handle *object, *parent; // NULL: not told
    const char *name;                          // in `parent`; of a rename: the new ones
};

enum { MLOS_EVENTS = 64 << 10 };
bool mlos_observer_read_events(struct mlos_observer *observer); // false: there are more
void mlos_observer_look_again(struct mlos_observer *observer); // at all that was written
void mlos_tell_file(struct mlos_trace *trace, const struct mlos_file *file, const struct mlos_sight *sight,
                    const struct statx *status, bool found, const char *path);

// streams.c: the files that the job did not open itself.
void mlos_observer_saw_streams(struct mlos_observer *observer);

// process_tree.c: who belongs to the job.
void mlos_observer_read_processes(struct mlos_observer *observer);
void mlos_observer_saw_program(struct mlos_observer *observer, pid_t pid, const char *path);
void mlos_observer_settle_processes(struct mlos_observer *observer);
