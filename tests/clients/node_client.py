"""One process with the real Node client in it, led by a test: commands go in, and what happens to the client comes out."""

import contextlib
import itertools
import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import NamedTuple, Self

from tests.clients.packages import DIRECTORY
from tests.server_process import HOST, PATIENCE_S

__all__ = ["Event", "Message", "NodeClient", "Options"]

CLUSTER = "test-cluster"
Event = dict[str, object]
Options = Mapping[str, object]

_numbers = itertools.count(1)


class Message(NamedTuple):
    """What a listener got."""

    sequence: int
    data: str
    redelivered: bool = False
    redeliveries: int = 0


class NodeClient:
    """A Node process with one client of the library."""

    def __init__(self) -> None:
        """Start the process; `connect` connects."""
        self.client_id = f"node-{next(_numbers)}"
        self.events: list[Event] = []
        self._changed = threading.Condition()
        self._is_over = False
        self.process = subprocess.Popen(
            ["node", "participant.js"], cwd=DIRECTORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.wait("started")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                with self._changed:
                    self.events.append(json.loads(line))
                    self._changed.notify_all()
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def tell(self, command: str, **arguments: object) -> None:
        """Send a command."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"do": command, **arguments}) + "\n")
        self.process.stdin.flush()

    def wait(self, event: str, **facts: object) -> Event:
        """The first event of that kind and with those facts that nobody has waited for yet."""
        wanted: Event = {"event": event, **facts}

        def fits(happened: Event) -> bool:
            return all(happened.get(key) == value for key, value in wanted.items())

        return self._wait(fits, f"{wanted}")

    def _wait(self, fits: Callable[[Event], bool], wanted: str) -> Event:
        deadline = time.monotonic() + PATIENCE_S
        with self._changed:
            while True:
                for at, happened in enumerate(self.events):
                    if fits(happened):
                        return self.events.pop(at)
                left_s = deadline - time.monotonic()
                assert not self._is_over, f"the process ended before {wanted}: {self.events}"
                assert left_s > 0, f"{wanted} did not happen, but {self.events}"
                self._changed.wait(left_s)

    def count(self, event: str) -> int:
        """How many events of that kind nobody has waited for yet."""
        with self._changed:
            return sum(happened["event"] == event for happened in self.events)

    # What a service does.

    def begin_connect(self, port: int, client_id: str = "", **options: object) -> None:
        """Begin to connect."""
        self.client_id = client_id or self.client_id
        options = {"url": f"nats://{HOST}:{port}", "reconnectTimeWait": 50, **options}
        self.tell("connect", cluster=CLUSTER, clientId=self.client_id, options=options)

    def connect(self, port: int, client_id: str = "", **options: object) -> Self:
        """Connect."""
        self.begin_connect(port, client_id, **options)
        self.wait("connect")
        return self

    def close(self) -> None:
        """Close the client."""
        self.tell("close")
        assert self.wait("close")["error"] == ""

    def publish(self, subject: str, *data: str) -> list[str]:
        """Publish; the errors of the acknowledgements, empty where there is none."""
        self.tell("publish", subject=subject, data=data)
        return [str(self.wait("published", data=one)["error"]) for one in data]

    def subscribe(self, name: str, subject: str, options: Options, group: str = "") -> None:
        """Subscribe as `name`; `options` are methods of SubscriptionOptions with their argument (none: an empty list)."""
        self.begin_subscribe(name, subject, options, group)
        self.wait("ready", name=name)

    def begin_subscribe(self, name: str, subject: str, options: Options, group: str = "") -> None:
        """Begin to subscribe."""
        setters = {setter: value if isinstance(value, list) else [value] for setter, value in options.items()}
        self.tell("subscribe", name=name, subject=subject, group=group, setters=setters)

    def message(self, name: str) -> Message:
        """The next message for `name`."""
        happened = self.wait("message", name=name)
        redelivered, redeliveries = happened["redelivered"], happened["redeliveries"]
        sequence, data = happened["sequence"], happened["data"]
        assert isinstance(sequence, int) and isinstance(redeliveries, int) and isinstance(redelivered, bool)
        return Message(sequence, str(data), redelivered, redeliveries)

    def sequences(self, name: str, count: int) -> list[int]:
        """The sequences of the next messages for `name`."""
        return [self.message(name).sequence for _ in range(count)]

    def ack(self, name: str, sequence: int) -> None:
        """Acknowledge a message by hand."""
        self.tell("ack", name=name, sequence=sequence)

    def unsubscribe(self, name: str) -> None:
        """Unsubscribe."""
        self.tell("unsubscribe", name=name)
        self.wait("unsubscribed", name=name)

    def close_subscription(self, name: str) -> None:
        """Close a subscription."""
        self.tell("closeSubscription", name=name)
        self.wait("closed", name=name)

    # What happens to a process.

    def kill(self) -> None:
        """Kill the process, as the system does when memory is short; twice is fine."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()

    def hang(self) -> None:
        """Stop the process without ending it: its socket stays open."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let a process that hangs go on."""
        self.process.send_signal(signal.SIGCONT)
