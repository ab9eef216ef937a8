// Reads a job's `spec`: NUL-terminated `key=value` records. Trusts nothing: it may say no, it may not crash.
#define _GNU_SOURCE
#include "shepherd.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static const int64_t DEFAULT_GRACE_MS = 10 * 1000;
static const int64_t MAX_GRACE_MS = INT64_C(1000000) * 1000;

// A decimal or octal number from 0 to `max`, digits only: strtoul(3) would take " -1" as well.
static int parse_number(const char *text, const char **end, unsigned base, uint64_t max, uint64_t *ret)
{
    const char *digit = text;
    uint64_t value = 0;
    for (; *digit >= '0' && *digit < (char)('0' + base); digit++) {
        value = value * base + (uint64_t)(*digit - '0');
        if (value > max)
            return -ERANGE;
    }
    if (digit == text)
        return -EINVAL;
    *end = digit;
    *ret = value;
    return 0;
}

static int parse_whole_number(const char *text, unsigned base, uint64_t max, uint64_t *ret)
{
    const char *end;
    int r = parse_number(text, &end, base, max, ret);
    return r < 0 ? r : *end ? -EINVAL : 0;
}

static int set_id(struct mlos_spec *spec, char *value)
{
    spec->id = value;
    return *value ? 0 : -EINVAL;
}

static int set_argv(struct mlos_spec *spec, char *value)
{
    spec->argv[spec->argc++] = value;
    return 0;
}

static int set_env(struct mlos_spec *spec, char *value)
{
    spec->env[spec->envc++] = value;
    return strchr(value, '=') ? 0 : -EINVAL;
}

static int set_cwd(struct mlos_spec *spec, char *value)
{
    spec->cwd = value;
    return *value == '/' ? 0 : -EINVAL;
}

// The largest id means "leave as it is" to setresuid(2): that would be root.
static int set_uid(struct mlos_spec *spec, char *value)
{
    uint64_t uid;
    int r = parse_whole_number(value, 10, UINT32_MAX - 1, &uid);
    spec->uid = r < 0 ? 0 : (uid_t)uid;
    return r;
}

static int set_gid(struct mlos_spec *spec, char *value)
{
    uint64_t gid;
    int r = parse_whole_number(value, 10, UINT32_MAX - 1, &gid);
    spec->gid = r < 0 ? 0 : (gid_t)gid;
    return r;
}

static int set_group(struct mlos_spec *spec, char *value)
{
    uint64_t gid;
    int r = parse_whole_number(value, 10, UINT32_MAX - 1, &gid);
    spec->groups[spec->group_count++] = r < 0 ? 0 : (gid_t)gid;
    return r;
}

static int set_umask(struct mlos_spec *spec, char *value)
{
    uint64_t mask;
    int r = parse_whole_number(value, 8, 0777, &mask);
    spec->umask = r < 0 ? 077 : (mode_t)mask;
    return r;
}

static int set_terminal(struct mlos_spec *spec, char *value)
{
    spec->terminal = *value == '1';
    return (*value == '0' || *value == '1') && !value[1] ? 0 : -EINVAL;
}

// A CPU list as the kernel writes them: 0-3,5
static int set_affinity(struct mlos_spec *spec, char *value)
{
    const uint64_t last_cpu = MLOS_CPU_BYTES * 8 - 1;
    for (const char *at = value;; at++) {
        uint64_t first, last;
        if (parse_number(at, &at, 10, last_cpu, &first) < 0)
            return -EINVAL;
        last = first;
        if (*at == '-' && parse_number(at + 1, &at, 10, last_cpu, &last) < 0)
            return -EINVAL;
        if (last < first)
            return -EINVAL;
        for (uint64_t cpu = first; cpu <= last; cpu++)
            spec->affinity[cpu / 8] |= (unsigned char)(1u << cpu % 8);
        // The kernel wants whole words.
        size_t size = (last / 64 + 1) * 8;
        spec->affinity_size = size > spec->affinity_size ? size : spec->affinity_size;
        if (!*at)
            return 0;
        if (*at != ',')
            return -EINVAL;
    }
}

// Seconds, with a fraction or without: 10, 0.25
static int set_grace(struct mlos_spec *spec, char *value)
{
    const char *at = value;
    uint64_t seconds;
    int r = parse_number(at, &at, 10, (uint64_t)MAX_GRACE_MS / 1000, &seconds);
    if (r < 0)
        return r;
    int64_t ms = (int64_t)seconds * 1000;
    if (*at == '.') {
        at++;
        for (int64_t unit = 100; *at >= '0' && *at <= '9'; at++, unit /= 10)
            ms += unit * (*at - '0');
    }
    spec->grace_ms = ms;
    return *at ? -EINVAL : 0;
}

