// An event of the fanotify group becomes lines of the trace. At the first sight of a file it is looked at by its
// handle: what is called so by now may be another.
#define _GNU_SOURCE
#include "observe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifndef FAN_RENAME // Linux 5.17
#define FAN_RENAME 0x10000000
#endif
#ifndef FAN_EVENT_INFO_TYPE_NEW_DFID_NAME
#define FAN_EVENT_INFO_TYPE_NEW_DFID_NAME 12
#endif

enum {
    BATCHES = 8, // of events, until the job itself is looked after
    OFTEN = 16,  // closes of a file that are all told
};
static const int64_t NOT_SOONER = 100 * 1000 * 1000;     // ns between two closes, after that
static const int64_t PATIENCE = 2000 * INT64_C(1000000); // ns for all that was written, at the end
static const char DIGITS[] = "0123456789";
static const int64_t REST = 3 * 1000 * 1000;             // ns: events gather, and several become one

// --- an event, taken apart ---

static void read_info(struct mlos_sight *sight, const char *record, size_t length)
{
    const struct fanotify_event_info_fid *info = (const void *)record;
    const struct file_handle *handle = (const void *)info->handle;
    if (length < sizeof *info + sizeof *handle || handle->handle_bytes > length - sizeof *info - sizeof *handle ||
        handle->handle_bytes > MAX_HANDLE_SZ)
        return;
    uint32_t words[2];
    memcpy(words, &info->fsid, sizeof words);
    sight->fsid = words[0] | (uint64_t)words[1] << 32;
    const char *name = (const char *)handle->f_handle + handle->handle_bytes;
    bool named = memchr(name, '\0', length - (size_t)(name - record)) != NULL;
    switch (info->hdr.info_type) {
    case FAN_EVENT_INFO_TYPE_FID:
        sight->object = handle;
        break;
    case FAN_EVENT_INFO_TYPE_DFID_NAME:
    case FAN_EVENT_INFO_TYPE_NEW_DFID_NAME:
        if (!named)
            break;
        sight->parent = handle;
        sight->name = name;
        break;
    }
}

static struct mlos_sight take_apart(const struct fanotify_event_metadata *event)
{
    struct mlos_sight sight = {.mask = event->mask, .pid = event->pid};
    const char *bytes = (const char *)event;
    for (size_t at = event->metadata_len; at + sizeof(struct fanotify_event_info_header) <= event->event_len;) {
        const struct fanotify_event_info_header *head = (const void *)(bytes + at);
        if (head->len < sizeof *head || head->len > event->event_len - at)
            break;
        read_info(&sight, bytes + at, head->len);
        at += head->len;
    }
    return sight;
}

// --- how it is told ---

static const char *spell_modes(unsigned modes)
{
    static const char *const SPELLED[] = {"", "r", "w", "rw", "x", "rx", "wx", "rwx"};
    return SPELLED[modes & 7];
}

static void spell_handle(const struct file_handle *handle, char text[MAX_HANDLE_SZ * 2 + 16])
{
    int at = sprintf(text, "%u.", handle ? (unsigned)handle->handle_type : 0);
    for (unsigned i = 0; handle && i < handle->handle_bytes; i++)
        at += sprintf(text + at, "%02x", handle->f_handle[i]);
}

void mlos_tell_file(struct mlos_trace *trace, const struct mlos_file *file, const struct mlos_sight *sight,
                    const struct statx *status, bool found, const char *path)
{
    char object[MAX_HANDLE_SZ * 2 + 16], parent[MAX_HANDLE_SZ * 2 + 16];
    spell_handle(sight->object, object);
    spell_handle(sight->parent, parent);
    mlos_trace_add(trace, path ? path : "-", "file %u %lld %d %s %016llx %s %s %llu %lld %lld %lld %lld", file->number,
                   (long long)trace->now, (int)sight->pid, spell_modes(file->modes), (unsigned long long)sight->fsid,
                   object, parent, (unsigned long long)status->stx_ino, found ? (long long)status->stx_size : -1,
                   (long long)mlos_nanoseconds(&status->stx_mtime), (long long)mlos_nanoseconds(&status->stx_ctime),
                   (long long)mlos_nanoseconds(&status->stx_btime));
}

// --- what happened ---

static uint64_t hash_path(const char *path)
{
    return mlos_hash(path, strlen(path), 0) | 1;
}

static void tell_renamed(struct mlos_observer *observer, struct mlos_written *written, uint32_t number, pid_t pid,
                         const char *path)
{
    if (written && written->path == hash_path(path))
        return;
    if (written)
        written->path = hash_path(path);
    mlos_trace_add(&observer->trace, path, "renamed %u %lld %d", number, (long long)observer->trace.now, (int)pid);
}

