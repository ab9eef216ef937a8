// A stand-in for libnvidia-ml.so.1 that reads its GPUs from the file named by $NVML_STANDIN, one per line:
//     uuid;name;minor;total;free;pid,pid,...
// An empty minor or total: this GPU answers NVML_ERROR_NOT_SUPPORTED. A file that cannot be read: the driver is gone.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, NOT_SUPPORTED = 3, NOT_FOUND = 6, INSUFFICIENT_SIZE = 7, DRIVER_NOT_LOADED = 9 };

struct gpu {
	char uuid[96], name[96], minor[16], total[32], free[32], pids[512];
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
	return code == DRIVER_NOT_LOADED ? "Driver Not Loaded" : "Unknown Error";
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
