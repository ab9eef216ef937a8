"""NVIDIA GPUs, through NVML."""

from mlosd.doctor.host import Host
from mlosd.doctor.probe import Feature, Probe
from mlosd.doctor.verdict import Ok, Unavailable, Verdict
from mlosd.kernel import nvml

_GIB = 1 << 30


def run(host: Host) -> Verdict:
    found = nvml.read(host.nvml)
    if not found.gpus:
        return Unavailable(f"no NVIDIA GPU: {found.reason}")
    return Ok("; ".join(_describe(gpu) for gpu in found.gpus))


def _describe(gpu: nvml.Gpu) -> str:
    if gpu.memory_total is None or gpu.memory_free is None:
        memory = ""
    else:
        memory = f", {gpu.memory_free / _GIB:.0f} of {gpu.memory_total / _GIB:.0f} GiB free"
    busy = f", {len(gpu.processes)} processes" if gpu.processes else ", idle"
    return f"{gpu.index}: {gpu.name}{memory}{busy}"


PROBE = Probe(
    name="NVIDIA GPUs",
    group=Feature.LIMITS,
    purpose="Gives each job its own GPUs (mlosctl run --gpus N).",
    used_by=(Feature.LIMITS,),
    seconds=15.0,  # without nvidia-persistenced, the driver starts each GPU anew
    run=run,
)
