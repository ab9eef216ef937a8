// mlos-shepherd: starts jobs, stays with them, and writes down how they end.
//
//   mlos-shepherd serve SOCKET   resident: a keeper per "start" message (the direct backend)
//   mlos-shepherd keep JOBDIR    is the keeper of one job itself (ExecStart= of a transient unit)
#define _GNU_SOURCE
#include "shepherd.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

// Whoever started us may ignore or block signals, and leave fds open: jobs shall inherit none of it.
static void forget_inheritance(void)
{
    // All zero is SIG_DFL in the kernel's own struct sigaction. Not by sigaction(3): glibc keeps 32 and 33 to itself.
    static const unsigned long by_default[4];
    for (int number = 1; number < NSIG; number++)
        syscall(SYS_rt_sigaction, number, by_default, NULL, sizeof(uint64_t));
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (syscall(SYS_close_range, 3, ~0u, 0) < 0)
        for (int fd = 3; fd < 1024; fd++)
            close(fd);
}

// The standard streams exist, and /dev/null lies where the keeper looks for it.
static bool open_null(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    while (fd >= 0 && fd < MLOS_NULL_FD);
    return fd == MLOS_NULL_FD;
}

int main(int argc, char **argv)
{
    forget_inheritance();
    if (!open_null())
        return EX_OSERR;
    umask(022); // of the cgroups that keepers make: anybody may look
    if (argc == 3 && strcmp(argv[1], "serve") == 0)
        return mlos_serve(argv[2]) == 0 ? 0 : EX_OSERR;
    if (argc == 3 && strcmp(argv[1], "keep") == 0) {
        mlos_lower_oom_score();
        return mlos_keeper_alone(argv[2]);
    }
    fprintf(stderr, "Usage: mlos-shepherd serve SOCKET\n       mlos-shepherd keep JOBDIR\n");
    return EX_USAGE;
}
