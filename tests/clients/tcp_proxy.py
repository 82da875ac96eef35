"""A wire between a client and a server that a test can cut."""

import contextlib
import socket
import threading
from types import TracebackType
from typing import Self

from tests.server_process import HOST

__all__ = ["TcpProxy"]


class TcpProxy:
    """Listens on `port` and passes everything on, both ways, to and from another port."""

    def __init__(self, target_port: int) -> None:
        """Begin to listen."""
        self.target_port = target_port
        self.lets_through = True
        self._pairs: set[tuple[socket.socket, socket.socket]] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server((HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.lets_through = False
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self.cut()
        for thread in self._threads:
            thread.join(20)
        self._listener.close()

    def cut(self) -> None:
        """Close every connection, on both sides. New ones are let through if `lets_through` says so."""
        with self._lock:
            pairs = list(self._pairs)
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.ExitStack() as stack:
                stack.enter_context(near)
                if not self.lets_through:
                    continue
                try:
                    far = stack.enter_context(socket.create_connection((HOST, self.target_port)))
                except OSError:
                    continue
                stack.pop_all()
            with self._lock:
                self._pairs.add((near, far))
            thread = threading.Thread(target=self._serve, args=(near, far), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, near: socket.socket, far: socket.socket) -> None:
        back = threading.Thread(target=self._pump, args=(far, near), daemon=True)
        back.start()
        self._pump(near, far)
        back.join()
        with self._lock:
            self._pairs.discard((near, far))
        near.close()
        far.close()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
