// One message of the daemon: a line of text and the standard streams of a job, in one packet (unix(7), SCM_RIGHTS).
#define _GNU_SOURCE
#include "shepherd.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// Returns false when the client is gone.
bool mlos_message_receive(struct mlos_message *ret, int client)
{
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(int) * 16)];
    } control;
    struct iovec data = {.iov_base = ret->text, .iov_len = sizeof ret->text - 1};
    struct msghdr head = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ret->stream_count = 0;
    ret->length = recvmsg(client, &head, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (ret->length <= 0)
        return ret->length < 0 && (errno == EAGAIN || errno == EINTR);
    bool whole = !(head.msg_flags & (MSG_TRUNC | MSG_CTRUNC));
    for (struct cmsghdr *at = CMSG_FIRSTHDR(&head); at; at = CMSG_NXTHDR(&head, at)) {
        if (at->cmsg_level != SOL_SOCKET || at->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(at) + i * sizeof fd, sizeof fd);
            if (ret->stream_count < MLOS_STREAMS)
                ret->streams[ret->stream_count] = fd;
            else
                close(fd);
            ret->stream_count++;
        }
    }
    ret->text[ret->length] = '\0';
    if (!whole)
        ret->text[0] = '\0';
    return true;
}

// "start <id> <jobdir>" and three fds: the rest of the line is the directory. Splits the text in place.
bool mlos_message_parse(struct mlos_message *message, char **id, char **jobdir)
{
    const char word[] = "start ";
    char *text = message->text;
    if (message->stream_count != MLOS_STREAMS || strncmp(text, word, strlen(word)) != 0)
        return false;
    *id = text + strlen(word);
    char *space = strchr(*id, ' ');
    if (!space || space == *id || space - *id > 64 || space[1] != '/')
        return false;
    *space = '\0';
    *jobdir = space + 1;
    return true;
}
