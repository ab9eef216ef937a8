// ioprio_set(2), which no C library has.
#define _GNU_SOURCE
#include "mlos.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

int mlos_ioprio_set(int which, int who, int ioprio)
{
    return syscall(SYS_ioprio_set, which, who, ioprio) < 0 ? -errno : 0;
}
