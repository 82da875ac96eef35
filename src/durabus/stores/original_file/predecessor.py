"""What the FILE store does where NATS Streaming Server has left its files: it takes them over before anything is served.

Beside the original's files, which stay as they are, a note says which they were and whether all of them is in the journal
(`marker`). Every later start compares them. So it is seen when the original ran again on the same directory, and no event
that it took since is silently missing.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from durabus.errors import StoreError
from durabus.stores.file.files import Files
from durabus.stores.original_file.files import CLIENTS_FILE, LOCK_FILE, SERVER_FILE, SourceFile
from durabus.stores.original_file.importing import Look, import_files, in_use, look_at
from durabus.stores.original_file.lock import OriginalLock
from durabus.stores.original_file.marker import MARKER_FILE, Marker, read_marker, write_marker
from durabus.stores.original_file.store import OriginalOptions, cluster_id_of
from durabus.streaming.store_port import KIND_CHANNEL, KIND_SERVER, Batch, Lease, Recovered, Store, StoreListener

__all__ = ["Predecessor"]

_LOOK_S: Final = 1.0
"""How often a lock is tried that another Durabus has, which is not the owner any more."""


class Predecessor:
    """The original's data in the directory of one FILE store."""

    def __init__(
        self,
        directory: str,
        options: OriginalOptions,
        on_progress: Callable[[str], None],
        on_problem: Callable[[str], None],
    ) -> None:
        """`options` say how the original was run; lines for the log go to `on_progress` and `on_problem`."""
        self._directory = directory
        self._options = options
        self._say = on_progress
        self._complain = on_problem
        self._lock = OriginalLock(directory)
        self._waiting: asyncio.Task[None] | None = None  # for the lock

    async def take_over(self, store: Store, files: Files, lease: Lease | None, recovered: Recovered) -> bool:
        """See that everything of the original is in `store`, whose owner we are; whether something was changed there.

        `files` are the plain files of the directory, `recovered` is what the store has. Then it has another listener, and is
        to be recovered once more. Raises StoreError when it must not be served, and OSError.
        """
        marker = read_marker(files)
        look = await look_at(self._directory)
        if not look.files:
            self._check_nothing_missed(marker)
            return False
        self._keep_out(lease)
        if marker is not None and marker.is_complete:
            self._compare(marker, look)
            return False
        has_content = any(kind != KIND_SERVER for kind, _, _ in recovered.state)
        if marker is None and has_content:
            raise StoreError(self._both())
        self._check_cluster(look)
        has_server = any(kind == KIND_SERVER for kind, _, _ in recovered.state)
        if marker is not None and has_server and self._has_ended(marker, look):
            write_marker(files, Marker(look.fingerprint, True))
            return False
        await self._import(store, files, lease, recovered, marker, look)
        return True

    async def release(self) -> None:
        """Let others start on the directory."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting
        self._lock.release()

    def _check_nothing_missed(self, marker: Marker | None) -> None:
        if marker is not None and not marker.is_complete:
            raise StoreError(
                f"the files of NATS Streaming Server were removed from {self._directory} before all of them was taken over: "
                f"put them back, or remove {MARKER_FILE} and all durabus* files there to begin with nothing"
            )

    def _keep_out(self, lease: Lease | None) -> None:
        """Take the original's lock, so that no server of its kind begins to work here. Raises StoreError and OSError."""
        if self._lock.take():
            return
        process = self._lock.holder()
        if process or lease is None:
            raise StoreError(in_use(self._directory, process))
        # The server of our group that we took over from stands still, or is about to end: it has the lock as long as it lives.
        if self._waiting is None:
            self._waiting = asyncio.get_running_loop().create_task(self._wait_for_lock())

    async def _wait_for_lock(self) -> None:
        with contextlib.suppress(OSError):
            while not self._lock.take():  # noqa: ASYNC110 - another process is no event
                await asyncio.sleep(_LOOK_S)

    def _compare(self, marker: Marker, look: Look) -> None:
        """Raise StoreError when the files are not those that were taken over."""
        found = look.changes_since(marker.fingerprint)
        if found.changed:
            raise StoreError(
                f"the files of NATS Streaming Server in {self._directory} changed after they were taken over "
                f"({found.words()}): it may have been started here again. What it stored since is not in Durabus' store, and "
                "the other way round. To go on with Durabus' store, move those files away; to go on with those files, move "
                f"all durabus* files away, they are then taken over again"
            )
        self._say(
            f"the files of NATS Streaming Server in {self._directory} were taken over before, and are not needed any more"
        )

    def _both(self) -> str:
        return (
            f"{self._directory} holds a store of Durabus and files of NATS Streaming Server, which do not come from one "
            "another: move away the files of one of them"
        )

    def _check_cluster(self, look: Look) -> None:
        """Raise StoreError when the files are those of another cluster."""
        if not look.files.server:
            return
        with SourceFile(self._directory, look.files.server) as file:
            found = cluster_id_of(file, self._options)
        wanted = self._options.cluster_id
        if found and wanted and found != wanted:
            raise StoreError(f'cluster ID "{_shown(wanted)}" does not match recovered value of "{_shown(found)}"')

    def _has_ended(self, marker: Marker, look: Look) -> bool:
        """Whether all was taken over when the server was killed, and only the note was not written any more."""
        if not marker.is_readable:
            # Nobody wrote it like that, so it may have been complete, and events may have been stored since.
            self._complain(
                f"{MARKER_FILE} in {self._directory} is unreadable: whether the files of NATS Streaming Server there changed "
                "after they were taken over cannot be told"
            )
            return True
        found = look.changes_since(marker.fingerprint)
        return not found.changed and not found.removed

    # Doing it.

    async def _import(
        self,
        store: Store,
        files: Files,
        lease: Lease | None,
        recovered: Recovered,
        marker: Marker | None,
        look: Look,
    ) -> None:
        """Take over, or go on with it."""
        channel_id_first = 1
        found = look.changes_since(marker.fingerprint) if marker is not None else None
        if found is None or found.changed or found.removed:
            if found is not None and recovered.state:
                self._complain(
                    f"the files of NATS Streaming Server in {self._directory} are not those that were begun with: "
                    "what was taken over of them is dropped, and all is taken over anew"
                )
            channel_id_first = await _empty(store, lease, recovered)
            write_marker(files, Marker(look.fingerprint, False))
        self._say(
            f"{self._directory} holds the data of a NATS Streaming Server: it is taken over before anything is served"
        )
        copied = await import_files(
            self._directory, look, store, self._options, self._say, lease=lease, channel_id_first=channel_id_first
        )
        for finding in copied.damage:
            self._complain(f"in the data of NATS Streaming Server: {finding}")
        write_marker(files, Marker(look.fingerprint, True))
        self._say(
            f"the files of NATS Streaming Server are as they were, and not needed any more: {SERVER_FILE}, {CLIENTS_FILE}, "
            f"{LOCK_FILE} and all folders in {self._directory}. Remove them when nobody wants to go back to them"
        )


class _Ending(StoreListener):
    """Waits for the end of one batch."""

    def __init__(self) -> None:
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def on_durable(self, number: int) -> None:
        self.ended.set_result("")

    def on_failed(self, number: int, outcome: int, text: str) -> None:
        self.ended.set_result(text or "the store refused")


async def _empty(store: Store, lease: Lease | None, recovered: Recovered) -> int:
    """Remove all that `store` has, where nothing was ever served from; a number that no channel had. Raises StoreError."""
    batch = Batch(1, lease.epoch if lease is not None else 0)
    highest = 0
    for kind, key, _ in recovered.state:
        batch.state.append((kind, key, None))
        if kind == KIND_CHANNEL:
            highest = max(highest, int(key))
    if not batch.is_empty():
        ending = _Ending()
        store.bind(ending)
        store.submit(batch)
        problem = await ending.ended
        if problem:
            raise StoreError(problem)
    return highest + 1


def _shown(name: bytes) -> str:
    return name.decode(errors="backslashreplace")
