"""What one client, and all of them together, may take of the daemon's memory, descriptors and patience."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of a server. Sizes are bytes, times are seconds."""

    connections: int = 512
    """Of all users but root, who must always get in."""
    connections_per_uid: int = 64
    calls: int = 256
    """Begun and not answered, per connection; more wait in the socket."""
    call_bytes: int = 1 << 20
    """Sum of those calls."""
    calm: int = 256 << 10
    """With more than this unread, no new call is begun and no stream goes on."""
    unread: int = 4 << 20
    """With more than this unread, the next reply ends the connection."""
    stalled: float = 30.0
    """How long a client may leave all of it unread."""
    unfinished: float = 10.0
    """How long a message may take from its first byte to its last."""
    fds: int = 16
    """Received by a connection and not yet taken by a method or closed."""
    tick: float = 1.0
    """How often the times are looked at, while there is something to look at."""
