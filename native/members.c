// The processes of a job that were seen to begin, by pid.
#define _GNU_SOURCE
#include "observe.h"

#include <stdlib.h>
#include <string.h>

// Where `pid` is, or would be.
static size_t place(const struct mlos_members *members, pid_t pid)
{
    size_t low = 0, high = members->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (members->all[middle].pid < pid)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct mlos_member *mlos_members_find(const struct mlos_members *members, pid_t pid)
{
    size_t at = place(members, pid);
    return at < members->count && members->all[at].pid == pid ? &members->all[at] : NULL;
}

static void forget(struct mlos_member *member)
{
    free(member->executable);
    free(member->opened);
}

// One that had the pid before is another. NULL: no memory.
struct mlos_member *mlos_members_add(struct mlos_members *members, pid_t pid, pid_t parent)
{
    size_t at = place(members, pid);
    if (at < members->count && members->all[at].pid == pid) {
        forget(&members->all[at]);
    } else {
        if (members->count == members->capacity) {
            size_t capacity = members->capacity ? members->capacity * 2 : 64;
            struct mlos_member *larger = realloc(members->all, capacity * sizeof *larger);
            if (!larger)
                return NULL;
            members->all = larger;
            members->capacity = capacity;
        }
        memmove(&members->all[at + 1], &members->all[at], (members->count - at) * sizeof *members->all);
        members->count++;
    }
    members->all[at] = (struct mlos_member){.pid = pid, .parent = parent};
    return &members->all[at];
}

void mlos_members_forget_exited(struct mlos_members *members)
{
    size_t kept = 0;
    for (size_t i = 0; i < members->count; i++) {
        if (members->all[i].exited)
            forget(&members->all[i]);
        else
            members->all[kept++] = members->all[i];
    }
    members->count = kept;
}

void mlos_members_deinit(struct mlos_members *members)
{
    for (size_t i = 0; i < members->count; i++)
        forget(&members->all[i]);
    free(members->all);
    *members = (struct mlos_members){0};
}
