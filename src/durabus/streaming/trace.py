"""What `-SV` tells of messages: published, delivered, acknowledged, in the original's words.

Only called where the log wants traces: `if log.trace_on` is all that the hot paths do without it.
"""

from durabus.broker.bus import Bus
from durabus.streaming.cohort import Member
from durabus.streaming.effects import Acks
from durabus.streaming.log_port import Log
from durabus.streaming.state import text
from durabus.wire.publish_request import PublishRequest, sequence_of

__all__ = ["TracedAcks", "trace_ack", "trace_deliveries"]


class TracedAcks(Acks):
    """Acknowledgements that are told one by one when they are sent."""

    def __init__(self, reply: bytes, log: Log) -> None:
        """Nothing is acknowledged yet."""
        super().__init__(reply)
        self._log = log
        self._lines: list[str] = []

    def trace_publish(self, payload: bytes, request: PublishRequest) -> None:
        """Tell of a message that was let in, whose acknowledgement is one of these."""
        guid = request.guid_field
        start = 0
        while guid[start] > 127:  # its length comes first
            start += 1
        client = text(payload[request.client_id_start : request.client_id_end])
        message = f"subj={text(request.subject)} guid={text(guid[start + 1 :])}"
        self._log.trace(f"[Client:{client}] Received message from publisher {message}")
        self._lines.append(f"[Client:{client}] Acking Publisher {message}")

    def release(self, bus: Bus) -> None:
        """Tell the publisher that its messages are stored, and the log that it was told."""
        super().release(bus)
        if self.reply:
            for line in self._lines:
                self._log.trace(line)


def trace_deliveries(log: Log, member: Member, bodies: list[bytes]) -> None:
    """Tell of messages that are on their way to `member`."""
    redelivered = member.cohort.redelivered
    for body in bodies:
        sequence = int(sequence_of(body))
        did = "Redelivering" if sequence in redelivered else "Delivering"
        log.trace(f"{_client(member)} {did} msg to {_place(member, sequence)}")


def trace_ack(log: Log, member: Member, sequence: int) -> None:
    """Tell of an acknowledgement that came to `member`'s inbox for them."""
    log.trace(f"{_client(member)} Processing ack for {_place(member, sequence)}")


def _client(member: Member) -> str:
    return f"[Client:{text(member.record.client_id)}]"


def _place(member: Member, sequence: int) -> str:
    return f"subid={member.subscription_id}, subject={text(member.cohort.channel_name)}, seq={sequence}"
