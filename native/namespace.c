// The job's own mount namespace. Marks on its mounts see the job and nobody else: the kernel itself tells apart who is
// who, and no process is too short-lived for it. The child makes it and marks it before it becomes the user's program,
// so that nothing is missed and nobody must wait for anybody.
#define _GNU_SOURCE
#include "observe.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#define OPEN_TREE_CLOEXEC O_CLOEXEC
#endif

enum { FDS = 3 };

struct message {
    int error;
    char step[16];
};

static void send_message(int tell, const struct message *message, const int fds[FDS])
{
    union {
        char bytes[CMSG_SPACE(FDS * sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct iovec data = {.iov_base = (void *)message, .iov_len = sizeof *message};
    struct msghdr header = {.msg_iov = &data, .msg_iovlen = 1};
    if (!message->error) {
        header.msg_control = control.bytes;
        header.msg_controllen = sizeof control.bytes;
        struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(FDS * sizeof(int));
        memcpy(CMSG_DATA(rights), fds, FDS * sizeof(int));
    }
    // It fits into the socket: a keeper that was stopped does not stop its job.
    sendmsg(tell, &header, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static int fail(struct message *message, const char *step)
{
    message->error = errno;
    strncpy(message->step, step, sizeof message->step - 1);
    return -1;
}

static int mark_all(int group, int mountinfo, int root)
{
    struct mlos_mounts mounts;
    int r = mlos_mounts_init(&mounts, mountinfo);
    if (r < 0) {
        errno = -r;
        return -1;
    }
    // The keeper does it again, and then says what could not be marked.
    for (size_t i = 0; i < mounts.count; i++) {
        const struct mlos_mount *mount = &mounts.all[i];
        if (mount->kind == MLOS_DATA && !mlos_mounts_in_the_way(&mounts, mount) &&
            mlos_mount_mark(group, root, mount) == 0)
            mlos_mount_watch_renames(group, root, mount);
    }
    mlos_mounts_deinit(&mounts);
    return 0;
}

static int enter(int group, struct message *message, int fds[FDS])
{
    if (unshare(CLONE_NEWNS) < 0)
        return fail(message, "unshare");
    // What the host mounts later shall still arrive. Where the host shares nothing this is as good as it was.
    mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL);
    fds[0] = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    if (fds[0] < 0)
        return fail(message, "mountinfo");
    fds[1] = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fds[1] < 0)
        return fail(message, "root");
    fds[2] = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    if (fds[2] < 0)
        return fail(message, "ns/mnt");
    return group >= 0 && mark_all(group, fds[0], fds[1]) < 0 ? fail(message, "mounts") : 0;
}

// In the child, while it is root. Whatever fails, the job goes on.
void mlos_namespace_enter(int group, int tell)
{
    struct message message = {0};
    int fds[FDS] = {-1, -1, -1};
    enter(group, &message, fds);
    send_message(tell, &message, fds);
    for (int i = 0; i < FDS; i++)
        mlos_close(&fds[i]);
}

// A copy of a mount, mounted nowhere (open_tree(2), Linux 5.2). Who holds it hinders nobody from unmounting the mount
// itself, as an open file in it would. The kernel copies only what is in the namespace of who asks.
int mlos_namespace_copy(const struct mlos_namespaces *namespaces, const char *target)
{
    if (setns(namespaces->of_job, CLONE_NEWNS) < 0)
        return -errno;
    unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW;
    int tree = (int)syscall(SYS_open_tree, AT_FDCWD, target, flags);
    int error = errno;
    // setns(2) goes to the root of the namespace; ours may be below it.
    if (setns(namespaces->own, CLONE_NEWNS) < 0 || fchdir(namespaces->own_root) < 0 || chroot(".") < 0)
        error = errno;
    return tree < 0 ? -error : tree;
}

bool mlos_namespace_entered(int told, struct mlos_entered *ret)
{
    union {
        char bytes[CMSG_SPACE(FDS * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct message message;
    struct iovec data = {.iov_base = &message, .iov_len = sizeof message};
    struct msghdr header = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control.bytes};
    *ret = (struct mlos_entered){.mountinfo = -1, .root = -1, .namespace = -1};
    if (recvmsg(told, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) != sizeof message)
        return false;
    ret->error = message.error;
    memcpy(ret->step, message.step, sizeof ret->step - 1);
    struct cmsghdr *rights = CMSG_FIRSTHDR(&header);
    if (rights && rights->cmsg_type == SCM_RIGHTS && rights->cmsg_len == CMSG_LEN(FDS * sizeof(int))) {
        int fds[FDS];
        memcpy(fds, CMSG_DATA(rights), sizeof fds);
        ret->mountinfo = fds[0];
        ret->root = fds[1];
        ret->namespace = fds[2];
    } else if (!ret->error) {
        ret->error = EPROTO;
    }
    return true;
}
