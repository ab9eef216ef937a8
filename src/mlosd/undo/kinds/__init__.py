"""Every kind of target there is, by name. One module each family."""

from pathlib import Path

from mlosd.undo.kind import Kind
from mlosd.undo.kinds import file, gpu, network, resctrl, unit
from mlosd.undo.systemd import Systemd


def every(*, systemd: Path | None = None) -> dict[str, Kind]:
    """All kinds. `systemd`: PID 1's socket, where it is not the usual one."""
    manager = Systemd(systemd)
    return {
        "text": file.Text(),
        "choice": file.Choice(),
        "mask": file.Mask(),
        "cpulist": file.CpuList(),
        "pair": file.Pair(),
        "directory": file.Directory(),
        "resctrl-cpus": resctrl.Cpus(),
        "schemata": resctrl.Schemata(),
        "unit": unit.Property(manager),
        "unit-state": unit.State(manager),
        "nft-table": network.NftTable(),
        "qdisc": network.Qdisc(),
        "gpu": gpu.Gpu(),
    }
