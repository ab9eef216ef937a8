// `cgroup=self`: systemd runs the keeper in a cgroup that it delegated to us (Delegate=yes). Processes may live in
// leaves only, so the keeper moves into keeper/ and the job gets job/; systemd sees neither (systemd.io/CGROUP_DELEGATION).
#define _GNU_SOURCE
#include "shepherd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

static const char *mount_point(void)
{
    static const char *const USUAL[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
    for (size_t i = 0; i < sizeof USUAL / sizeof USUAL[0]; i++) {
        struct statfs fs;
        if (statfs(USUAL[i], &fs) == 0 && fs.f_type == CGROUP2_SUPER_MAGIC)
            return USUAL[i];
    }
    return NULL;
}

// The cgroup we are in: the line "0::/path" of /proc/self/cgroup.
static int own_cgroup(char *path, size_t size)
{
    mlos_cleanup_close int fd = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
    char text[8192];
    ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (length < 0)
        return -errno;
    text[length] = '\0';
    const char *mount = mount_point();
    char *line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");
    if (!mount || !line)
        return -ENOENT;
    line = strchr(line, '/');
    if (!line)
        return -ENOENT;
    line[strcspn(line, "\n")] = '\0';
    return (size_t)snprintf(path, size, "%s%s", mount, line) >= size ? -ENAMETOOLONG : 0;
}

// A controller that cannot be enabled is missing in job/: the knobs that need it fail there, one by one.
static void enable_controllers(int cgroup)
{
    char names[512];
    if (mlos_cgroup_read(cgroup, "cgroup.controllers", names, sizeof names) < 0)
        return;
    char *rest = names;
    for (char *name; (name = strtok_r(rest, " \n", &rest));) {
        char enable[64];
        if ((size_t)snprintf(enable, sizeof enable, "+%s", name) < sizeof enable)
            mlos_cgroup_write(cgroup, "cgroup.subtree_control", enable);
    }
}

// Stores the path of the cgroup that the job shall get; the caller makes it.
int mlos_delegated_cgroup(char *path, size_t size)
{
    int r = own_cgroup(path, size);
    if (r < 0)
        return r;
    mlos_cleanup_close int cgroup = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (cgroup < 0 || (mkdirat(cgroup, "keeper", 0755) < 0 && errno != EEXIST))
        return -errno;
    r = mlos_cgroup_write(cgroup, "keeper/cgroup.procs", "0");
    if (r < 0)
        return r;
    enable_controllers(cgroup);
    size_t length = strlen(path);
    return (size_t)snprintf(path + length, size - length, "/job") >= size - length ? -ENAMETOOLONG : 0;
}
