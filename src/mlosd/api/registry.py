"""Which function answers which method, held against the interface definitions: none missing, none made up."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from mlosd.api.call import Handler
from mlosd.core.errors import MlosError
from mlosd.wire import types
from mlosd.wire.check import Check, Checks, WrongValue
from mlosd.wire.message import Parameters
from mlosd.wire.standard_errors import InterfaceNotFound, InvalidParameter, MethodNotFound, MethodNotImplemented


@dataclass(frozen=True, slots=True)
class Method:
    """A method with its function and its checks."""

    name: str
    handler: Handler
    _check_input: Check
    _check_output: Check

    def check_parameters(self, parameters: Parameters) -> None:
        """Raise InvalidParameter unless the parameters are what the interface says."""
        try:
            self._check_input(parameters)
        except WrongValue as error:
            raise InvalidParameter(error.path, str(error)) from None

    def check_reply(self, parameters: Parameters) -> None:
        """Raise WrongReply unless the reply is what the interface says."""
        try:
            self._check_output(parameters)
        except WrongValue as error:
            raise WrongReply(f"{self.name} answers what its interface does not allow: {error}") from None


class WrongReply(MlosError):
    """A method of ours answered against its own interface."""


class Registry:
    """The methods of a service. A programming error in it is an MlosError when the daemon starts, not when it runs."""

    def __init__(self, interfaces: Iterable[types.Interface]) -> None:
        self._interfaces = {interface.name: interface for interface in interfaces}
        self._checks = {name: Checks(interface) for name, interface in self._interfaces.items()}
        self._methods: dict[str, Method] = {}

    @property
    def interfaces(self) -> Mapping[str, types.Interface]:
        """By name."""
        return self._interfaces

    def add(self, name: str, handler: Handler) -> None:
        """Answer the method `name`, for instance "io.mlosd.Jobs.Submit", with `handler`."""
        interface, _, method = name.rpartition(".")
        if interface not in self._interfaces or method not in self._interfaces[interface].methods:
            raise MlosError(f"no interface describes the method {name}")
        if name in self._methods:
            raise MlosError(f"the method {name} has two handlers")
        checks = self._checks[interface]
        self._methods[name] = Method(name, handler, checks.inputs[method], checks.outputs[method])

    def complete(self) -> None:
        """Raise MlosError when a described method has no handler."""
        described = {f"{i.name}.{method}" for i in self._interfaces.values() for method in i.methods}
        missing = sorted(described - self._methods.keys())
        if missing:
            raise MlosError(f"no handler for {', '.join(missing)}")

    def method(self, name: str) -> Method:
        """The method of that name, or the error that Varlink has for its absence."""
        found = self._methods.get(name)
        if found is not None:
            return found
        interface, _, method = name.rpartition(".")
        if interface not in self._interfaces:
            raise InterfaceNotFound(interface)
        if method not in self._interfaces[interface].methods:
            raise MethodNotFound(method)
        raise MethodNotImplemented(method)
