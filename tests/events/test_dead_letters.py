"""The places for what a listener cannot deal with: what each is told, and which cannot be."""

import pytest

from durabus.client import Message, UsageError
from durabus.client.intake import Intake
from durabus.events import DeadLetter, DeadLetterReason, Drop, ToChannel, ToFunction, event_type
from durabus.events.dead_letters import check_place, dead_letter_channel
from tests.events.kinds import TicketCreated

pytestmark = pytest.mark.once

TYPE = event_type(TicketCreated)


def message(data: bytes = b"{}") -> Message:
    """As one comes."""
    return Message(Intake("c", True, True, lambda _: None), 0, "ticket:created", 7, data, 1, 0, "")


def test_the_channel() -> None:
    assert dead_letter_channel(ToChannel(), TYPE) == "ticket:created.dead-letters"
    assert dead_letter_channel(ToChannel("graveyard"), TYPE) == "graveyard"


@pytest.mark.parametrize("place", [ToChannel(), ToChannel("graveyard"), ToFunction(print), Drop()])
def test_places_that_can_be(place: ToChannel | ToFunction | Drop) -> None:
    check_place(place, TYPE, "ticket:created")


@pytest.mark.parametrize(
    ("place", "channel"),
    [
        (ToChannel(), "ticket:created.dead-letters"),
        (ToChannel("graveyard"), "graveyard"),
        (ToChannel("a b"), "ticket:created"),
        (print, "ticket:created"),
    ],
)
def test_places_that_cannot_be(place: ToChannel, channel: str) -> None:
    with pytest.raises(UsageError):
        check_place(place, TYPE, channel)


def test_a_dead_letter_in_one_line() -> None:
    letter = DeadLetter(TYPE, message(), DeadLetterReason.UNDECODABLE, ValueError("no price"))
    assert str(letter) == "ticket:created, message 7: undecodable: no price"
    assert str(DeadLetter(TYPE, message(), DeadLetterReason.FAILED, KeyError())).endswith("failed: KeyError")
