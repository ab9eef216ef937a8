// File handles: the name of an inode that is not used again (it holds the generation), see name_to_handle_at(2).
#define _GNU_SOURCE
#include "mlos.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

// Linux 6.12; the headers of Debian 12 lack it. The kernel then stores 64 bits of mount id.
#ifndef AT_HANDLE_MNT_ID_UNIQUE
#define AT_HANDLE_MNT_ID_UNIQUE 0x001
#endif

struct sized_handle {
    struct file_handle head;
    unsigned char bytes[MAX_HANDLE_SZ];
};

_Static_assert(MAX_HANDLE_SZ == sizeof(((struct mlos_file_handle *)0)->bytes), "mlos.h and the kernel agree");

int mlos_name_to_handle_at(int dirfd, const char *path, struct mlos_file_handle *handle, int flags)
{
    struct sized_handle sized = {.head.handle_bytes = MAX_HANDLE_SZ};
    uint64_t unique = 0;
    int reused = 0;
    int *mount_id = flags & AT_HANDLE_MNT_ID_UNIQUE ? (int *)&unique : &reused;
    if (name_to_handle_at(dirfd, path, &sized.head, mount_id, flags) < 0)
        return -errno;
    handle->mount_id = flags & AT_HANDLE_MNT_ID_UNIQUE ? unique : (uint64_t)reused;
    handle->type = sized.head.handle_type;
    handle->size = sized.head.handle_bytes;
    memcpy(handle->bytes, sized.head.f_handle, handle->size);
    return 0;
}

int mlos_open_by_handle_at(int mount_fd, const struct mlos_file_handle *handle, int flags)
{
    if (handle->size > MAX_HANDLE_SZ)
        return -EINVAL;
    struct sized_handle sized = {.head.handle_bytes = handle->size, .head.handle_type = handle->type};
    memcpy(sized.head.f_handle, handle->bytes, handle->size);
    int fd = open_by_handle_at(mount_fd, &sized.head, flags);
    return fd < 0 ? -errno : fd;
}
