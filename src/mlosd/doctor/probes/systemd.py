"""systemd as PID 1, asked over the system bus."""

import asyncio
import socket

from mlosd.doctor.host import Host
from mlosd.doctor.probe import Feature, Probe
from mlosd.doctor.verdict import Degraded, Ok, Unavailable, Verdict


def run(host: Host) -> Verdict:
    # sd_booted(3): this directory is there exactly when systemd is PID 1.
    if not (host.run / "systemd/system").is_dir():
        init = (host.proc / "1/comm").read_text(encoding="utf-8").strip()
        return Degraded(f"PID 1 is {init}, not systemd: mlosd starts jobs itself (direct backend)")
    bus = host.run / "dbus/system_bus_socket"
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(bus))
    except OSError as e:
        return Unavailable(f"systemd is PID 1, but its bus {bus} says: {e.strerror}", "systemctl start dbus.socket")
    return asyncio.run(_ask())


async def _ask() -> Verdict:
    # Imported here: dbus-fast takes longer to import than most probes take to run.
    from mlosd.kernel.systemd1 import Systemd, SystemdError  # noqa: PLC0415

    connection = Systemd()
    try:
        await connection.open()
        version = await connection.manager_property("Version")
    except SystemdError as e:
        return Unavailable(f"systemd is PID 1, but does not answer: {e}", "journalctl --boot _PID=1")
    finally:
        await connection.close()
    return Ok(f"PID 1, version {version}, answers on the system bus")


PROBE = Probe(
    name="systemd",
    group=Feature.JOBS,
    purpose="Runs each job as a unit of its own, so that jobs outlive the daemon and systemctl sees them.",
    used_by=(Feature.LIMITS, Feature.MODE),
    run=run,
)
