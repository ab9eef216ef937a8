// The inside of mlos-shepherd: what its files tell each other. Functions return >= 0 or -errno unless they say so.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    MLOS_NULL_FD = 3, // /dev/null; the standard streams of a keeper become it once the job has its own
    MLOS_CONNECTION_FD = 4,
    MLOS_STREAMS = 3,
    MLOS_RECORD_SIZE = 4096,
    MLOS_CPU_BYTES = 1024, // 8192 CPUs, the largest NR_CPUS of Linux
};

// spec.c: what to start. Everything points into the text that it was read from.
struct mlos_knob {
    const char *file;
    const char *value;
    bool required;
};

struct mlos_spec {
    char *id;
    char **argv; // ends with NULL, as env does
    char **env;
    size_t argc, envc;
    const char *cwd;
    uid_t uid;
    gid_t gid;
    gid_t *groups;
    size_t group_count;
    mode_t umask;
    bool terminal;
    size_t affinity_size; // bytes in use; 0: wherever the keeper may run
    unsigned char affinity[MLOS_CPU_BYTES];
    int64_t grace_ms;
    const char *cgroup; // NULL: none
    const char *trace;  // NULL: nobody wants to know what the job used
    struct mlos_knob *knobs;
    size_t knob_count;
};

int mlos_spec_init(struct mlos_spec *spec, char *text, size_t size);
void mlos_spec_deinit(struct mlos_spec *spec);

// launch.c: from a spec to a process. `report` yields one mlos_refusal, or nothing once the command runs.
struct mlos_refusal {
    char step[32];
    int error;
};

void mlos_refusal_init(struct mlos_refusal *refusal, const char *step, int error);

struct mlos_child {
    pid_t pid;
    int report;
};

// `observer` (NULL: none) is told over `tell` which mount namespace the child made for itself; see observe.h.
struct mlos_observer;
void mlos_observe_child(const struct mlos_observer *observer, int tell);

int mlos_launch(const struct mlos_spec *spec, int cgroup, const struct mlos_observer *observer, int tell,
                struct mlos_child *ret);
void mlos_lower_oom_score(void);

// keeper.c: one job, from its spec to its end. Return the exit status of the keeper.
int mlos_keeper_serve(const char *id, const char *jobdir);
int mlos_keeper_alone(const char *jobdir);

// record.c: the files of a job's directory that others read.
struct mlos_text {
    size_t length;
    char bytes[MLOS_RECORD_SIZE];
};

void mlos_text_add(struct mlos_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void mlos_text_add_now(struct mlos_text *text);
int mlos_record_reserve(int directory, const char *name);
int mlos_record_write(int fd, const struct mlos_text *text);

// process.c: what /proc says.
uint64_t mlos_start_time(pid_t pid); // 0: gone
const char *mlos_boot_id(void);

// job_cgroup.c: the cgroup of one job, by its directory.
int mlos_cgroup_make(const char *path);
int mlos_cgroup_write(int cgroup, const char *file, const char *value);
ssize_t mlos_cgroup_read(int cgroup, const char *file, char *buffer, size_t size);
bool mlos_cgroup_populated(int events);
void mlos_cgroup_signal(int cgroup, int signal);
void mlos_cgroup_kill(int cgroup);
int mlos_cgroup_remove(const char *path);

// delegated.c: the cgroup that systemd gave us, divided into keeper/ and job/.
int mlos_delegated_cgroup(char *path, size_t size);

// family.c: the descendants of the keeper, where there is no cgroup to ask.
void mlos_family_signal(int signal);
void mlos_family_stop(void);
void mlos_family_kill(void);

// usage.c: what the job cost.
void mlos_usage_add(struct mlos_text *text, int cgroup);

// message.c: what the daemon asks for.
struct mlos_message {
    char text[4096 + 128];
    ssize_t length; // < 0: nothing there yet
    int streams[MLOS_STREAMS];
    int stream_count;
};

bool mlos_message_receive(struct mlos_message *ret, int client); // false: the client is gone
bool mlos_message_parse(struct mlos_message *message, char **id, char **jobdir);

// serve.c, sd_notify.c
int mlos_serve(const char *socket_path);
void mlos_notify_ready(void);

static inline void mlos_close(const int *fd)
{
    extern int close(int);
    if (*fd >= 0)
        close(*fd);
}
#define mlos_cleanup_close __attribute__((cleanup(mlos_close)))
