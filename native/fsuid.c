// setfsuid(2), setfsgid(2) and setgroups(2) of one thread: whose files it may open. glibc's setgroups changes them all.
#define _GNU_SOURCE
#include "mlos.h"

#include <errno.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

// With another user's id the capabilities that overrule permissions are not effective, and with 0 they are again. Both
// calls tell the id from before and no error: we ask what came of it.
int mlos_set_thread_identity(uint32_t uid, uint32_t gid, const uint32_t *groups, size_t count)
{
    if (syscall(SYS_setgroups, count, groups) < 0)
        return -errno;
    setfsgid(gid);
    setfsuid(uid);
    return (uint32_t)setfsgid((gid_t)-1) == gid && (uint32_t)setfsuid((uid_t)-1) == uid ? 0 : -EPERM;
}
