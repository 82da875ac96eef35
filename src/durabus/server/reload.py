"""A new configuration for a server that runs (SIGHUP): read the files again, and take over what can be taken over.

All or nothing for the NATS half, as in the original: a file with a mistake, or with a change that needs a restart,
changes nothing and is told. The durable half is never reloaded.
"""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

from durabus.config.options import Options
from durabus.errors import DurabusError
from durabus.logs import LogOutput
from durabus.server.process_files import ProcessFiles

if TYPE_CHECKING:
    from durabus.config.changes import Changes

__all__ = ["Reloader"]

NO_FILE = "Reload: can only reload config when a file is provided using -c or --config"
NOT_EMBEDDED = "Reload supported only for embedded NATS Server's configuration"
DONE = "Reloaded server configuration"


class Reloader:
    """Knows the configuration that a server runs with."""

    def __init__(
        self,
        options: Options,
        read: Callable[[], Options] | None,
        output: LogOutput,
        files: ProcessFiles,
        apply: Callable[[Options], None] | None,
        on_done: Callable[[Options], None] = lambda options: None,
    ) -> None:
        """`read` gives the configuration of now, and raises DurabusError; `apply` gives it to the broker.

        `on_done` is told after every reload what the server runs with. Without `apply` a change of the broker, of who may connect or of TLS is one that needs a restart.
        """
        self.options = options
        self._read = read
        self._output = output
        self._files = files
        self._apply = apply
        self._on_done = on_done

    def reload(self) -> None:
        """Take over what has changed; whatever is wrong is logged, and the server goes on as before."""
        log = self._output.streaming
        if self.options.external.url:
            log.warning(NOT_EMBEDDED)
            return
        if self._read is None or not self.options.process.config_file:
            log.error(NO_FILE)
            return
        from durabus.config.changes import find_changes  # most servers never reload

        try:
            new = self._read()
            changes = find_changes(self.options, new)
            self._take_over(new, changes)
        except DurabusError as error:
            log.error(f"Reload: {error}")
            return
        self._on_done(self.options)
        self._output.broker.info(*changes.lines, DONE)
        if changes.waiting:
            log.warning(f"Reload: these options change with a restart only: {', '.join(changes.waiting)}")

    def _take_over(self, new: Options, changes: "Changes") -> None:
        """Give each part what is new for it; raises DurabusError, and then has changed nothing."""
        old = self.options
        log = dataclasses.replace(
            new.log, streaming_debug=old.log.streaming_debug, streaming_trace=old.log.streaming_trace
        )
        steps: list[tuple[Callable[[], None], Callable[[], None]]] = []  # what to do, and how to undo it
        if changes.touch("log"):
            steps.append((lambda: self._output.reload(log), lambda: self._output.reload(old.log)))
        if changes.touch("process"):
            steps.append((lambda: self._files.reload(new.process), lambda: self._files.reload(old.process)))
        apply = self._apply
        if apply is not None and changes.names:
            steps.append((lambda: apply(new), lambda: apply(old)))
        elif changes.touch("broker", "auth", "tls"):
            name = min(name for name in changes.names if name.startswith(("auth.", "broker.", "tls.")))
            raise DurabusError(f"config reload not supported for {name}: restart the server")
        take_all(steps)
        self.options = dataclasses.replace(
            old, broker=new.broker, auth=new.auth, tls=new.tls, log=log, process=new.process
        )


def take_all(steps: list[tuple[Callable[[], None], Callable[[], None]]]) -> None:
    """Do all steps; when one fails, undo those before it and raise what it raised."""
    undo: list[Callable[[], None]] = []
    for do, undo_it in steps:
        try:
            do()
        except DurabusError:
            for back in reversed(undo):
                back()
            raise
        undo.append(undo_it)
