// A stand-in for libnvidia-ml.so.1 that reads its GPUs from the file named by $NVML_STANDIN, one per line:
//     uuid;name;minor;total;free;pid,pid,...;highest graphics clock
// An empty minor, total or clock: this GPU answers NVML_ERROR_NOT_SUPPORTED. A file that cannot be read: the driver is
// gone. What is set is kept as NVML's driver keeps it, beyond the process, in the file $NVML_STANDIN.set:
//     uuid persistence 1
//     uuid clocks 1410 1410
// The last line of a kind counts. Locked clocks cannot be asked for: NVML has no such call. The functions named in
// $NVML_STANDIN_REFUSED answer NVML_ERROR_NO_PERMISSION.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, INVALID = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, DRIVER_NOT_LOADED = 9 };

struct gpu {
	char uuid[96], name[96], minor[16], total[32], free[32], pids[512], clock[16];
};

struct memory {
	unsigned long long total, free, used;
};

struct process {
	unsigned int pid;
	unsigned long long used_memory;
	unsigned int gpu_instance, compute_instance;
};

static struct gpu gpus[16];
static unsigned int count;

static void field(char **line, char *out, size_t size)
{
	char *value = strsep(line, ";\n");
	snprintf(out, size, "%s", value ? value : "");
}

int nvmlInit_v2(void)
{
	const char *path = getenv("NVML_STANDIN");
	FILE *file = path ? fopen(path, "re") : NULL;
	if (!file)
		return DRIVER_NOT_LOADED;
	char text[1024];
	for (count = 0; count < 16 && fgets(text, sizeof(text), file); count++) {
		struct gpu *gpu = &gpus[count];
		char *line = text;
		field(&line, gpu->uuid, sizeof(gpu->uuid));
		field(&line, gpu->name, sizeof(gpu->name));
		field(&line, gpu->minor, sizeof(gpu->minor));
		field(&line, gpu->total, sizeof(gpu->total));
		field(&line, gpu->free, sizeof(gpu->free));
		field(&line, gpu->pids, sizeof(gpu->pids));
		field(&line, gpu->clock, sizeof(gpu->clock));
	}
	fclose(file);
	return SUCCESS;
}

int nvmlShutdown(void)
{
	return SUCCESS;
}

const char *nvmlErrorString(int code)
{
	switch (code) {
	case INVALID:
		return "Invalid Argument";
	case NOT_SUPPORTED:
		return "Not Supported";
	case NO_PERMISSION:
		return "Insufficient Permissions";
	case NOT_FOUND:
		return "Not Found";
	case DRIVER_NOT_LOADED:
		return "Driver Not Loaded";
	}
	return "Unknown Error";
}

int nvmlDeviceGetCount_v2(unsigned int *out)
{
	*out = count;
	return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, void **out)
{
	if (index >= count)
		return NOT_FOUND;
	*out = &gpus[index];
	return SUCCESS;
}

int nvmlDeviceGetHandleByUUID(const char *uuid, void **out)
{
	for (unsigned int i = 0; i < count; i++)
		if (!strcmp(gpus[i].uuid, uuid)) {
			*out = &gpus[i];
			return SUCCESS;
		}
	return NOT_FOUND;
}

int nvmlDeviceGetUUID(void *device, char *out, unsigned int size)
{
	snprintf(out, size, "%s", ((struct gpu *)device)->uuid);
	return SUCCESS;
}

int nvmlDeviceGetName(void *device, char *out, unsigned int size)
{
	snprintf(out, size, "%s", ((struct gpu *)device)->name);
	return SUCCESS;
}

int nvmlDeviceGetMinorNumber(void *device, unsigned int *out)
{
	const struct gpu *gpu = device;
	if (!gpu->minor[0])
		return NOT_SUPPORTED;
	*out = (unsigned int)strtoul(gpu->minor, NULL, 10);
	return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(void *device, struct memory *out)
{
	const struct gpu *gpu = device;
	if (!gpu->total[0])
		return NOT_SUPPORTED;
	out->total = strtoull(gpu->total, NULL, 10);
	out->free = strtoull(gpu->free, NULL, 10);
	out->used = out->total - out->free;
	return SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned int *size, struct process *out)
{
	char text[512];
	snprintf(text, sizeof(text), "%s", ((struct gpu *)device)->pids);
	unsigned int found = 0;
	char *rest = text;
	for (char *pid; (pid = strsep(&rest, ","));) {
		if (!*pid)
			continue;
		if (found < *size)
			out[found] = (struct process){ .pid = (unsigned int)strtoul(pid, NULL, 10) };
		found++;
	}
	const int ret = found > *size ? INSUFFICIENT_SIZE : SUCCESS;
	*size = found;
	return ret;
}

int nvmlDeviceGetMaxClockInfo(void *device, int kind, unsigned int *out)
{
	const struct gpu *gpu = device;
	if (kind != 0)
		return INVALID;
	if (!gpu->clock[0])
		return NOT_SUPPORTED;
	*out = (unsigned int)strtoul(gpu->clock, NULL, 10);
	return SUCCESS;
}

static FILE *settings(const char *mode)
{
	char path[4096];
	snprintf(path, sizeof(path), "%s.set", getenv("NVML_STANDIN"));
	return fopen(path, mode);
}

static unsigned int what_was_set(const struct gpu *gpu, const char *setting)
{
	unsigned int ret = 0;
	FILE *file = settings("re");
	char uuid[96], name[32], value[64];
	while (file && fscanf(file, "%95s %31s %63[^\n]", uuid, name, value) == 3)
		if (!strcmp(uuid, gpu->uuid) && !strcmp(name, setting))
			ret = (unsigned int)strtoul(value, NULL, 10);
	if (file)
		fclose(file);
	return ret;
}

static int set(const struct gpu *gpu, const char *function, const char *setting, const char *value)
{
	const char *refused = getenv("NVML_STANDIN_REFUSED");
	if (refused && strstr(refused, function))
		return NO_PERMISSION;
	FILE *file = settings("ae");
	fprintf(file, "%s %s %s\n", gpu->uuid, setting, value);
	fclose(file);
	return SUCCESS;
}

static int set_number(const struct gpu *gpu, const char *function, const char *setting, unsigned int value)
{
	char text[16];
	snprintf(text, sizeof(text), "%u", value);
	return set(gpu, function, setting, text);
}

int nvmlDeviceGetPersistenceMode(void *device, unsigned int *out)
{
	*out = what_was_set(device, "persistence");
	return SUCCESS;
}

int nvmlDeviceSetPersistenceMode(void *device, unsigned int mode)
{
	return mode > 1 ? INVALID : set_number(device, __func__, "persistence", mode);
}

int nvmlDeviceGetComputeMode(void *device, unsigned int *out)
{
	*out = what_was_set(device, "compute-mode");
	return SUCCESS;
}

int nvmlDeviceSetComputeMode(void *device, unsigned int mode)
{
	return mode > 3 ? INVALID : set_number(device, __func__, "compute-mode", mode);
}

int nvmlDeviceSetGpuLockedClocks(void *device, unsigned int lowest, unsigned int highest)
{
	char text[32];
	snprintf(text, sizeof(text), "%u %u", lowest, highest);
	return lowest > highest ? INVALID : set(device, __func__, "clocks", text);
}

int nvmlDeviceResetGpuLockedClocks(void *device)
{
	return set(device, __func__, "clocks", "default");
}
