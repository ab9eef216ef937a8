// seccomp(2): the filter of a process that works with the descriptors it is given, and with nothing else.
//
// A list of what is allowed; everything else is EPERM. No path ever reaches the kernel: not open, and not stat either,
// which the C library makes of fstat(3) (newfstatat). That is what mlos_fstat is for.
#define _GNU_SOURCE
#include "mlos.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/fs.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define MLOS_AUDIT_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define MLOS_AUDIT_ARCH AUDIT_ARCH_AARCH64
#endif

int mlos_no_new_privs(void)
{
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}

#ifdef MLOS_AUDIT_ARCH
#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define RETURN(value) BPF_STMT(BPF_RET | BPF_K, value)
#define REFUSE RETURN(SECCOMP_RET_ERRNO | EPERM)
#define ALLOW RETURN(SECCOMP_RET_ALLOW)
#define ALLOW_CALL(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##name, 0, 1), ALLOW
// The lower half of an argument: all that the kernel reads of these, and where all their flags are.
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define LOAD_ARGUMENT(n) LOAD(args[n])
#else
#define LOAD_ARGUMENT(n) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[n]) + 4)
#endif

int mlos_seccomp_given_fds_only(void)
{
    struct sock_filter code[] = {
        LOAD(arch),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MLOS_AUDIT_ARCH, 1, 0),
        RETURN(SECCOMP_RET_KILL_PROCESS),
        LOAD(nr),
        // The descriptors.
        ALLOW_CALL(pread64),
        ALLOW_CALL(fstat),
        ALLOW_CALL(close),
        ALLOW_CALL(read),
        ALLOW_CALL(write),
        ALLOW_CALL(preadv),
        ALLOW_CALL(preadv2),
        ALLOW_CALL(pwrite64),
        ALLOW_CALL(lseek),
        ALLOW_CALL(fadvise64),
        ALLOW_CALL(fstatfs),
        ALLOW_CALL(ftruncate),
        ALLOW_CALL(recvmsg),
        ALLOW_CALL(sendmsg),
        ALLOW_CALL(recvfrom),
        ALLOW_CALL(sendto), // without an address: the socket is connected, and another cannot be made
        // Its own memory, time and end.
        ALLOW_CALL(munmap),
        ALLOW_CALL(mremap),
        ALLOW_CALL(madvise),
        ALLOW_CALL(brk),
        ALLOW_CALL(futex),
        ALLOW_CALL(clock_gettime),
        ALLOW_CALL(gettimeofday),
        ALLOW_CALL(setitimer),
        ALLOW_CALL(rt_sigaction),
        ALLOW_CALL(rt_sigprocmask),
        ALLOW_CALL(rt_sigreturn),
        ALLOW_CALL(sigaltstack),
        ALLOW_CALL(restart_syscall),
        ALLOW_CALL(getpid),
        ALLOW_CALL(gettid),
        ALLOW_CALL(sched_yield),
        ALLOW_CALL(getrandom),
        ALLOW_CALL(exit),
        ALLOW_CALL(exit_group),
        // ioctl: a reflink, from one descriptor to another.
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_ioctl, 0, 4),
        LOAD_ARGUMENT(1),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, FICLONE, 0, 1),
        ALLOW,
        REFUSE,
        // mmap, mprotect: nothing that could be executed.
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_mmap, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_mprotect, 0, 3),
        LOAD_ARGUMENT(2),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 1, 0),
        ALLOW,
        REFUSE,
    };
    struct sock_fprog program = {.len = sizeof code / sizeof *code, .filter = code};
    return syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) < 0 ? -errno : 0;
}
#else
int mlos_seccomp_given_fds_only(void)
{
    return -EOPNOTSUPP; // the filter names the system calls of the two architectures above
}
#endif
