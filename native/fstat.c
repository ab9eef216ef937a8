// fstat(2) itself: the C library makes newfstatat(2) of it, which takes a path, which a sandbox may refuse.
#define _GNU_SOURCE
#include "mlos.h"

#include <asm/stat.h>
#include <errno.h>
#include <sys/syscall.h>

long syscall(long number, ...); // <unistd.h> would bring another struct stat

int mlos_fstat(int fd, struct mlos_stat *status)
{
#ifdef __NR_fstat
    struct stat kernel = {0};
    if (syscall(__NR_fstat, fd, &kernel) < 0)
        return -errno;
    status->mode = kernel.st_mode;
    status->size = (int64_t)kernel.st_size;
    status->mtime_ns = (int64_t)kernel.st_mtime * 1000000000 + (int64_t)kernel.st_mtime_nsec;
    status->ctime_ns = (int64_t)kernel.st_ctime * 1000000000 + (int64_t)kernel.st_ctime_nsec;
    return 0;
#else
    (void)fd;
    (void)status;
    return -ENOSYS; // the newest architectures have statx(2) only
#endif
}
