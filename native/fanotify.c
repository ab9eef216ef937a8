// fanotify_init(2) and fanotify_mark(2).
#define _GNU_SOURCE
#include "mlos.h"

#include <errno.h>
#include <sys/fanotify.h>

int mlos_fanotify_init(unsigned int flags, unsigned int event_f_flags)
{
    int fd = fanotify_init(flags, event_f_flags);
    return fd < 0 ? -errno : fd;
}

int mlos_fanotify_mark(int group, unsigned int flags, uint64_t mask, int dirfd, const char *path)
{
    return fanotify_mark(group, flags, mask, dirfd, path) < 0 ? -errno : 0;
}
