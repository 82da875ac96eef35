"""Who stands where on a bus."""

import pytest

import durabus.testing
from durabus.client import StartPosition
from durabus.testing.running.positions import Position
from tests.testing.running.listening import Worker, all_of


def position(**changed: object) -> Position:
    """A position that is done, but for what is `changed`."""
    values: dict[str, object] = {
        "channel": "c", "queue_group": "", "durable_name": "", "client_ids": ("a",), "unacknowledged": (), "waiting_count": 0,
    }  # fmt: skip
    return Position(**(values | changed))  # type: ignore[arg-type]


@pytest.mark.once
@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({}, "c, of a: everything is acknowledged"),
        ({"queue_group": "g", "durable_name": "d", "client_ids": ()}, "c, queue group g, durable d, offline: everything is acknowledged"),
        ({"client_ids": ("a", "b"), "unacknowledged": (1, 3)}, "c, of a, b: #1, #3 delivered and not acknowledged"),
        ({"unacknowledged": tuple(range(1, 13)), "waiting_count": 4},
         "c, of a: #1, #2, #3, #4, #5, #6, #7, #8, #9, #10 and 2 more delivered and not acknowledged, 4 not delivered yet"),
    ],
)  # fmt: skip
def test_a_position_in_words(changed: dict[str, object], text: str) -> None:
    assert str(position(**changed)) == text


async def test_durables_and_groups_have_their_names_and_what_they_have_not_done() -> None:
    async with durabus.testing.bus() as bus, bus.connect("a") as one, bus.connect("b") as other:
        await all_of(one, "orders", Worker(fails=lambda _: True), durable_name="billing", max_in_flight=2)
        for client in (one, other):
            await client.subscribe("orders", lambda _: None, queue_group="work", durable_name="w")
        offline = await one.subscribe("orders", durable_name="off", start=StartPosition.all_available())
        await offline.close()
        await bus.publish("orders", b"1")
        for _ in range(3):
            await bus.publish("orders", b"2")
        await bus.settle()
        found = {each.durable_name: each for each in bus.subscriptions()}
        assert found["billing"] == Position("orders", "", "billing", ("a",), (1, 2), 2)
        assert (found["w"].queue_group, found["w"].client_ids) == ("work", ("a", "b"))
        assert found["off"] == Position("orders", "", "off", (), (), 4)
        assert not found["off"].is_online


async def test_a_new_subscription_has_nothing_to_do_with_what_was_before() -> None:
    async with durabus.testing.bus() as bus, bus.connect("a") as client:
        await bus.publish("orders", b"1")
        await client.subscribe("orders")
        assert [each.is_done for each in bus.subscriptions()] == [True]
