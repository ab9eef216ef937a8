"""Who may call what. One table of roles, one rule for things that belong to somebody.

Roles: `anyone` may look at what is public, `user` acts on their own, `operator` on everybody's.
"""

import grp
import os
from collections.abc import Callable
from typing import Literal

from mlosd.api.caller import Caller
from mlosd.core.errors import NotPermitted

Role = Literal["anyone", "user", "operator"]

ROLES: dict[str, Role] = {
    "org.varlink.service.GetInfo": "anyone",
    "org.varlink.service.GetInterfaceDescription": "anyone",
    "io.mlosd.Daemon.Status": "anyone",
    "io.mlosd.Daemon.Config": "anyone",
    "io.mlosd.Daemon.Watch": "operator",
    "io.mlosd.Projects.Add": "user",
    "io.mlosd.Projects.List": "user",
    "io.mlosd.Projects.Show": "user",
    "io.mlosd.Projects.Open": "user",
    "io.mlosd.Projects.Remove": "user",
    "io.mlosd.Datasets.List": "user",
    "io.mlosd.Datasets.Show": "user",
    "io.mlosd.Datasets.Status": "user",
    "io.mlosd.Datasets.Rescan": "user",
    "io.mlosd.Exchange.Export": "user",
    "io.mlosd.Exchange.Import": "user",
    "io.mlosd.Exchange.Snapshot": "user",
    "io.mlosd.Models.List": "user",
    "io.mlosd.Models.Show": "user",
    "io.mlosd.Models.History": "user",
    "io.mlosd.Models.Register": "user",
    "io.mlosd.Models.Alias": "user",
    "io.mlosd.Models.Rollback": "user",
    "io.mlosd.Models.Remove": "user",
    "io.mlosd.Models.Collect": "operator",
    "io.mlosd.Jobs.Submit": "user",
    "io.mlosd.Jobs.Run": "user",
    "io.mlosd.Jobs.List": "user",
    "io.mlosd.Jobs.Show": "user",
    "io.mlosd.Jobs.Logs": "user",
    "io.mlosd.Jobs.Wait": "user",
    "io.mlosd.Jobs.Cancel": "user",
    "io.mlosd.Jobs.Freeze": "user",
    "io.mlosd.Jobs.Thaw": "user",
    "io.mlosd.Jobs.Signal": "user",
    "io.mlosd.Mode.Status": "anyone",
    "io.mlosd.Mode.Knobs": "anyone",
    "io.mlosd.Mode.Profiles": "anyone",
    "io.mlosd.Mode.Plan": "user",
    "io.mlosd.Mode.Enter": "user",
    "io.mlosd.Mode.Leave": "user",
    "io.mlosd.Mode.Verify": "user",
    "io.mlosd.Mode.Restore": "operator",
    "io.mlosd.Lineage.Of": "user",
    "io.mlosd.Lineage.Facts": "user",
    "io.mlosd.Lineage.Diff": "user",
    "io.mlosd.Lineage.Rerun": "user",
    "io.mlosd.Lineage.Correct": "user",
}


class Authority:
    """Decides. `uid`: whom the daemon runs as; a daemon that is not root serves only that user and root."""

    def __init__(self, *, uid: int, admin_gid: int | None) -> None:
        self._uid = uid
        self._admin_gid = admin_gid

    def is_operator(self, caller: Caller) -> bool:
        """Root, the daemon's own user, or a member of the admin group."""
        return caller.uid in (0, self._uid) or (self._admin_gid is not None and self._admin_gid in caller.groups)

    def role(self, caller: Caller) -> Role:
        """The most that this caller may be."""
        if self.is_operator(caller):
            return "operator"
        # Only root can start a process as somebody else.
        return "user" if self._uid == 0 else "anyone"

    def authorise(self, caller: Caller, method: str) -> None:
        """Raises NotPermitted unless the caller's role reaches the method's."""
        order = ("anyone", "user", "operator")
        needed = ROLES[method]
        if order.index(self.role(caller)) < order.index(needed):
            hint = (
                "ask root or a member of the admin group"
                if self._uid == 0
                else "start a daemon of your own: mlosd --root DIR"
            )
            raise NotPermitted(f"{method} is for {_plural(needed)}", hint=hint)

    def may_touch(self, caller: Caller, owner: int) -> bool:
        """Whether something of `owner` is the caller's to see and to act on."""
        return caller.uid == owner or self.is_operator(caller)


def admin_gid(group: str, look: Callable[[str], grp.struct_group] = grp.getgrnam) -> int | None:
    """The admin group's number; None where there is no such group."""
    try:
        return look(group).gr_gid
    except KeyError:
        return None


def authority(group: str) -> Authority:
    """The authority of a daemon that runs as this process does."""
    return Authority(uid=os.getuid(), admin_gid=admin_gid(group))


def _plural(role: Role) -> str:
    return {"anyone": "anyone", "user": "users of this machine", "operator": "operators"}[role]
