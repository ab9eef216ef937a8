// `mlos-shepherd serve`: waits for "start" messages and forks a keeper for each. Knows nothing of jobs: it may be killed
// at any time, keepers do not notice. It outlives the daemon and leaves when it is of no use to anybody.
#define _GNU_SOURCE
#include "shepherd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { IDLE_MS = 5000 };

struct server {
    int directory, lock, listener, client;
    char name[64]; // of the socket in its directory
};

static void close_fd(int *fd)
{
    mlos_close(fd);
    *fd = -1;
}

// --- opening and leaving ---

// The directory is the current one: the name is then short enough for any socket.
static int listen_in(struct server *server)
{
    char lock[sizeof server->name + 8];
    snprintf(lock, sizeof lock, "%s.lock", server->name);
    server->lock = open(lock, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (server->lock < 0 || flock(server->lock, LOCK_EX | LOCK_NB) < 0)
        return -errno;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, server->name, strlen(server->name));
    unlink(server->name);
    server->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (server->listener < 0)
        return -errno;
    mode_t before = umask(0177);
    int r = bind(server->listener, (struct sockaddr *)&address, sizeof address) < 0 ? -errno : 0;
    umask(before);
    return r < 0 ? r : listen(server->listener, 16) < 0 ? -errno : 0;
}

static int open_server(struct server *server, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    if (!*name || (size_t)snprintf(server->name, sizeof server->name, "%s", name) >= sizeof server->name)
        return -ENAMETOOLONG;
    char *directory = slash ? strndup(path, (size_t)(slash - path) + 1) : strdup(".");
    if (!directory)
        return -ENOMEM;
    server->directory = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(directory);
    if (server->directory < 0 || fchdir(server->directory) < 0)
        return -errno;
    int r = listen_in(server);
    return chdir("/") < 0 && r == 0 ? -errno : r;
}

static void accept_client(struct server *server)
{
    int fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0)
        return;
    struct ucred peer;
    socklen_t size = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != geteuid()) {
        close(fd);
        return;
    }
    // Says that somebody is there to listen: a connection can also end up at a socket whose server has just died.
    static const char GREETING[] = "serving 1";
    send(fd, GREETING, strlen(GREETING), MSG_DONTWAIT | MSG_NOSIGNAL);
    // A second client is a daemon that was restarted; what the first one asked for and we did not read is void.
    close_fd(&server->client);
    server->client = fd;
}

// Give up the name, so that the next daemon starts a shepherd of its own. One that connected a moment ago is still served.
static void retire(struct server *server)
{
    unlinkat(server->directory, server->name, 0);
    close_fd(&server->lock);
    accept_client(server);
    close_fd(&server->listener);
}

static bool of_no_use(const struct server *server)
{
    // SIGCHLD is ignored, so keepers leave no zombies and waitpid(2) only tells whether there are any.
    bool no_keeper = waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD;
    struct stat status;
    bool no_name = fstatat(server->directory, server->name, &status, AT_SYMLINK_NOFOLLOW) < 0;
    return no_keeper || no_name;
}

// --- one message, one keeper ---

static void answer_failed(int client, const char *id, const char *step, int error)
{
    char reply[256];
    int length = snprintf(reply, sizeof reply, "failed %s %s %d", id, step, error);
    send(client, reply, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL);
}

// Becomes the keeper: keeps the three streams, /dev/null and the connection, and nothing else of the server.
static __attribute__((noreturn)) void become_keeper(int client, const struct mlos_message *message, const char *id,
                                                    const char *jobdir)
{
    for (int i = 0; i < MLOS_STREAMS; i++)
        dup2(message->streams[i], i);
    if (client != MLOS_CONNECTION_FD)
        dup3(client, MLOS_CONNECTION_FD, O_CLOEXEC);
    if (syscall(SYS_close_range, MLOS_CONNECTION_FD + 1, ~0u, 0) < 0)
        for (int fd = MLOS_CONNECTION_FD + 1; fd < 64; fd++)
            close(fd);
    _exit(mlos_keeper_serve(id, jobdir));
}