static void tell_closed(struct mlos_observer *observer, struct mlos_written *written, pid_t pid, bool found,
                        const struct statx *status)
{
    struct mlos_trace *trace = &observer->trace;
    written->size = status->stx_size;
    written->mtime = mlos_nanoseconds(&status->stx_mtime);
    written->ctime = mlos_nanoseconds(&status->stx_ctime);
    // A log that is opened for each line of it would fill the disk with news of itself; the end has the last word.
    if (written->closes++ >= OFTEN && trace->now - written->told_at < NOT_SOONER) {
        written->mtime = 0;
        return;
    }
    written->told_at = trace->now;
    mlos_trace_add(trace, NULL, "closed %u %lld %d %lld %lld %lld", written->number, (long long)trace->now, (int)pid,
                   found ? (long long)status->stx_size : -1, (long long)written->mtime, (long long)written->ctime);
    trace->urgent = true;
}

// O_TMPFILE: such a file is called by its inode number, and no such name exists (d_mark_tmpfile() in fs/dcache.c).
static bool was_made_nameless(const struct mlos_sight *sight)
{
    return sight->name && sight->name[0] == '#' && sight->name[1] && !sight->name[1 + strspn(sight->name + 1, DIGITS)];
}

static void closed(struct mlos_observer *observer, const struct mlos_filesystem *filesystem,
                   const struct mlos_sight *sight, struct mlos_file *file)
{
    struct mlos_written *written = mlos_files_write(&observer->files, file, sight->fsid, sight->object);
    if (!written)
        return;
    struct statx status;
    char path[MLOS_PATH_SIZE];
    mlos_cleanup_close int fd = mlos_look(filesystem, sight->object, &status);
    tell_closed(observer, written, sight->pid, fd >= 0, &status);
    if (!written->path && filesystem && !was_made_nameless(sight) &&
        mlos_path_of_name(filesystem, sight->parent, sight->name, path))
        written->path = hash_path(path);
    // It got a name since, or nobody tells us of renames.
    if (fd >= 0 && (!written->path || !observer->sees_renames) && mlos_path_of_file(filesystem, fd, &status, path))
        tell_renamed(observer, written, written->number, sight->pid, path);
    file->closed = true;
}

static unsigned modes_of(uint64_t mask)
{
    return (mask & FAN_OPEN ? MLOS_READ : 0) | (mask & FAN_CLOSE_WRITE ? MLOS_WRITE : 0) |
           (mask & FAN_OPEN_EXEC ? MLOS_EXEC : 0);
}

// Returns its path, in `path`; NULL: not known, or it is no file that has data.
static const char *first_sight(struct mlos_observer *observer, const struct mlos_filesystem *filesystem,
                               const struct mlos_sight *sight, struct mlos_file *file, char path[MLOS_PATH_SIZE])
{
    struct statx status;
    mlos_cleanup_close int fd = mlos_look(filesystem, sight->object, &status);
    file->unwatched = fd >= 0 && !S_ISREG(status.stx_mode);
    if (file->unwatched)
        return NULL;
    file->number = observer->files.next_number++;
    file->modes = (uint8_t)modes_of(sight->mask);
    struct mlos_sight told = *sight;
    bool known = filesystem && mlos_path_of_name(filesystem, sight->parent, sight->name, path);
    // Linked into a directory by now, or not at all.
    if (known && was_made_nameless(sight)) {
        told.parent = NULL;
        known = fd >= 0 && mlos_path_of_file(filesystem, fd, &status, path);
    }
    mlos_tell_file(&observer->trace, file, &told, &status, fd >= 0, known ? path : NULL);
    return known ? path : NULL;
}

static void used(struct mlos_observer *observer, const struct mlos_sight *sight)
{
    struct mlos_file *file = mlos_files_add(&observer->files, sight->fsid, sight->object);
    if (!file) {
        mlos_observer_partial(observer, MLOS_TOO_MANY_FILES, "more files than are remembered: 1048576");
        return;
    }
    if (file->unwatched)
        return;
    char buffer[MLOS_PATH_SIZE];
    const char *path = NULL;
    const struct mlos_filesystem *filesystem = NULL;
    unsigned modes = modes_of(sight->mask);
    bool fresh = file->modes == 0;
    if (fresh || modes & (MLOS_WRITE | MLOS_EXEC))
        filesystem = mlos_observer_filesystem(observer, sight->fsid);
    if (fresh) {
        path = first_sight(observer, filesystem, sight, file, buffer);
        if (file->unwatched)
            return;
    } else {
        unsigned fresh_modes = (modes & ~file->modes) | (file->closed ? modes & MLOS_READ : 0);
        if (fresh_modes)
            mlos_trace_add(&observer->trace, NULL, "again %u %lld %s", file->number, (long long)observer->trace.now,
                           spell_modes(fresh_modes));
        file->modes |= (uint8_t)modes;
        file->closed = file->closed && !(modes & MLOS_READ);
    }
    if (modes & MLOS_WRITE)
        closed(observer, filesystem, sight, file);
    if (!(modes & MLOS_EXEC))
        return;
    if (!path && filesystem && mlos_path_of_name(filesystem, sight->parent, sight->name, buffer))
        path = buffer;
    mlos_observer_saw_program(observer, sight->pid, path);
}

