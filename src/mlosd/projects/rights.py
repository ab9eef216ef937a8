"""Whose rights a look at a project has: its owner's. Nobody learns through us of files that they could not read."""

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from mlosd.kernel.fsuid import files_of


@dataclass(frozen=True, slots=True)
class Rights:
    """A user's, where we can give them: a daemon that is not root has only its own."""

    uid: int
    gid: int
    groups: tuple[int, ...]

    @classmethod
    def of(cls, owner: int) -> Self:
        """Those of a user, with the groups that they have now."""
        if os.geteuid() != 0:
            return cls(os.geteuid(), os.getegid(), ())
        try:
            user = pwd.getpwuid(owner)
        except KeyError:
            return cls(owner, owner, ())
        return cls(user.pw_uid, user.pw_gid, tuple(os.getgrouplist(user.pw_name, user.pw_gid)))

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Have them in this thread, which is nobody else's, until the with-block ends."""
        if self.uid == os.geteuid():
            yield
        else:
            with files_of(self.uid, self.gid, self.groups):
                yield
