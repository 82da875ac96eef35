"""The time of a bus in a test: a server's clock that the test moves, and the same for clients of that bus."""

from durabus.clock import Clock, SystemClock

__all__ = ["ClientClock", "MovableClock"]


class MovableClock(Clock):
    """The server's clock. The test moves it on; by itself its deadlines stand still, unless it `is_running`.

    What is stored is stamped with a time that always goes on, as far ahead of the machine's as the test has moved it: so
    events keep their order in time, and clients that count back from now find what they expect.
    """

    def __init__(self, *, is_running: bool = False) -> None:
        """As late as the machine's clock says."""
        self.is_running = is_running
        self.ahead_ns = 0
        self._system = SystemClock()
        self._stands_at_ns = self._system.monotonic_ns()

    def move_on(self, duration_ns: int) -> None:
        """It is `duration_ns` later now; nobody is told."""
        self.ahead_ns += duration_ns

    def move_to(self, moment_ns: int) -> None:
        """It is `moment_ns` on the monotonic reading now, if it is not later already; nobody is told."""
        self.move_on(max(0, moment_ns - self.monotonic_ns()))

    def wall_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC."""
        return self._system.wall_ns() + self.ahead_ns

    def monotonic_ns(self) -> int:
        """Nanoseconds for deadlines."""
        return (self._system.monotonic_ns() if self.is_running else self._stands_at_ns) + self.ahead_ns


class ClientClock(Clock):
    """The clock of a client in the same test: it goes on by itself, and is moved on together with the server's."""

    def __init__(self, server: MovableClock) -> None:
        """As far ahead as `server` is."""
        self._server = server
        self._system = SystemClock()

    def wall_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC, as the server stamps events."""
        return self._server.wall_ns()

    def monotonic_ns(self) -> int:
        """Nanoseconds for deadlines."""
        return self._system.monotonic_ns() + self._server.ahead_ns
