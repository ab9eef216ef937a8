// What /proc says of a process and of this boot: with its start time a pid is never taken for another's.
#define _GNU_SOURCE
#include "shepherd.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint64_t mlos_start_time(pid_t pid)
{
    char path[32];
    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    mlos_cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
    char stat[1024];
    ssize_t length = fd < 0 ? -1 : read(fd, stat, sizeof stat - 1);
    if (length <= 0)
        return 0;
    stat[length] = '\0';
    // The name of the command may hold anything but ends with the last ')', the second field; we want field 22.
    char *at = strrchr(stat, ')');
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    return at ? strtoull(at + 1, NULL, 10) : 0;
}

// Read once; keepers have it from the process that they were forked from.
const char *mlos_boot_id(void)
{
    static char boot_id[37];
    if (boot_id[0])
        return boot_id;
    mlos_cleanup_close int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, boot_id, sizeof boot_id - 1) != sizeof boot_id - 1)
        boot_id[0] = '\0';
    return boot_id;
}
