"""Durabus: a durable event bus, the maintained successor of NATS Streaming Server.

`durabus.connect` is the client; it is imported when it is asked for, so that the server starts without it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from durabus.client import connect

__all__ = ["connect"]


def __getattr__(name: str) -> object:
    """Import what is asked for."""
    if name == "connect":
        from durabus.client import connect

        return connect
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
