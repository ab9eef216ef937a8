// What a job cost: from its cgroup, which counts everything, else from rusage, which counts the processes waited for.
#define _GNU_SOURCE
#include "shepherd.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static const int64_t UNKNOWN = -1;

// The number after the first `key`, as in "usage_usec 12" or "some avg10=0.00 ... total=12".
static int64_t number_after(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    return at ? (int64_t)strtoull(at + strlen(key), NULL, 10) : UNKNOWN;
}

static int64_t read_number_after(int cgroup, const char *file, const char *key)
{
    char text[4096];
    return mlos_cgroup_read(cgroup, file, text, sizeof text) <= 0 ? UNKNOWN : number_after(text, key);
}

// io.stat has a line per device: "8:0 rbytes=1 wbytes=2 ..."
static int64_t sum_over_devices(const char *text, const char *key)
{
    int64_t sum = 0;
    for (const char *at = text; (at = strstr(at, key)); at += strlen(key))
        sum += (int64_t)strtoull(at + strlen(key), NULL, 10);
    return sum;
}

static void add(struct mlos_text *text, const char *key, int64_t from_cgroup, int64_t from_rusage)
{
    if (from_cgroup != UNKNOWN)
        mlos_text_add(text, "%s=%" PRId64 "\n", key, from_cgroup);
    else if (from_rusage != UNKNOWN)
        mlos_text_add(text, "%s=%" PRId64 "\n%s_source=rusage\n", key, from_rusage, key);
}

void mlos_usage_add(struct mlos_text *text, int cgroup)
{
    struct rusage children = {0};
    getrusage(RUSAGE_CHILDREN, &children);
    int64_t cpu_us = (children.ru_utime.tv_sec + children.ru_stime.tv_sec) * INT64_C(1000000) +
                     children.ru_utime.tv_usec + children.ru_stime.tv_usec;
    int64_t cgroup_cpu = UNKNOWN, peak = UNKNOWN, read_bytes = UNKNOWN, written_bytes = UNKNOWN;
    if (cgroup >= 0) {
        char io[16384];
        cgroup_cpu = read_number_after(cgroup, "cpu.stat", "usage_usec ");
        peak = read_number_after(cgroup, "memory.peak", ""); // Linux 5.19
        // An empty io.stat says that nothing was read or written; a missing one says nothing.
        if (mlos_cgroup_read(cgroup, "io.stat", io, sizeof io) >= 0) {
            read_bytes = sum_over_devices(io, " rbytes=");
            written_bytes = sum_over_devices(io, " wbytes=");
        }
    }
    add(text, "cpu_us", cgroup_cpu, cpu_us);
    add(text, "memory_peak", peak, children.ru_maxrss * INT64_C(1024));
    add(text, "read_bytes", read_bytes, children.ru_inblock * INT64_C(512));
    add(text, "written_bytes", written_bytes, children.ru_oublock * INT64_C(512));
    if (cgroup < 0)
        return;
    // The first "total=" is that of "some": at least one process waited.
    add(text, "cpu_pressure_us", read_number_after(cgroup, "cpu.pressure", "total="), UNKNOWN);
    add(text, "memory_pressure_us", read_number_after(cgroup, "memory.pressure", "total="), UNKNOWN);
    add(text, "io_pressure_us", read_number_after(cgroup, "io.pressure", "total="), UNKNOWN);
    add(text, "oom_kills", read_number_after(cgroup, "memory.events", "oom_kill "), UNKNOWN);
}
