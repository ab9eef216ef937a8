// What the kernel knows of a process held by a pidfd, also after its end: ioctl_pidfd(2).
#define _GNU_SOURCE
#include "mlos.h"

#include <errno.h>
#include <sys/ioctl.h>

// Linux 6.13; the headers of Debian 12 lack it. The kernel copies as many bytes as both sides know.
struct pidfd_info_ver0 {
    uint64_t mask;
    uint64_t cgroupid;
    uint32_t pid, tgid, ppid;
    uint32_t ruid, rgid, euid, egid, suid, sgid, fsuid, fsgid;
    int32_t exit_code; // Linux 6.15, a spare field before
};
#define PIDFD_GET_INFO_VER0 _IOWR(0xFF, 11, struct pidfd_info_ver0)

// PIDFD_INFO_PID, _CREDS, _CGROUPID, and _EXIT (Linux 6.15; older kernels leave its bit clear in the answer).
#define ALL_INFO (UINT64_C(1) | UINT64_C(2) | UINT64_C(4) | UINT64_C(8))

_Static_assert(sizeof(struct pidfd_info_ver0) == 64, "PIDFD_INFO_SIZE_VER0");

int mlos_pidfd_get_info(int pidfd, struct mlos_pid_info *info)
{
    struct pidfd_info_ver0 kernel = {.mask = ALL_INFO};
    if (ioctl(pidfd, PIDFD_GET_INFO_VER0, &kernel) < 0)
        return -errno;
    *info = (struct mlos_pid_info){
        .mask = kernel.mask,
        .cgroupid = kernel.cgroupid,
        .pid = kernel.tgid,
        .ppid = kernel.ppid,
        .ruid = kernel.ruid,
        .euid = kernel.euid,
        .rgid = kernel.rgid,
        .egid = kernel.egid,
        .exit_status = kernel.exit_code,
    };
    return 0;
}
