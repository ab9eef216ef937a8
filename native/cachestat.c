// cachestat(2), Linux 6.5: how much of a file is in the page cache.
#define _GNU_SOURCE
#include "mlos.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

// The same number on every architecture but alpha; the headers of Debian 12 lack it.
#ifndef SYS_cachestat
#define SYS_cachestat 451
#endif

struct mlos_cachestat_range {
    uint64_t offset;
    uint64_t length;
};

_Static_assert(sizeof(struct mlos_cachestat) == 5 * sizeof(uint64_t), "struct cachestat of linux/mman.h");

int mlos_cachestat(int fd, uint64_t offset, uint64_t length, struct mlos_cachestat *pages)
{
    struct mlos_cachestat_range range = {.offset = offset, .length = length};
    return syscall(SYS_cachestat, fd, &range, pages, 0) < 0 ? -errno : 0;
}
