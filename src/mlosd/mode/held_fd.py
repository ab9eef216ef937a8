"""A lease that is an open descriptor: whoever gave it to us forgets us when it is closed, also when we are killed."""

import os


class HeldFd:
    """Owns the descriptor."""

    def __init__(self, fd: int) -> None:
        # Never a child's: it would hold the lease when we are gone.
        os.set_inheritable(fd, False)
        self._fd = fd

    async def release(self) -> None:
        """Let go now."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