static int set_cgroup(struct mlos_spec *spec, char *value)
{
    spec->cgroup = value;
    if (strcmp(value, "self") == 0)
        return 0;
    return *value == '/' && !strstr(value, "/..") && !strchr(value, '\n') ? 0 : -EINVAL;
}

static int set_trace(struct mlos_spec *spec, char *value)
{
    spec->trace = value;
    return *value == '/' ? 0 : -EINVAL;
}

static int add_knob(struct mlos_spec *spec, char *value, bool required)
{
    char *equals = strchr(value, '=');
    if (!equals || equals == value)
        return -EINVAL;
    *equals = '\0';
    spec->knobs[spec->knob_count++] = (struct mlos_knob){.file = value, .value = equals + 1, .required = required};
    // A file of the new cgroup and of no other; its name may become a word of the protocol.
    return value[strspn(value, "abcdefghijklmnopqrstuvwxyz0123456789_.")] ? -EINVAL : 0;
}

static int set_knob(struct mlos_spec *spec, char *value)
{
    return add_knob(spec, value, false);
}

static int set_required_knob(struct mlos_spec *spec, char *value)
{
    return add_knob(spec, value, true);
}

enum { ONCE = 0, OFTEN = 1 };

static const struct key {
    const char *name;
    int (*set)(struct mlos_spec *spec, char *value);
    int times;
} KEYS[] = {
    {"env", set_env, OFTEN},     {"argv", set_argv, OFTEN},   {"group", set_group, OFTEN},
    {"knob", set_knob, OFTEN},   {"knob!", set_required_knob, OFTEN},
    {"id", set_id, ONCE},        {"cwd", set_cwd, ONCE},      {"uid", set_uid, ONCE},
    {"gid", set_gid, ONCE},      {"umask", set_umask, ONCE},  {"terminal", set_terminal, ONCE},
    {"grace", set_grace, ONCE},  {"cgroup", set_cgroup, ONCE}, {"affinity", set_affinity, ONCE},
    {"trace", set_trace, ONCE},
};
enum { KEY_COUNT = sizeof KEYS / sizeof KEYS[0] };

static int apply(struct mlos_spec *spec, char *record, unsigned *seen)
{
    char *equals = strchr(record, '=');
    if (!equals)
        return -EINVAL;
    *equals = '\0';
    for (unsigned i = 0; i < KEY_COUNT; i++) {
        if (strcmp(record, KEYS[i].name) != 0)
            continue;
        if (KEYS[i].times == ONCE && *seen & 1u << i)
            return -EINVAL;
        *seen |= 1u << i;
        return KEYS[i].set(spec, equals + 1);
    }
    return -EINVAL;
}

// `text` is changed, and must live as long as the spec.
int mlos_spec_init(struct mlos_spec *spec, char *text, size_t size)
{
    *spec = (struct mlos_spec){.uid = (uid_t)-1, .gid = (gid_t)-1, .umask = 022, .grace_ms = DEFAULT_GRACE_MS};
    if (size == 0 || text[size - 1] != '\0')
        return -EINVAL;
    size_t args = 0, variables = 0, groups = 0, knobs = 0;
    for (const char *record = text; record < text + size; record += strlen(record) + 1) {
        args += *record == 'a';
        variables += *record == 'e';
        groups += *record == 'g';
        knobs += *record == 'k';
    }
    spec->argv = calloc(args + 1, sizeof *spec->argv);
    spec->env = calloc(variables + 1, sizeof *spec->env);
    spec->groups = calloc(groups + 1, sizeof *spec->groups);
    spec->knobs = calloc(knobs + 1, sizeof *spec->knobs);
    if (!spec->argv || !spec->env || !spec->groups || !spec->knobs)
        return -ENOMEM;
    unsigned seen = 0;
    for (char *record = text, *next; record < text + size; record = next) {
        next = record + strlen(record) + 1;
        int r = apply(spec, record, &seen);
        if (r < 0)
            return r;
    }
    bool complete = spec->id && spec->argc && spec->cwd && spec->uid != (uid_t)-1 && spec->gid != (gid_t)-1;
    return complete ? 0 : -EINVAL;
}

void mlos_spec_deinit(struct mlos_spec *spec)
{
    free(spec->argv);
    free(spec->env);
    free(spec->groups);
    free(spec->knobs);
    *spec = (struct mlos_spec){0};
}
