"""The type in the brackets is there when the program runs, and the type checker sees it."""

import subprocess
import sys
from pathlib import Path
from typing import Any, Generic, TypeVar

import pytest

from durabus.events import Event, EventDefinitionError, EventType
from durabus.events.typed import Typed
from tests.conftest import ROOT
from tests.events.kinds import Body, TicketCreated

pytestmark = pytest.mark.once

E = TypeVar("E")


class Thing(Typed[E]):
    def __init__(self, event_class: type[E] | None = None) -> None:
        self.type = self._find_type(event_class)


class OfTickets(Thing[TicketCreated]):
    pass


class StillOpen(Thing[E], Generic[E]):
    pass


def test_the_type_is_found() -> None:
    for thing in (Thing[TicketCreated](), Thing(TicketCreated), OfTickets(), StillOpen[TicketCreated]()):
        assert thing.type.cls is TicketCreated
        assert isinstance(thing, Thing)
    assert Thing[Body]().type.cls is Body
    assert isinstance(StillOpen[Body](), StillOpen)


def test_it_is_the_same_class_each_time() -> None:
    assert Thing[TicketCreated] is Thing[TicketCreated]
    assert Thing[TicketCreated].__name__ == "Thing[TicketCreated]"
    assert Thing[TicketCreated].__module__ == __name__


def test_what_is_given_wins() -> None:
    known: EventType[Any] = OfTickets(Body).type  # type: ignore[arg-type]
    assert known.cls is Body


def test_without_a_type_the_error_says_how() -> None:
    with pytest.raises(EventDefinitionError, match=r"Thing of what\? Write Thing\[TicketCreated\]\(bus\)"):
        Thing()
    with pytest.raises(EventDefinitionError, match="Event is no event"):
        Thing[Event]()


def test_once_is_enough() -> None:
    with pytest.raises(TypeError):
        OfTickets[Body]  # type: ignore[misc]


PROGRAM = """
import dataclasses
from durabus.client import Bus, Message
from durabus.events import Event, Listener, Publisher, VersionOrder, event, event_id, event_type

@event("ticket:created")
class TicketCreated(Event, rename="camel"):
    event_id: str = event_id()
    id: str
    price: float

class TicketListener(Listener[TicketCreated]):
    queue_group = "orders"
    durable_name = "orders"
    ack_wait_s = 5
    order = VersionOrder("id", "price")

    async def on_event(self, event: TicketCreated, message: Message) -> None:
        reveal_type(event.id)

class PlainListener(Listener[TicketCreated]):
    def on_event(self, event: TicketCreated, message: Message) -> None:
        pass

async def handle(event: TicketCreated, message: Message) -> None: ...
async def handle_int(event: int, message: Message) -> None: ...

async def main(bus: Bus) -> None:
    publisher = Publisher[TicketCreated](bus)
    await publisher.publish(TicketCreated(id="1", price=2))
    await Publisher(bus, TicketCreated).publish_all([TicketCreated(id="1", price=2)])
    await TicketListener(bus).listen()
    await Listener[TicketCreated](bus, handle, queue_group="a").listen()
    async for ticket, message in Listener[TicketCreated](bus):
        reveal_type(ticket)
        reveal_type(message)
    reveal_type(event_type(TicketCreated).decode(b""))
    await publisher.publish("text")  # wrong
    TicketCreated(id=1, price=2)  # wrong
    TicketCreated("1", 2)  # wrong
    TicketCreated(id="1", price=2).id = "2"  # wrong
    Listener[TicketCreated](bus, handle_int)  # wrong
"""


def test_the_type_checker_sees_it(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--config-file",
        str(ROOT / "pyproject.toml"),
        "--cache-dir",
        str(tmp_path),
    ]
    done = subprocess.run(
        [*command, "--no-error-summary", str(tmp_path / "program.py")],
        capture_output=True, text=True, check=False, cwd=ROOT, timeout=110,
    )  # fmt: skip
    lines = PROGRAM.splitlines()
    said = [line.split("program.py:")[1] for line in done.stdout.splitlines()]
    notes = [line.partition(": note: Revealed type is ")[2] for line in said if "Revealed type" in line]
    assert notes == [
        '"str"',
        '"program.TicketCreated"',
        '"durabus.client.intake.Message"',
        '"program.TicketCreated"',
    ]
    wrong = {int(line.partition(":")[0]) for line in said if ": error: " in line}
    assert wrong == {number for number, line in enumerate(lines, 1) if line.endswith("# wrong")}, done.stdout
