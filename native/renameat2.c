// renameat2(2), Linux 3.15: two names change places in one step.
#define _GNU_SOURCE
#include "mlos.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

int mlos_renameat2(int old_dirfd, const char *old_path, int new_dirfd, const char *new_path, unsigned int flags)
{
    return syscall(SYS_renameat2, old_dirfd, old_path, new_dirfd, new_path, flags) < 0 ? -errno : 0;
}
