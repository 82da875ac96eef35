"""The stores by name; each is imported when it is chosen, not before."""

from durabus.errors import StartError
from durabus.streaming.store_port import Store

__all__ = ["make_store"]


def make_store(name: str) -> Store:
    """The store called `name` (in capital letters), not opened yet; raises StartError for a name that nobody knows."""
    if name == "MEMORY":
        from durabus.stores.memory import MemoryStore

        return MemoryStore()
    raise StartError(f"unsupported store type: {name}")
