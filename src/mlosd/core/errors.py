"""What can go wrong, said once: a message, a hint, and the sysexits(3) code of a command that ends with it."""

import os


class MlosError(Exception):
    """An error meant for a person: one line that says what and where, and a hint that says what to do."""

    exit_code = os.EX_SOFTWARE
    wire_name = "io.mlosd.Error.Internal"

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class BadRequest(MlosError):
    """The request makes no sense: a value out of range, an empty command, a bad name."""

    exit_code = os.EX_USAGE
    wire_name = "io.mlosd.Error.BadRequest"


class NotFound(MlosError):
    """There is no such job, project or file."""

    exit_code = os.EX_NOINPUT
    wire_name = "io.mlosd.Error.NotFound"


class Refused(MlosError):
    """It cannot be done on this machine, or not now."""

    exit_code = os.EX_UNAVAILABLE
    wire_name = "io.mlosd.Error.Refused"


class NotPermitted(MlosError):
    """The caller may not do this."""

    exit_code = os.EX_NOPERM
    wire_name = "io.mlosd.Error.NotPermitted"


class BadMessage(MlosError):
    """A message on the wire that could not be read."""

    exit_code = os.EX_PROTOCOL
    wire_name = "io.mlosd.Error.BadMessage"


class BadConfig(MlosError):
    """A configuration file with an unknown key, a wrong type or a broken syntax."""

    exit_code = os.EX_CONFIG
    wire_name = "io.mlosd.Error.BadConfig"


class Unreachable(MlosError):
    """The daemon does not answer."""

    exit_code = os.EX_TEMPFAIL


class StoreRefused(MlosError):
    """The database cannot be used as it is: too new, on a network file system, in use, damaged."""

    exit_code = os.EX_CANTCREAT


BY_WIRE_NAME: dict[str, type[MlosError]] = {
    error.wire_name: error for error in (MlosError, BadRequest, NotFound, Refused, NotPermitted, BadMessage, BadConfig)
}