static int64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

// Everything below a directory has another path now.
static void find_paths_again(struct mlos_observer *observer, pid_t pid)
{
    int64_t began = clock_ns();
    for (size_t i = 0; i < observer->files.written_count; i++) {
        struct mlos_written *written = &observer->files.written[i];
        const struct mlos_filesystem *filesystem = mlos_observer_filesystem(observer, written->fsid);
        struct statx status;
        char path[MLOS_PATH_SIZE];
        mlos_cleanup_close int fd = mlos_look(filesystem, written->handle, &status);
        if (fd >= 0 && mlos_path_of_file(filesystem, fd, &status, path))
            tell_renamed(observer, written, written->number, pid, path);
    }
    observer->spent_on_directories += clock_ns() - began;
    if (observer->spent_on_directories > PATIENCE)
        observer->sees_renames = false; // too dear to do each time: once more, at the end
}

static bool is_of_the_job(struct mlos_observer *observer, pid_t pid)
{
    if (observer->proc_events < 0)
        return true;
    if (!mlos_members_find(&observer->members, pid))
        mlos_observer_read_processes(observer);
    return mlos_members_find(&observer->members, pid) != NULL;
}

// Renames are those of everybody on the machine.
static void renamed(struct mlos_observer *observer, const struct mlos_sight *sight)
{
    bool directory = sight->mask & FAN_ONDIR;
    struct mlos_file *file = directory ? NULL : mlos_files_find(&observer->files, sight->fsid, sight->object);
    if (directory)
        mlos_forget_directories();
    if (directory ? !observer->files.written_count : !file || file->unwatched)
        return;
    if (!is_of_the_job(observer, sight->pid))
        return;
    if (directory) {
        if (observer->sees_renames)
            find_paths_again(observer, sight->pid);
        return;
    }
    char path[MLOS_PATH_SIZE];
    const struct mlos_filesystem *filesystem = mlos_observer_filesystem(observer, sight->fsid);
    if (filesystem && mlos_path_of_name(filesystem, sight->parent, sight->name, path)) {
        struct mlos_written *written = file->written ? &observer->files.written[file->written - 1] : NULL;
        tell_renamed(observer, written, file->number, sight->pid, path);
    }
}

static void saw(struct mlos_observer *observer, const struct fanotify_event_metadata *event)
{
    if (event->mask & FAN_Q_OVERFLOW) {
        mlos_observer_partial(observer, MLOS_OVERFLOW, "overflow: files were opened faster than they could be seen");
        observer->sees_renames = false;
        return;
    }
    struct mlos_sight sight = take_apart(event);
    if (!sight.object || sight.pid == observer->self)
        return;
    if (sight.mask & FAN_RENAME)
        renamed(observer, &sight);
    else if (!(sight.mask & FAN_ONDIR) && modes_of(sight.mask))
        used(observer, &sight);
}

bool mlos_observer_read_events(struct mlos_observer *observer)
{
    static char events[MLOS_EVENTS] __attribute__((aligned(8)));
    bool drained = observer->group < 0;
    size_t total = 0;
    for (int i = 0; i < BATCHES && !drained; i++) {
        ssize_t length = read(observer->group, events, sizeof events);
        drained = length <= 0;
        total += drained ? 0 : (size_t)length;
        const struct fanotify_event_metadata *event = (const void *)events;
        for (; FAN_EVENT_OK(event, length); event = FAN_EVENT_NEXT(event, length))
            saw(observer, event);
    }
    // Where we hear of each that is renamed, what we know of them stays true.
    if (!observer->sees_renames)
        mlos_forget_directories();
    mlos_observer_give_back(observer);
    if (total && total < sizeof events)
        observer->group_rests_until = observer->trace.now + REST;
    return drained;
}

// At the end: what is written through a mapping, or into a file that is never closed, has no event of its own.
void mlos_observer_look_again(struct mlos_observer *observer)
{
    int64_t deadline = clock_ns() + PATIENCE;
    for (size_t i = 0; i < observer->files.written_count; i++) {
        if (clock_ns() > deadline) {
            mlos_observer_partial(observer, MLOS_NOT_LOOKED_AT, "too many files were written to look at each again");
            break;
        }
        struct mlos_written *written = &observer->files.written[i];
        const struct mlos_filesystem *filesystem = mlos_observer_filesystem(observer, written->fsid);
        struct statx status;
        char path[MLOS_PATH_SIZE];
        mlos_cleanup_close int fd = mlos_look(filesystem, written->handle, &status);
        if (fd < 0)
            continue;
        if (status.stx_size != written->size || mlos_nanoseconds(&status.stx_mtime) != written->mtime) {
            written->closes = 0;
            tell_closed(observer, written, 0, true, &status);
        }
        if ((!written->path || !observer->sees_renames) && mlos_path_of_file(filesystem, fd, &status, path))
            tell_renamed(observer, written, written->number, 0, path);
    }
    mlos_observer_give_back(observer);
}
