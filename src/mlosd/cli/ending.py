"""How mlosctl ends: every way out of a verb as one line on stderr and an exit code of sysexits(3)."""

import os
import signal
import sys
from collections.abc import Callable

from mlosd.cli import say
from mlosd.core.errors import MlosError

INTERRUPTED = 128 + signal.SIGINT
BROKEN_PIPE = 128 + signal.SIGPIPE
TRACEBACK = "MLOSCTL_TRACEBACK"


def of(work: Callable[[], int]) -> int:
    """Do `work`; the exit code of mlosctl."""
    try:
        code = work()
        sys.stdout.flush()
    except MlosError as error:
        say.failed(error.message, error.hint)
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Python flushes stdout once more when it ends; let it go nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return BROKEN_PIPE
    except OSError as error:
        what = error.strerror or str(error)
        say.failed(f"{error.filename}: {what}" if error.filename else what)
        return os.EX_OSERR
    except Exception as error:
        if os.environ.get(TRACEBACK):
            raise
        say.failed(f"{type(error).__name__}: {error}", f"a fault of mlosctl; with {TRACEBACK}=1 it says where")
        return os.EX_SOFTWARE
    return code
