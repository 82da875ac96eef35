"""What may be sent once a batch is durable. Each kind also knows what to say when the batch failed instead."""

from typing import Final

from mypy_extensions import mypyc_attr

from durabus.broker.bus import Bus
from durabus.wire.stan_messages import encode_error_response

__all__ = ["Acks", "Effect", "Reply"]

_ACK_TAG: Final = b"\x0a"  # PubAck, field 1: the GUID
_ACK_ERROR_FIELD: Final = 2


@mypyc_attr(allow_interpreted_subclasses=True)
class Effect:
    """One thing to do after the changes that it rests on are safe."""

    def release(self, bus: Bus) -> None:
        """Do it."""
        raise NotImplementedError  # pragma: no cover - abstract

    def refuse(self, bus: Bus, text: str) -> None:
        """Say instead that it failed, and why."""
        raise NotImplementedError  # pragma: no cover - abstract


class Acks(Effect):
    """The acknowledgements of one run of published messages: one publish for all of them.

    `guid_fields` are GUIDs with their length in front, which is a PubAck but for its first byte.
    """

    def __init__(self, reply: bytes) -> None:
        """Nothing is acknowledged yet; `reply` is where the publisher waits, empty when it does not."""
        self.reply = reply
        self.guid_fields: list[bytes] = []

    def release(self, bus: Bus) -> None:
        """Tell the publisher that its messages are stored."""
        if self.reply and self.guid_fields:
            bus.publish_run(self.reply, _ACK_TAG, self.guid_fields)

    def refuse(self, bus: Bus, text: str) -> None:
        """Tell the publisher that none of these messages is acknowledged."""
        if self.reply:
            field = encode_error_response(_ACK_ERROR_FIELD, text)
            bus.publish_run(self.reply, _ACK_TAG, [guid + field for guid in self.guid_fields])


class Reply(Effect):
    """The response to one request; `refusal` is field `error_field` of the same response type with an error in it."""

    def __init__(self, subject: bytes, payload: bytes, error_field: int) -> None:
        """Keep the response; `subject` may be empty, then nobody waits for it."""
        self.subject = subject
        self.payload = payload
        self.error_field = error_field

    def release(self, bus: Bus) -> None:
        """Send the response."""
        if self.subject:
            bus.publish(self.subject, b"", self.payload)

    def refuse(self, bus: Bus, text: str) -> None:
        """Send an error instead; what is one already rests on nothing, and stays as it is."""
        if not self.error_field:
            self.release(bus)
        elif self.subject:
            bus.publish(self.subject, b"", encode_error_response(self.error_field, text))
