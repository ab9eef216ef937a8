"""What the mode must remember beside the undo log, for a daemon that comes after: who holds it, and what yielded.

`leases.json` in the folder of the undo log. The restorers read it too (mlosd.undo.survivors).
"""

import json
import os
from collections.abc import Iterable
from pathlib import Path

from mlosd.mode.lease import Lease, of_record
from mlosd.undo import survivors


def save(folder: Path, leases: Iterable[Lease], frozen: Iterable[int] = ()) -> None:
    """Write it anew, durably: a restorer may be the next to read it. `frozen`: jobs that headroom froze."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    document = {"leases": [lease.record() for lease in leases], "frozen": sorted(frozen)}
    file, new = folder / survivors.FILE, folder / f".{survivors.FILE}.new"
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(fd, "w", encoding="utf-8") as out:
        json.dump(document, out)
        out.flush()
        os.fsync(out.fileno())
    new.rename(file)


def leases(folder: Path) -> list[Lease]:
    """Those of an earlier daemon whose holder may be there still; of jobs their own service knows."""
    found = []
    for record in survivors.read(folder):
        try:
            lease = of_record(record)
        except (KeyError, TypeError):
            continue  # of another version
        if lease.job is not None or survivors.is_alive(record):
            found.append(lease)
    return found


def frozen(folder: Path) -> list[int]:
    """The jobs that an earlier daemon froze for headroom."""
    try:
        document = json.loads((folder / survivors.FILE).read_text(encoding="utf-8"))
        return [int(job) for job in document.get("frozen", ())]
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return []
