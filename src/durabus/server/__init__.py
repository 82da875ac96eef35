"""The composition root: one server put together from its parts, started, and stopped."""

__all__ = ["run"]

from durabus.server.run import run
