// What a file system says of itself and of one inode: UUID, inode flags (chattr), fs-verity.
#define _GNU_SOURCE
#include "mlos.h"

#include <errno.h>
#include <linux/fs.h>
#include <linux/fsverity.h>
#include <string.h>
#include <sys/ioctl.h>

// Linux 6.9; the headers of Debian 12 lack it.
struct mlos_fsuuid2 {
    uint8_t len;
    uint8_t uuid[16];
};
#define MLOS_FS_IOC_GETFSUUID _IOR(0x15, 0, struct mlos_fsuuid2)

// The number says long, but all kernels read and write an int (ioctl_iflags(2)).
int mlos_get_inode_flags(int fd, uint32_t *flags)
{
    int value = 0;
    if (ioctl(fd, FS_IOC_GETFLAGS, &value) < 0)
        return -errno;
    *flags = (uint32_t)value;
    return 0;
}

int mlos_set_inode_flags(int fd, uint32_t flags)
{
    int value = (int)flags;
    return ioctl(fd, FS_IOC_SETFLAGS, &value) < 0 ? -errno : 0;
}

// Returns how many of the 16 bytes are meant.
int mlos_get_filesystem_uuid(int fd, unsigned char uuid[16])
{
    struct mlos_fsuuid2 kernel = {0};
    if (ioctl(fd, MLOS_FS_IOC_GETFSUUID, &kernel) < 0)
        return -errno;
    memcpy(uuid, kernel.uuid, sizeof kernel.uuid);
    return kernel.len > sizeof kernel.uuid ? -EOVERFLOW : kernel.len;
}

int mlos_enable_verity(int fd, uint32_t hash_algorithm, uint32_t block_size)
{
    struct fsverity_enable_arg how = {.version = 1, .hash_algorithm = hash_algorithm, .block_size = block_size};
    return ioctl(fd, FS_IOC_ENABLE_VERITY, &how) < 0 ? -errno : 0;
}

// `digest` has room for *size bytes; *size becomes the length of the digest.
int mlos_measure_verity(int fd, uint32_t *hash_algorithm, unsigned char *digest, uint32_t *size)
{
    struct {
        struct fsverity_digest head;
        unsigned char bytes[64];
    } measured = {.head.digest_size = sizeof measured.bytes};
    if (ioctl(fd, FS_IOC_MEASURE_VERITY, &measured) < 0)
        return -errno;
    if (measured.head.digest_size > *size)
        return -EOVERFLOW;
    *hash_algorithm = measured.head.digest_algorithm;
    *size = measured.head.digest_size;
    memcpy(digest, measured.head.digest, *size);
    return 0;
}
