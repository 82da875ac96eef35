"""Which channels are this server's: all of them or, with partitioning, those of its patterns (docs/protocol.md §16.1)."""

from durabus.broker.bus import Receiver
from durabus.wire.operations import Publish
from durabus.wire.subjects import has_wildcard, matches, overlap

__all__ = ["Partition"]


class Partition:
    """The channels of one server, as names and patterns; none at all means every channel."""

    def __init__(self, patterns: list[bytes]) -> None:
        """Own what matches one of `patterns`; what another one of them covers adds nothing."""
        self.patterns = [
            pattern
            for pattern in dict.fromkeys(patterns)
            if not any(other != pattern and _covers(other, pattern) for other in patterns)
        ]
        self._names = set(self.patterns)
        self._wildcards = [pattern for pattern in self.patterns if has_wildcard(pattern)]

    def owns(self, name: bytes) -> bool:
        """Whether the channel `name` is this server's."""
        if not self.patterns or name in self._names:
            return True
        for pattern in self._wildcards:
            if matches(pattern, name):
                return True
        return False

    def receivers(self, prefix: bytes, receiver: Receiver) -> list[tuple[bytes, Receiver]]:
        """The subjects below `prefix` to subscribe to, and with which receiver, so that `receiver` gets everything once."""
        if not self.patterns:
            return [(prefix + b".>", receiver)]
        found: list[tuple[bytes, Receiver]] = []
        for index, pattern in enumerate(self.patterns):
            earlier = [prefix + b"." + other for other in self.patterns[:index] if overlap(other, pattern)]
            found.append((prefix + b"." + pattern, _Remaining(earlier, receiver) if earlier else receiver))
        return found


def _covers(wide: bytes, narrow: bytes) -> bool:
    """Whether every name that matches `narrow` matches `wide`: what ends in `>` fits only into what does, too."""
    return matches(wide, narrow) and (wide.endswith(b">") or not narrow.endswith(b">"))


class _Remaining(Receiver):
    """Passes on what none of the `earlier` subscriptions gets: the network delivers a message once for each that matches."""

    def __init__(self, earlier: list[bytes], receiver: Receiver) -> None:
        self._earlier = earlier
        self._receiver = receiver

    def on_publish(self, publish: Publish) -> None:
        for pattern in self._earlier:
            if matches(pattern, publish.subject):
                return
        self._receiver.on_publish(publish)
