"""The errors of org.varlink.service, which every Varlink service may answer with, as errors for people."""

from collections.abc import Callable, Mapping

from mlosd.core.errors import BadRequest, MlosError, NotPermitted, Refused

PREFIX = "org.varlink.service."
_OTHER_VERSION = "mlosd and this client are of different versions"


class InterfaceNotFound(Refused):
    """The service has no such interface."""

    wire_name = PREFIX + "InterfaceNotFound"

    def __init__(self, interface: str) -> None:
        super().__init__(f"there is no interface {interface}", hint=_OTHER_VERSION)
        self.parameters = {"interface": interface}


class MethodNotFound(Refused):
    """The interface has no such method."""

    wire_name = PREFIX + "MethodNotFound"

    def __init__(self, method: str) -> None:
        super().__init__(f"there is no method {method}", hint=_OTHER_VERSION)
        self.parameters = {"method": method}


class MethodNotImplemented(Refused):
    """The method is described, and this service cannot do it."""

    wire_name = PREFIX + "MethodNotImplemented"

    def __init__(self, method: str) -> None:
        super().__init__(f"this service cannot do {method}")
        self.parameters = {"method": method}


class InvalidParameter(BadRequest):
    """A parameter is unknown, missing or of the wrong type; `parameter` is the path to it.

    On the wire `message` goes beyond the published interface; who does not know it ignores it.
    """

    wire_name = PREFIX + "InvalidParameter"

    def __init__(self, parameter: str, message: str = "") -> None:
        super().__init__(message or f"{parameter}: invalid parameter")
        self.parameters = {"parameter": parameter, "message": self.message}


class PermissionDenied(NotPermitted):
    """The service refuses, and does not say why."""

    wire_name = PREFIX + "PermissionDenied"

    def __init__(self) -> None:
        super().__init__("permission denied")
        self.parameters: dict[str, str] = {}


class ExpectedMore(BadRequest):
    """The method only streams, and must be called with "more"."""

    wire_name = PREFIX + "ExpectedMore"

    def __init__(self) -> None:
        super().__init__('this method must be called with "more"')
        self.parameters: dict[str, str] = {}


StandardError = (
    InterfaceNotFound | MethodNotFound | MethodNotImplemented | InvalidParameter | PermissionDenied | ExpectedMore
)


def _text(parameters: Mapping[str, object], name: str) -> str:
    value = parameters.get(name)
    return value if isinstance(value, str) else ""


_READERS: dict[str, Callable[[Mapping[str, object]], MlosError]] = {
    InterfaceNotFound.wire_name: lambda given: InterfaceNotFound(_text(given, "interface")),
    MethodNotFound.wire_name: lambda given: MethodNotFound(_text(given, "method")),
    MethodNotImplemented.wire_name: lambda given: MethodNotImplemented(_text(given, "method")),
    InvalidParameter.wire_name: lambda given: InvalidParameter(_text(given, "parameter"), _text(given, "message")),
    PermissionDenied.wire_name: lambda _: PermissionDenied(),
    ExpectedMore.wire_name: lambda _: ExpectedMore(),
}


def read(name: str, parameters: Mapping[str, object]) -> MlosError | None:
    """The error that a reply carries, or None when it is not one of these."""
    reader = _READERS.get(name)
    return reader(parameters) if reader else None
