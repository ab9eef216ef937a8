"""What a person asks of the mode becomes a Lease, checked before anything is touched."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mlosd.core.errors import BadRequest, NotPermitted
from mlosd.kernel import cpulist, pci_node, topology
from mlosd.mode import division, knobs
from mlosd.mode.holders import who_is
from mlosd.mode.implied import Training
from mlosd.mode.lease import Lease
from mlosd.mode.profile import Profiles, override, typed
from mlosd.mode.service import ModeService

DEFAULT_PROFILE = "training"
LONGEST_LIST, MOST_SETTINGS = 1000, 100
LONGEST = 366 * 86400.0


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks: their uid and name, and whether they may act on everybody's."""

    uid: int
    name: str
    is_operator: bool

    def may_see(self, owner: int) -> bool:
        """Whether something of `owner` is theirs to see."""
        return self.is_operator or owner == self.uid


class Asked:
    """`find_job(id, asker)`: a job that the asker may touch, None while it waits; raises NotFound.

    `held()`: the CPUs that jobs are bound to. `everybody`: not only operators may ask.
    """

    def __init__(
        self,
        service: ModeService,
        profiles: Profiles,
        *,
        find_job: Callable[[int, Asker], Training | None],
        held: Callable[[], frozenset[int]],
        everybody: bool,
        mount: str,
    ) -> None:
        self._service = service
        self._profiles = profiles
        self._find_job = find_job
        self._held = held
        self._everybody = everybody
        self._mount = mount

    def lease(self, parameters: Mapping[str, Any], asker: Asker) -> Lease:
        """Raises BadRequest, NotFound, NotPermitted, BadConfig; changes nothing."""
        if not (asker.is_operator or self._everybody):
            raise NotPermitted("ML mode is for operators here", hint='[mode] allow = "everybody" in mlosd.toml')
        pid, job, seconds = parameters.get("pid"), parameters.get("job"), parameters.get("seconds")
        if pid is not None and job is not None:
            raise BadRequest("a lease ends with a process or with a job, not with both", hint="--pid or --until-job")
        profile = self._profiles.find(parameters.get("profile") or DEFAULT_PROFILE)
        given = parameters.get("set") or ()
        if len(given) > MOST_SETTINGS:
            raise BadRequest(f"{len(given)} knobs are more than there are", hint="mlosctl mode knobs")
        settings = {**profile.settings, **override(dict(map(typed, given)))}
        wanted = {name: setting for name, setting in settings.items() if setting is not False}
        self._refuse_opt_in(wanted, asker)
        lease = Lease(
            id=0,
            who=asker.name,
            owner=asker.uid,
            profile=profile.name,
            settings=wanted,
            headroom=profile.headroom,
            until=_until(seconds),
            since=time.time(),
        )
        return self._with_cpus(self._held_by(lease, pid, job, asker), parameters.get("cpus"))

    def with_id(self, lease: Lease) -> Lease:
        """The lease with a number of its own, about to be entered."""
        return replace(lease, id=self._service.new_id())

    def _held_by(self, lease: Lease, pid: int | None, job: int | None, asker: Asker) -> Lease:
        if job is not None:
            found = self._find_job(job, asker)
            if found is None:
                return replace(lease, job=job, who=f"{asker.name}, until job {job} ends")
            return replace(
                lease, job=job, pid=found.pid, starttime=found.starttime, cgroup=found.cgroup, gpus=found.gpus,
                memory=found.memory, who=f"{asker.name}, until job {job} ends",
            )  # fmt: skip
        if pid is None:
            return lease
        if not 0 < pid < 1 << 31:
            raise BadRequest(f"{pid} is not the number of a process")
        uid, started, name, path = who_is(pid)
        if uid != asker.uid and not asker.is_operator:
            raise NotPermitted(f"process {pid} is not yours", hint="name one of your own, or ask an operator")
        cgroup = self._mount + path if path else None
        return replace(lease, pid=pid, starttime=started, cgroup=cgroup, who=f"{asker.name}, pid {pid} ({name})")

    def _with_cpus(self, lease: Lease, asked: str | None) -> Lease:
        """With CPUs for training alone: a count, or a list with a comma or a dash; "all", none: shared by weight."""
        if asked is None or asked == "all":
            return lease
        machine = self._service.machine
        host = machine.host
        wanted: int | frozenset[int]
        try:
            if len(asked) > LONGEST_LIST:
                raise ValueError(asked)
            wanted = int(asked) if asked.isascii() and asked.isdigit() else frozenset(cpulist.parse(asked))
        except ValueError:
            hint = "--cpus 4, --cpus 2-5 or --cpus all"
            raise BadRequest(f"not a number or a list of CPUs: {asked[:40]!r}", hint=hint) from None
        divided = division.divide(
            machine.topology(),
            wanted=wanted,
            held=self._held() | frozenset(cpu for other in self._service.leases.values() for cpu in other.cpus),
            isolated=topology.isolated(host.sys),
            near=pci_node.of_gpu(lease.gpus[0], sys=host.sys, proc=host.proc) if lease.gpus else None,
        )
        return replace(lease, cpus=tuple(sorted(divided.training)), notes=divided.why)

    def _refuse_opt_in(self, settings: Mapping[str, object], asker: Asker) -> None:
        """Keyboard, mouse and screen are everybody's who sits at the machine."""
        asked = [name for name in settings if knobs.find(name).use == "opt-in"]
        if asked and not asker.is_operator:
            raise NotPermitted(f"{asked[0]} is for operators", hint=f"leave it out: --set {asked[0]}=false")


def _until(seconds: float | None) -> float | None:
    if seconds is None:
        return None
    if not 0 < seconds <= LONGEST:
        raise BadRequest(f"{seconds:g} seconds: a lease lasts between a moment and a year", hint="--for 2h")
    return time.clock_gettime(time.CLOCK_BOOTTIME) + seconds
