"""What makes a class an event, and what cannot be one."""

import dataclasses
import subprocess
import sys

import msgspec
import pydantic
import pytest

from durabus.events import (
    AVRO,
    AvroSchema,
    EncodeError,
    Event,
    EventDefinitionError,
    event,
    event_id,
    event_type,
    new_event_id,
)
from tests.events.kinds import Body, Kind, Model, TicketCreated, make

pytestmark = pytest.mark.once


@pytest.mark.parametrize("kind", [TicketCreated, Body, Model])
def test_what_is_known_of_each_kind(kind: type[Kind]) -> None:
    known = event_type(kind)
    assert (known.cls, known.name, known.subject, known.version) == (kind, kind.__name__, "ticket:created", 2)
    assert (known.encoding, known.identity) == ("json", ("event_id",))
    one, two = make(kind), make(kind)
    assert known.identity_of(one) == one.event_id
    assert one.event_id != two.event_id, "each event has an ID of its own"
    assert known.decode(known.encode(one)) == one


def test_events_are_immutable_and_made_with_keywords_all_the_way_down() -> None:
    class Later(TicketCreated):
        required_behind_a_default: int

    later = Later(id="1", price=1, required_behind_a_default=3)
    assert hash(later) == hash(later)
    with pytest.raises(AttributeError):
        later.id = "2"  # type: ignore[misc]
    with pytest.raises(TypeError):
        Later("1", "2", 1)  # type: ignore[call-arg]
    assert later == msgspec.json.decode(msgspec.json.encode(later), type=Later)


def test_a_copy_with_other_values() -> None:
    ticket = TicketCreated(id="t1", price=20)
    other = msgspec.structs.replace(ticket, price=25)
    assert (other.price, other.event_id, ticket.price) == (25, ticket.event_id, 20)


def test_a_class_may_be_mutable_if_it_says_so() -> None:
    class Plain(msgspec.Struct):
        id: str

    known = event_type(event("plain")(Plain))
    assert known.identity == ()
    assert known.identity_of(Plain("1")) is None


def test_being_an_event_is_not_inherited() -> None:
    class Later(TicketCreated):
        pass

    with pytest.raises(EventDefinitionError, match="Later is no event; put @event"):
        event_type(Later)


def test_an_identity_of_several_fields_is_not_ambiguous() -> None:
    @event("seat:taken", identity=("row", "seat"))
    class SeatTaken(Event):
        row: str
        seat: str

    known = event_type(SeatTaken)
    assert known.identity_of(SeatTaken(row="a", seat="1")) == "a:1"
    first, second = SeatTaken(row="a:b", seat="c"), SeatTaken(row="a", seat="b:c")
    assert known.identity_of(first) != known.identity_of(second)
    slashes = [SeatTaken(row="a\\", seat=":b"), SeatTaken(row="a\\:", seat="b")]
    assert len({known.identity_of(one) for one in slashes}) == 2


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"version": 0}, "versions are numbers from 1 up"),
        ({"version": "2"}, "versions are numbers from 1 up"),
        ({"version": 1.5}, "versions are numbers from 1 up"),
        ({"schema": AvroSchema("{}")}, "has a schema, which JSON has not"),
        ({"encoding": "xml"}, "there are json, protobuf, avro"),
        ({"identity": "number"}, "no field 'number'"),
        ({"identity": ("id", "number")}, "no field 'number'"),
    ],
)
def test_options_that_cannot_be(options: dict[str, object], complaint: str) -> None:
    class Any(Event):
        id: str

    with pytest.raises(EventDefinitionError, match=complaint):
        event("any", **options)(Any)  # type: ignore[arg-type]


@pytest.mark.parametrize("subject", ["", "a b", "a.*", ">", "a..b", "a/b", "a\n", "\ud800", None])
def test_subjects_that_cannot_be(subject: str) -> None:
    with pytest.raises(EventDefinitionError, match="is no subject"):
        event(subject)


def test_classes_that_cannot_be() -> None:
    class Plain:
        id: str

    with pytest.raises(EventDefinitionError, match="Plain is neither"):
        event("plain")(Plain)


def test_an_event_id_of_the_wrong_kind_is_noticed() -> None:
    @dataclasses.dataclass
    class Wrong:
        event_id: str = event_id()

    class WrongModel(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(arbitrary_types_allowed=True)
        event_id: str = event_id()

    for cls in (Wrong, WrongModel):
        with pytest.raises(EventDefinitionError, match="default_factory=new_event_id"):
            event("wrong")(cls)


def test_publishing_another_class_is_noticed() -> None:
    with pytest.raises(EncodeError, match="a Body is no TicketCreated"):
        event_type(TicketCreated).encode(make(Body))  # type: ignore[arg-type]


def test_event_ids_differ() -> None:
    assert len({new_event_id() for _ in range(100)}) == 100
    assert AVRO == "avro"


def test_the_client_and_the_server_start_without_it() -> None:
    names = "[name for name in sys.modules if name.startswith('durabus.events') or name == 'pydantic']"
    for module in ("durabus", "durabus.client", "durabus.sync"):
        done = subprocess.run(
            [sys.executable, "-c", f"import sys, {module}; print({names})"], capture_output=True, text=True, check=True
        )
        assert done.stdout == "[]\n", module
    program = "import sys, durabus.events; print('pydantic' in sys.modules, 'fastavro' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"
    server = "import sys, durabus.cli.start, durabus.server; print('durabus.events' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", server], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
