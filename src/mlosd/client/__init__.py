"""Beside the floors: a synchronous client of mlosd, quick to import. Knows no method by name."""

from mlosd.client.connection import Connection

__all__ = ["Connection"]
