// A job's trace: lines of text that only grow. Losing some must be said in it; half a line must never be.
#define _GNU_SOURCE
#include "observe.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LONGEST_LINE = 24 << 10, FLUSH_MS = 100 };
static const uint64_t LARGEST = UINT64_C(1) << 30;

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

void mlos_trace_tick(struct mlos_trace *trace)
{
    trace->now = clock_ns(CLOCK_BOOTTIME) - trace->began;
}

int mlos_trace_init(struct mlos_trace *trace, const char *path)
{
    trace->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (trace->fd < 0)
        return -errno;
    trace->began = clock_ns(CLOCK_BOOTTIME);
    trace->waiting_since = -1;
    mlos_trace_add(trace, NULL, "begin %lld %lld", (long long)clock_ns(CLOCK_REALTIME), (long long)trace->began);
    return 0;
}

void mlos_trace_deinit(struct mlos_trace *trace)
{
    mlos_trace_flush(trace);
    mlos_close(&trace->fd);
    trace->fd = -1;
}

// As mountinfo has them: what would end a field or a line becomes three octal digits.
static size_t escape(char *to, const char *name)
{
    char *at = to;
    for (; *name; name++) {
        unsigned char byte = (unsigned char)*name;
        if (strchr(" \t\n\\", byte))
            at += sprintf(at, "\\%03o", byte);
        else
            *at++ = *name;
    }
    return (size_t)(at - to);
}

void mlos_trace_add(struct mlos_trace *trace, const char *name, const char *format, ...)
{
    if (trace->full)
        return;
    if (sizeof trace->buffer - trace->length < LONGEST_LINE)
        mlos_trace_flush(trace);
    char *line = trace->buffer + trace->length;
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, LONGEST_LINE, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length + (name ? strlen(name) * 4 : 0) + 2 > LONGEST_LINE)
        return;
    if (name) {
        line[length++] = ' ';
        length += (int)escape(line + length, name);
    }
    line[length++] = '\n';
    trace->length += (size_t)length;
    if (trace->waiting_since < 0)
        trace->waiting_since = trace->now;
}

// On a full disk the lines are lost, whole: what a write left of one is cut off again.
static bool append(struct mlos_trace *trace, const char *bytes, size_t length)
{
    size_t written = 0;
    while (written < length) {
        ssize_t n = write(trace->fd, bytes + written, length - written);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            trace->lost = true;
            if (ftruncate(trace->fd, (off_t)trace->size) < 0)
                trace->full = true; // half a line at the end is not believed: nothing may follow it
            return false;
        }
        written += (size_t)n;
    }
    trace->size += length;
    return true;
}

void mlos_trace_flush(struct mlos_trace *trace)
{
    static const char LOST[] = "partial the disk was full: some of what the job used is not here\n";
    static const char FULL[] = "partial more than a trace may hold\n";
    if (trace->fd < 0 || trace->length == 0)
        return;
    if (trace->lost && append(trace, LOST, sizeof LOST - 1))
        trace->lost = false;
    append(trace, trace->buffer, trace->length);
    if (trace->size > LARGEST && !trace->full) {
        append(trace, FULL, sizeof FULL - 1);
        trace->full = true;
    }
    trace->length = 0;
    trace->waiting_since = -1;
    trace->urgent = false;
}

void mlos_trace_flush_if_due(struct mlos_trace *trace)
{
    if (trace->length && (trace->urgent || mlos_trace_due_ms(trace) == 0))
        mlos_trace_flush(trace);
}

int mlos_trace_due_ms(const struct mlos_trace *trace)
{
    if (trace->waiting_since < 0)
        return -1;
    int64_t left = FLUSH_MS - (trace->now - trace->waiting_since) / 1000000;
    return left < 0 ? 0 : (int)left;
}
