"""Do other servers of this cluster own channels that are ours? Asked on the network (docs/protocol.md §16.4).

Pure: told what came and at what time, it says what to send. A *round* is a question to everybody; it is over when for a
second nobody has answered. `server/partition_guard.py` gives it a network and a clock.
"""

from typing import Final

from durabus.monitoring.steps import Pace, Steps
from durabus.wire.control_messages import (
    PARTITIONING,
    channel_lists,
    decode_channel_list,
    decode_control_message,
    encode_control_message,
)
from durabus.wire.subjects import has_wildcard, matches, overlap

__all__ = ["CHANGE_NS", "SILENCE_NS", "PartitionCheck"]

SILENCE_NS: Final = 1_000_000_000
"""How long nobody may answer before a round is over."""
CHANGE_NS: Final = 500_000_000
"""How long a server that is new on the network has time to make its subscriptions known, before it is asked."""


class PartitionCheck:
    """One server's questions and answers. `conflict` is the first one found, in words; empty while there is none.

    The rounds after the first follow changes of the network; however many changes come, one round follows the last.
    """

    def __init__(self, server_id: bytes, channels: list[bytes]) -> None:
        """Own `channels`, names and patterns. `begin` asks for the first time."""
        self.conflict = ""
        self._server_id = server_id
        self._channels = channels
        self._names = {name for name in channels if not has_wildcard(name)}
        self._patterns = [name for name in channels if has_wildcard(name)]
        self._silence_ns = 0  # when the round under way is over; 0 when none is
        self._ask_ns = 0  # when the next round begins; 0 when none does
        self._changed_ns = 0

    # Asking.

    def begin(self, payload_bytes_max: int, now_ns: int) -> list[bytes]:
        """Begin a round: the questions to send. Raises NameTooLongError when a channel's name fits into none."""
        questions = channel_lists(self._server_id, self._channels, payload_bytes_max)
        self._silence_ns = now_ns + SILENCE_NS
        return questions

    def on_answer(self, answer: bytes, now_ns: int) -> None:
        """Somebody has answered: in the data is the name of a channel that both own, if there is one.

        Raises DecodeError for what is no answer.
        """
        said = decode_control_message(answer)
        if said.kind != PARTITIONING or said.server_id == self._server_id:
            return
        if self._silence_ns:
            self._silence_ns = now_ns + SILENCE_NS
        if said.data and not self.conflict:
            name, server_id = (text.decode("utf-8", "backslashreplace") for text in (said.data, said.server_id))
            self.conflict = f'channel "{name}" causes conflict with channels on server "{server_id}"'

    def on_change(self, now_ns: int) -> None:
        """There may be servers on the network that were not there before: ask again, in a moment."""
        self._changed_ns = now_ns
        if not self._ask_ns:
            self._ask_ns = now_ns + CHANGE_NS

    def on_time(self, payload_bytes_max: int, now_ns: int) -> list[bytes]:
        """Time has passed: the questions to send, none when no round begins. Raises as `begin` does."""
        if self._silence_ns and now_ns >= self._silence_ns:
            self._silence_ns = 0
        if not self._ask_ns or now_ns < self._ask_ns:
            return []
        next_ns = self._changed_ns + CHANGE_NS
        self._ask_ns = next_ns if next_ns > now_ns else 0
        return self.begin(payload_bytes_max, now_ns)

    def next_ns(self) -> int:
        """When `on_time` has something to do; 0 when it has not."""
        deadlines = [deadline for deadline in (self._silence_ns, self._ask_ns) if deadline]
        return min(deadlines, default=0)

    @property
    def is_asking(self) -> bool:
        """Whether a round is under way."""
        return self._silence_ns > 0

    # Answering.

    def answer(self, question: bytes) -> Steps[bytes | None]:
        """What to answer to `question`; None when it is our own, or nobody's. Raises DecodeError for what is no question."""
        if not question:
            return None
        said = decode_control_message(question)
        if said.kind != PARTITIONING or said.server_id == self._server_id:
            return None
        name = yield from self._find_conflict(decode_channel_list(said.data))
        return encode_control_message(PARTITIONING, self._server_id, name)

    def _find_conflict(self, asked: list[bytes]) -> Steps[bytes]:
        """The first name that both own; no bytes when there is none.

        As in the original: one of theirs that ours cover, else one of ours that theirs cover. And, as it does not, two
        patterns that only overlap, such as `*.paid` and `order.*`.
        """
        pace = Pace()
        patterns: list[bytes] = []
        for name in asked:
            if name in self._names or any(matches(pattern, name) for pattern in self._patterns):
                return name
            if has_wildcard(name):
                patterns.append(name)
            if pace.spent(1 + len(self._patterns)):
                yield
        for own in self._channels:
            for start in range(0, len(patterns), 100):
                if any(matches(pattern, own) for pattern in patterns[start : start + 100]):
                    return own
                if pace.spent(100):
                    yield
        for pattern in patterns:
            if any(overlap(own, pattern) for own in self._patterns):
                return pattern
            if pace.spent(1 + len(self._patterns)):
                yield
        return b""
