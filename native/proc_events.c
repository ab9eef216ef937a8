// The process connector (driver-api/connector): the kernel tells of every fork, exec and exit on the machine. A filter
// in the kernel drops what is about threads, so that they wake nobody.
#define _GNU_SOURCE
#include "observe.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/cn_proc.h>
#include <linux/connector.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// Events that wait: a machine that forks ten thousand times a second, and a keeper that comes to it after a while.
enum { ROOM = 4 << 20 };

struct __attribute__((aligned(NLMSG_ALIGNTO))) request {
    struct nlmsghdr head;
    struct __attribute__((packed)) {
        struct cn_msg connector;
        enum proc_cn_mcast_op operation;
    } body;
};

enum {
    EVENT = NLMSG_HDRLEN + sizeof(struct cn_msg),
    WHAT = EVENT + offsetof(struct proc_event, what),
    CHILD_THREAD = EVENT + offsetof(struct proc_event, event_data.fork.child_pid),
    CHILD = EVENT + offsetof(struct proc_event, event_data.fork.child_tgid),
    EXIT_THREAD = EVENT + offsetof(struct proc_event, event_data.exit.process_pid),
    EXIT = EVENT + offsetof(struct proc_event, event_data.exit.process_tgid),
};

// The kernel's struct is in the byte order of the machine, BPF loads are in that of the network.
static int set_filter(int fd)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, WHAT),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(PROC_EVENT_FORK), 4, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(PROC_EVENT_EXIT), 7, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(PROC_EVENT_EXEC), 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(PROC_EVENT_NONE), 0, 9), // the answer to our request
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, CHILD_THREAD),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, CHILD),
        BPF_JUMP(BPF_JMP | BPF_JA, 3, 0, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, EXIT_THREAD),
        BPF_STMT(BPF_MISC | BPF_TAX, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, EXIT),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_X, 0, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, 0),
        BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
    };
    struct sock_fprog program = {.len = sizeof code / sizeof code[0], .filter = code};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

static int listen_on(int fd)
{
    struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = CN_IDX_PROC};
    struct request request = {
        .head = {.nlmsg_len = NLMSG_LENGTH(sizeof request.body), .nlmsg_type = NLMSG_DONE},
        .body.connector = {.id = {CN_IDX_PROC, CN_VAL_PROC}, .len = sizeof request.body.operation},
        .body.operation = PROC_CN_MCAST_LISTEN,
    };
    int room = ROOM;
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) < 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (set_filter(fd) < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        send(fd, &request, request.head.nlmsg_len, 0) < 0)
        return -errno;
    // The answer is there before send(2) returns. In a PID namespace of our own the kernel gives none, nor any events.
    char answer[1024];
    return recv(fd, answer, sizeof answer, MSG_DONTWAIT | MSG_PEEK) < 0 ? -EOPNOTSUPP : 0;
}

int mlos_proc_events_open(void)
{
    int fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_CONNECTOR);
    if (fd < 0)
        return -errno;
    int r = listen_on(fd);
    if (r == 0)
        return fd;
    close(fd);
    return r;
}

static struct mlos_proc_event read_event(const char *message, size_t length)
{
    struct proc_event event = {0};
    if (length <= EVENT)
        return (struct mlos_proc_event){.what = MLOS_OTHER};
    size_t size = length - EVENT < sizeof event ? length - EVENT : sizeof event;
    memcpy(&event, message + EVENT, size);
    switch ((unsigned)event.what) {
    case PROC_EVENT_FORK:
        return (struct mlos_proc_event){
            MLOS_FORKED, event.event_data.fork.child_tgid, event.event_data.fork.parent_tgid, 0};
    case PROC_EVENT_EXEC:
        return (struct mlos_proc_event){.what = MLOS_EXECED, .pid = event.event_data.exec.process_tgid};
    case PROC_EVENT_EXIT:
        return (struct mlos_proc_event){
            MLOS_EXITED, event.event_data.exit.process_tgid, 0, event.event_data.exit.exit_code};
    default:
        return (struct mlos_proc_event){.what = MLOS_OTHER};
    }
}

int mlos_proc_events_read(int fd, struct mlos_proc_event events[MLOS_PROC_EVENTS])
{
    static char buffers[MLOS_PROC_EVENTS][256];
    struct sockaddr_nl senders[MLOS_PROC_EVENTS];
    struct iovec data[MLOS_PROC_EVENTS];
    struct mmsghdr messages[MLOS_PROC_EVENTS];
    for (int i = 0; i < MLOS_PROC_EVENTS; i++) {
        data[i] = (struct iovec){.iov_base = buffers[i], .iov_len = sizeof buffers[i]};
        messages[i] = (struct mmsghdr){.msg_hdr = {.msg_name = &senders[i],
                                                   .msg_namelen = sizeof senders[i],
                                                   .msg_iov = &data[i],
                                                   .msg_iovlen = 1}};
    }
    int count = recvmmsg(fd, messages, MLOS_PROC_EVENTS, MSG_DONTWAIT, NULL);
    if (count < 0)
        return -errno;
    for (int i = 0; i < count; i++) {
        bool kernel = senders[i].nl_pid == 0;
        events[i] = read_event(buffers[i], kernel ? messages[i].msg_len : 0);
    }
    return count;
}
