// The files that a keeper leaves for others: `started` and `exit`. Room for them is taken before the job starts, so
// that a disk which the job filled cannot lose its end.
#define _GNU_SOURCE
#include "shepherd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

// What does not fit is left out, whole.
void mlos_text_add(struct mlos_text *text, const char *format, ...)
{
    size_t room = sizeof text->bytes - text->length;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text->bytes + text->length, room, format, arguments);
    va_end(arguments);
    if (length > 0 && (size_t)length < room)
        text->length += (size_t)length;
    else
        text->bytes[text->length] = '\0';
}

void mlos_text_add_now(struct mlos_text *text)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    mlos_text_add(text, "at=%lld.%06ld\n", (long long)now.tv_sec, now.tv_nsec / 1000);
}

// Make an empty file that one record will surely fit into; returns its fd.
int mlos_record_reserve(int directory, const char *name)
{
    int fd = openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    int error = fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, MLOS_RECORD_SIZE) < 0 ? errno : 0;
    // A file system without fallocate(2): zeros are written instead, and readers pass over them.
    if (error == EOPNOTSUPP || error == ENOSYS)
        error = posix_fallocate(fd, 0, MLOS_RECORD_SIZE);
    if (!error)
        return fd;
    close(fd);
    unlinkat(directory, name, 0);
    return -error;
}

int mlos_record_write(int fd, const struct mlos_text *text)
{
    size_t written = 0;
    while (written < text->length) {
        ssize_t n = pwrite(fd, text->bytes + written, text->length - written, (off_t)written);
        if (n < 0 && errno != EINTR)
            return -errno;
        written += n > 0 ? (size_t)n : 0;
    }
    return 0;
}
