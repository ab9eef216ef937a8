// landlock(7), Linux 5.13: which version this kernel speaks, and giving up everything that it can forbid.
#define _GNU_SOURCE
#include "mlos.h"

#include <errno.h>
#include <linux/landlock.h>
#include <sys/syscall.h>
#include <unistd.h>

// struct landlock_ruleset_attr as Linux 6.12 has it; the headers of Debian 12 know the first field only. An older
// kernel takes a longer structure if what it does not know is 0.
struct mlos_landlock_ruleset {
    uint64_t handled_access_fs;
    uint64_t handled_access_net;
    uint64_t scoped;
};

int mlos_landlock_abi(void)
{
    long abi = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, LANDLOCK_CREATE_RULESET_VERSION);
    return abi < 0 ? -errno : (int)abi;
}

// 13 rights in version 1; then refer, truncate (3) and ioctl on devices (5).
static uint64_t file_rights(int abi)
{
    int count = abi >= 5 ? 16 : abi >= 3 ? 15 : abi >= 2 ? 14 : 13;
    return ((uint64_t)1 << count) - 1;
}

int mlos_landlock_refuse_all(void)
{
    int abi = mlos_landlock_abi();
    if (abi < 0)
        return abi;
    struct mlos_landlock_ruleset rules = {
        .handled_access_fs = file_rights(abi),
        .handled_access_net = abi >= 4 ? 3 : 0, // bind and connect, TCP
        .scoped = abi >= 6 ? 3 : 0,             // abstract Unix sockets and signals
    };
    long ruleset = syscall(SYS_landlock_create_ruleset, &rules, sizeof rules, 0);
    if (ruleset < 0)
        return -errno;
    int ret = syscall(SYS_landlock_restrict_self, (int)ruleset, 0) < 0 ? -errno : abi;
    close((int)ruleset);
    return ret;
}
