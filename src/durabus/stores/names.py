"""The stores by name; each is imported when it is chosen, not before."""

from collections.abc import Callable

from durabus.config.options import SEGMENT_BYTES_MIN, Options
from durabus.errors import StartError
from durabus.streaming.store_port import Store

__all__ = ["make_store"]


def make_store(
    options: Options,
    on_problem: Callable[[str], None] = lambda text: None,
    on_progress: Callable[[str], None] = lambda text: None,
) -> Store:
    """The store that `options` say, not opened yet; raises StartError when it cannot be as they say.

    `on_problem` is told what goes wrong beside batches and answers, in a line for the log each time; `on_progress` how far
    work is that takes its time before anything is served.
    """
    store = _make_plain_store(options, on_problem, on_progress)
    encryption = options.encryption
    if not encryption.is_on:
        return store
    from durabus.stores.encryption import EncryptedStore
    from durabus.stores.encryption_keys import Keys

    return EncryptedStore(store, Keys(encryption.key, encryption.cipher), on_problem)


def _make_plain_store(options: Options, on_problem: Callable[[str], None], on_progress: Callable[[str], None]) -> Store:
    """The store as such, whatever is encrypted in it."""
    name = options.streaming.store
    if name == "MEMORY":
        from durabus.stores.memory import MemoryStore

        return MemoryStore()
    if name == "FILE":
        return _make_file_store(options, on_problem, on_progress)
    if name == "SQL":
        from durabus.stores.sql.opening import make_sql_store

        sql_store = make_sql_store(options)
        sql_store.on_problem = on_problem
        return sql_store
    raise StartError(f"unsupported store type: {name}")


def _make_file_store(options: Options, on_problem: Callable[[str], None], on_progress: Callable[[str], None]) -> Store:
    from durabus.stores.file.journal import SEGMENT_BYTES
    from durabus.stores.file.store import FileStore
    from durabus.stores.original_file.predecessor import Predecessor
    from durabus.stores.original_file.store import OriginalOptions

    file = options.file
    # A slice of the original is at most so large, and so are our segments; 0 leaves it to the store.
    asked_bytes = file.slice_bytes_max or SEGMENT_BYTES
    store = FileStore(file.directory, segment_bytes=min(max(asked_bytes, SEGMENT_BYTES_MIN), SEGMENT_BYTES))
    store.on_problem = on_problem
    store.on_progress = on_progress
    cluster_id = options.streaming.cluster_id.encode("utf-8", "surrogateescape")
    written = OriginalOptions(cluster_id, file.crc_polynomial, file.check_crc)
    store.predecessor = Predecessor(file.directory, written, on_progress, on_problem)
    return store
