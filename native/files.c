// Every file that the job used: what the trace has of it already. Open addressing, because a job may use a million.
#define _GNU_SOURCE
#include "observe.h"

#include <stdlib.h>
#include <string.h>

enum { MOST = 1 << 20, SMALLEST = 1 << 10 };

// splitmix64's finalizer over eight bytes at a time: keys are handles, not chosen by anybody who could gain from it.
static uint64_t mix(uint64_t value)
{
    value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
    return value ^ value >> 31;
}

uint64_t mlos_hash(const void *bytes, size_t length, uint64_t seed)
{
    uint64_t hash = mix(seed + length);
    for (size_t at = 0; at < length; at += 8) {
        uint64_t word = 0;
        memcpy(&word, (const char *)bytes + at, length - at < 8 ? length - at : 8);
        hash = mix(hash + UINT64_C(0x9e3779b97f4a7c15) + word);
    }
    return hash;
}

struct identity {
    uint64_t key;
    uint32_t check;
};

// Ninety-six bits stand for a file: two of a million are never the same.
static struct identity identity_of(uint64_t fsid, const struct file_handle *handle)
{
    uint64_t seed = mix(fsid) + (uint64_t)(uint32_t)handle->handle_type;
    uint64_t key = mlos_hash(handle->f_handle, handle->handle_bytes, seed);
    uint64_t check = mlos_hash(handle->f_handle, handle->handle_bytes, ~seed);
    return (struct identity){.key = key ? key : 1, .check = (uint32_t)check};
}

static struct mlos_file *slot(const struct mlos_files *files, struct identity identity)
{
    for (size_t at = identity.key & (files->capacity - 1);; at = (at + 1) & (files->capacity - 1)) {
        struct mlos_file *file = &files->slots[at];
        if (!file->key || (file->key == identity.key && file->check == identity.check))
            return file;
    }
}

static bool grow(struct mlos_files *files)
{
    struct mlos_files larger = *files;
    larger.capacity = files->capacity ? files->capacity * 2 : SMALLEST;
    larger.slots = calloc(larger.capacity, sizeof *larger.slots);
    if (!larger.slots)
        return false;
    for (size_t i = 0; i < files->capacity; i++) {
        const struct mlos_file *file = &files->slots[i];
        if (file->key)
            *slot(&larger, (struct identity){file->key, file->check}) = *file;
    }
    free(files->slots);
    *files = larger;
    return true;
}

struct mlos_file *mlos_files_find(struct mlos_files *files, uint64_t fsid, const struct file_handle *handle)
{
    if (!files->capacity)
        return NULL;
    struct mlos_file *file = slot(files, identity_of(fsid, handle));
    return file->key ? file : NULL;
}

struct mlos_file *mlos_files_add(struct mlos_files *files, uint64_t fsid, const struct file_handle *handle)
{
    struct mlos_file *known = mlos_files_find(files, fsid, handle);
    if (known)
        return known;
    if (files->used >= MOST || (files->used * 4 >= files->capacity * 3 && !grow(files)))
        return NULL;
    struct identity identity = identity_of(fsid, handle);
    struct mlos_file *file = slot(files, identity);
    *file = (struct mlos_file){.key = identity.key, .check = identity.check};
    files->used++;
    return file;
}

// The entry of a file that is written; NULL: no memory for it.
struct mlos_written *mlos_files_write(struct mlos_files *files, struct mlos_file *file, uint64_t fsid,
                                      const struct file_handle *handle)
{
    if (file->written)
        return &files->written[file->written - 1];
    if (files->written_count == files->written_capacity) {
        size_t capacity = files->written_capacity ? files->written_capacity * 2 : 64;
        struct mlos_written *larger = realloc(files->written, capacity * sizeof *larger);
        if (!larger)
            return NULL;
        files->written = larger;
        files->written_capacity = capacity;
    }
    size_t size = sizeof *handle + handle->handle_bytes;
    struct file_handle *copy = malloc(size);
    if (!copy)
        return NULL;
    memcpy(copy, handle, size);
    struct mlos_written *written = &files->written[files->written_count++];
    *written = (struct mlos_written){.fsid = fsid, .handle = copy, .number = file->number};
    file->written = (uint32_t)files->written_count;
    return written;
}

void mlos_files_deinit(struct mlos_files *files)
{
    for (size_t i = 0; i < files->written_count; i++)
        free(files->written[i].handle);
    free(files->written);
    free(files->slots);
    *files = (struct mlos_files){0};
}
