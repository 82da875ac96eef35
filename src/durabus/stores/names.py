"""The stores by name; each is imported when it is chosen, not before."""

from collections.abc import Callable

from durabus.config.options import SEGMENT_BYTES_MIN, FileOptions, Options
from durabus.errors import StartError
from durabus.streaming.store_port import Store

__all__ = ["make_store"]


def make_store(options: Options, on_problem: Callable[[str], None] = lambda text: None) -> Store:
    """The store that `options` say, not opened yet; raises StartError when it cannot be as they say.

    `on_problem` is told what goes wrong beside batches and answers, in a line for the log each time.
    """
    name = options.streaming.store
    if name == "MEMORY":
        from durabus.stores.memory import MemoryStore

        return MemoryStore()
    if name == "FILE":
        return _make_file_store(options.file, on_problem)
    if name == "SQL":
        from durabus.stores.sql.opening import make_sql_store

        return make_sql_store(options)
    raise StartError(f"unsupported store type: {name}")


def _make_file_store(options: FileOptions, on_problem: Callable[[str], None]) -> Store:
    from durabus.stores.file.journal import SEGMENT_BYTES
    from durabus.stores.file.store import FileStore

    # A slice of the original is at most so large, and so are our segments; 0 leaves it to the store.
    asked_bytes = options.slice_bytes_max or SEGMENT_BYTES
    store = FileStore(options.directory, segment_bytes=min(max(asked_bytes, SEGMENT_BYTES_MIN), SEGMENT_BYTES))
    store.on_problem = on_problem
    return store
