"""org.varlink.service: a service describes itself, so that any Varlink client can call it."""

from pathlib import Path
from typing import Any

import mlosd
from mlosd.api.call import CallContext
from mlosd.api.caller import Caller
from mlosd.api.registry import Registry
from mlosd.core import data
from mlosd.wire import idl, types
from mlosd.wire.standard_errors import InterfaceNotFound

VENDOR = "mlosd"
PRODUCT = "mlosd"


def interfaces(folder: Path | None = None) -> list[types.Interface]:
    """Every interface shipped with mlosd, by name."""
    return [idl.read(path) for path in sorted((folder or data.path("interfaces")).glob("*.varlink"))]


def register(registry: Registry) -> None:
    """Answer org.varlink.service from what the registry knows."""
    info = {
        "vendor": VENDOR,
        "product": PRODUCT,
        "version": mlosd.__version__,
        "url": "",
        "interfaces": sorted(registry.interfaces),
    }

    async def get_info(_caller: Caller, _parameters: dict[str, Any], _call: CallContext) -> dict[str, Any]:
        return info

    async def get_description(_caller: Caller, parameters: dict[str, Any], _call: CallContext) -> dict[str, Any]:
        interface = registry.interfaces.get(parameters["interface"])
        if interface is None:
            raise InterfaceNotFound(parameters["interface"])
        return {"description": interface.source}

    registry.add("org.varlink.service.GetInfo", get_info)
    registry.add("org.varlink.service.GetInterfaceDescription", get_description)
