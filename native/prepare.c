// Before a job starts: the token that keeps it from running twice, its spec, its cgroup.
#define _GNU_SOURCE
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAX_SPEC_SIZE = 8 << 20 }; // more than the kernel would take for argv and environment

static int read_spec(struct mlos_keeper *keeper)
{
    mlos_cleanup_close int fd = openat(keeper->directory, "spec", O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) < 0)
        return -errno;
    if (!S_ISREG(status.st_mode) || status.st_size > MAX_SPEC_SIZE)
        return -EFBIG;
    size_t size = (size_t)status.st_size;
    char *text = malloc(size + 1); // the spec points into it, until the keeper exits
    if (!text)
        return -ENOMEM;
    size_t length = 0;
    for (ssize_t n; length < size && (n = read(fd, text + length, size - length)) > 0;)
        length += (size_t)n;
    return mlos_spec_init(&keeper->spec, text, length);
}

static int make_cgroup(struct mlos_keeper *keeper)
{
    const struct mlos_spec *spec = &keeper->spec;
    if (!spec->cgroup)
        return 0;
    const char *path = spec->cgroup;
    if (strcmp(path, "self") == 0) {
        int r = mlos_delegated_cgroup(keeper->cgroup_path, sizeof keeper->cgroup_path);
        if (r < 0)
            return mlos_keeper_refused(keeper, "delegation", r);
        path = keeper->cgroup_path;
    } else if ((size_t)snprintf(keeper->cgroup_path, sizeof keeper->cgroup_path, "%s", path) >=
               sizeof keeper->cgroup_path) {
        keeper->cgroup_path[0] = '\0';
        return mlos_keeper_refused(keeper, "cgroup", ENAMETOOLONG);
    }
    keeper->cgroup = mlos_cgroup_make(path);
    if (keeper->cgroup < 0) {
        keeper->cgroup_path[0] = '\0'; // not ours to remove
        return mlos_keeper_refused(keeper, "cgroup", keeper->cgroup);
    }
    keeper->events = openat(keeper->cgroup, "cgroup.events", O_RDONLY | O_CLOEXEC);
    if (keeper->events < 0)
        return mlos_keeper_refused(keeper, "cgroup-events", errno);
    for (size_t i = 0; i < spec->knob_count; i++) {
        const struct mlos_knob *knob = &spec->knobs[i];
        int r = mlos_cgroup_write(keeper->cgroup, knob->file, knob->value);
        if (r < 0 && knob->required)
            return mlos_keeper_refused(keeper, knob->file, r);
        if (r < 0)
            mlos_text_add(&keeper->knob_errors, "knob_failed=%s: %s\n", knob->file, strerror(-r));
    }
    return 0;
}

// Whoever makes `started` may start the job, now and for ever: this is what keeps a job from running twice.
static int take_token(struct mlos_keeper *keeper, const char *jobdir)
{
    keeper->directory = open(jobdir, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (keeper->directory < 0)
        return mlos_keeper_refused(keeper, "directory", errno);
    int token = openat(keeper->directory, "started", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (token < 0)
        return mlos_keeper_refused(keeper, errno == EEXIST ? "already-started" : "started", errno);
    close(token);
    keeper->exit_record = mlos_record_reserve(keeper->directory, "exit");
    if (keeper->exit_record < 0)
        return mlos_keeper_refused(keeper, "exit-record", keeper->exit_record);
    keeper->started_record = mlos_record_reserve(keeper->directory, "started.new");
    if (keeper->started_record < 0)
        return mlos_keeper_refused(keeper, "started", keeper->started_record);
    return 0;
}

int mlos_keeper_prepare(struct mlos_keeper *keeper, const char *jobdir)
{
    if (take_token(keeper, jobdir) < 0)
        return -1;
    int r = read_spec(keeper);
    if (r < 0)
        return mlos_keeper_refused(keeper, "spec", r);
    if (keeper->id && strcmp(keeper->id, keeper->spec.id) != 0)
        return mlos_keeper_refused(keeper, "spec", EINVAL);
    return make_cgroup(keeper);
}
