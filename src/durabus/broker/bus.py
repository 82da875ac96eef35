"""The port between core NATS and what is built on it.

`Bus` is what a part of the server sees of a NATS network, whether that is the broker in this process or another
server: publish, subscribe, and who is listening. `Receiver` and `InterestWatcher` are what that part implements.
All of it is synchronous: a call takes effect, for every later call, before it returns; bytes leave when the shell
flushes.
"""

from mypy_extensions import mypyc_attr

from durabus.wire import framing
from durabus.wire.operations import Publish

__all__ = ["Bus", "InterestWatcher", "Receiver", "as_received"]


@mypyc_attr(allow_interpreted_subclasses=True)
class Receiver:
    """Takes what is published on the subjects that it subscribed to."""

    def on_publish(self, publish: Publish) -> None:
        """Take a run of messages of one subject and reply subject. MUST NOT keep or change `publish.payloads`."""
        raise NotImplementedError  # pragma: no cover - abstract


@mypyc_attr(allow_interpreted_subclasses=True)
class InterestWatcher:
    """Is told when a subject gains its first listener or loses its last one."""

    def on_interest(self, subject: bytes, present: bool) -> None:
        """`subject` is now listened to (`present`) or not. Called at once, inside the change of the subscription."""
        raise NotImplementedError  # pragma: no cover - abstract


@mypyc_attr(allow_interpreted_subclasses=True)
class Bus:
    """A NATS network, seen from inside the server."""

    def subscribe(self, subject: bytes, receiver: Receiver) -> None:
        """Give everything published on `subject` (wildcards allowed) to `receiver`. One receiver per subject."""
        raise NotImplementedError  # pragma: no cover - abstract

    def unsubscribe(self, subject: bytes) -> None:
        """End what `subscribe` began; nothing happens when there is no such subscription."""
        raise NotImplementedError  # pragma: no cover - abstract

    def publish(self, subject: bytes, reply: bytes, payload: bytes) -> bool:
        """Publish one message; whether anybody was there to receive it (True where that cannot be known)."""
        raise NotImplementedError  # pragma: no cover - abstract

    def publish_run(self, subject: bytes, head: bytes, payloads: list[bytes]) -> bool:
        """Publish the messages `head + payload`, in order, for the price of one; whether anybody was there."""
        raise NotImplementedError  # pragma: no cover - abstract

    def is_open(self) -> bool:
        """Whether what is published now can leave; False while there is no connection to the network."""
        raise NotImplementedError  # pragma: no cover - abstract

    def is_congested(self, subject: bytes) -> bool:
        """Whether so much is on its way to a listener on the literal `subject` that more should wait a moment."""
        raise NotImplementedError  # pragma: no cover - abstract

    def has_interest(self, subject: bytes) -> bool:
        """Whether anybody listens on the literal `subject` (True where that cannot be known)."""
        raise NotImplementedError  # pragma: no cover - abstract

    def watch(self, subject: bytes, watcher: InterestWatcher) -> bool:
        """Tell `watcher` of every change of interest in the literal `subject` from now on; the interest now.

        Several watchers may watch one subject.
        """
        raise NotImplementedError  # pragma: no cover - abstract

    def unwatch(self, subject: bytes, watcher: InterestWatcher) -> None:
        """End what `watch` began."""
        raise NotImplementedError  # pragma: no cover - abstract


def as_received(publish: Publish) -> Publish:
    """A run as receivers get it: they read messages, not headers, except that nobody took a request of theirs."""
    if publish.header_bytes == 0 or framing.is_no_responders(publish):
        return publish
    bodies = [payload[publish.header_bytes :] for payload in publish.payloads]
    return Publish(publish.subject, publish.reply, 0, bodies)