static __attribute__((noreturn)) void start_job(int client, struct mlos_message *message)
{
    char *id, *jobdir;
    if (message->length > 0 && mlos_message_parse(message, &id, &jobdir))
        become_keeper(client, message, id, jobdir);
    answer_failed(client, "?", "message", EBADMSG);
    _exit(1);
}

static void refuse_job(int client, struct mlos_message *message, int error)
{
    char *id, *jobdir;
    if (!mlos_message_receive(message, client) || message->length < 0)
        return;
    if (mlos_message_parse(message, &id, &jobdir))
        answer_failed(client, id, "fork", error);
    for (int i = 0; i < message->stream_count && i < MLOS_STREAMS; i++)
        close(message->streams[i]);
}

// The child takes the message from the socket, and with it the streams: they are never ours, because close(2) may wait
// for whoever is behind them, a connection that lingers or a file server that does not answer. Returns -errno too.
static pid_t fork_receiver(int client, struct mlos_message *message)
{
    int taken[2];
    if (pipe2(taken, O_CLOEXEC) < 0)
        return -errno;
    pid_t pid = fork();
    int error = errno;
    if (pid == 0)
        mlos_message_receive(message, client);
    close(taken[1]); // the last one says that the next message is the first
    char nothing;
    while (pid > 0 && read(taken[0], &nothing, 1) < 0 && errno == EINTR)
        continue;
    close(taken[0]);
    return pid < 0 ? -error : pid;
}

// Returns false when the client is gone.
static bool serve_client(int client)
{
    static struct mlos_message message;
    char first;
    ssize_t length = recv(client, &first, 1, MSG_PEEK | MSG_DONTWAIT);
    if (length <= 0)
        return length < 0 && (errno == EAGAIN || errno == EINTR);
    pid_t pid = fork_receiver(client, &message);
    if (pid == 0)
        start_job(client, &message);
    if (pid < 0)
        refuse_job(client, &message, -pid);
    return true;
}

static void serve_until_idle(struct server *server)
{
    while (server->listener >= 0 || server->client >= 0) {
        struct pollfd wait[] = {
            {.fd = server->client, .events = POLLIN},
            {.fd = server->listener, .events = POLLIN},
        };
        int ready = poll(wait, 2, server->client < 0 ? IDLE_MS : -1);
        if (ready == 0 && of_no_use(server))
            retire(server);
        if (ready <= 0)
            continue;
        if (wait[0].revents && !serve_client(server->client))
            close_fd(&server->client);
        if (wait[1].revents)
            accept_client(server);
    }
}

// --- becoming a daemon ---

// Blocked, not ignored: jobs would inherit that. SIGTERM ends the server; keepers go on.
static void set_signals(void)
{
    sigset_t blocked;
    sigfillset(&blocked);
    sigdelset(&blocked, SIGTERM);
    sigprocmask(SIG_SETMASK, &blocked, NULL);
    signal(SIGCHLD, SIG_IGN); // each keeper takes it back
}

// The parent returns once the socket listens, so that whoever started us may connect.
int mlos_serve(const char *socket_path)
{
    struct server server = {-1, -1, -1, -1, ""};
    int r = open_server(&server, socket_path);
    if (r == -EWOULDBLOCK)
        return 0; // another one serves it
    if (r < 0) {
        fprintf(stderr, "mlos-shepherd: %s: %s\n", socket_path, strerror(-r));
        return 1;
    }
    pid_t pid = fork();
    if (pid != 0)
        return pid < 0;
    setsid();
    set_signals();
    mlos_lower_oom_score();
    mlos_boot_id();
    for (int fd = 0; fd <= 2; fd++)
        dup2(MLOS_NULL_FD, fd);
    serve_until_idle(&server);
    _exit(0);
}
