"""The order of versions without a bus: each standing, what is held, and what goes on when."""

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.client import UsageError
from durabus.events import Event, EventDefinitionError, VersionOrder, event, event_type
from durabus.events.ordering import Standing
from tests.client.harness import until
from tests.events.kinds import TicketCreated

pytestmark = pytest.mark.once

NEXT, STALE, EARLY, BUSY = Standing.NEXT, Standing.STALE, Standing.EARLY, Standing.BUSY


@dataclass(frozen=True)
class Change:
    id: str
    version: int


async def begin(order: VersionOrder, version: int, entity: str = "a") -> Standing:
    """Begin, and finish at once what is next."""
    change = Change(entity, version)
    standing = await order.begin(change, "c", change.version)
    if standing is NEXT:
        order.finish(change)
    return standing


async def test_standings_of_one_entity() -> None:
    order = VersionOrder(first_version=1)
    assert [await begin(order, version) for version in (2, 0, 1, 1, 3, 2, 2, 1, 3)] == [
        EARLY, STALE, NEXT, STALE, EARLY, NEXT, STALE, STALE, NEXT,
    ]  # fmt: skip


async def test_entities_do_not_wait_for_each_other() -> None:
    order = VersionOrder(first_version=0)
    assert [await begin(order, 0, entity) for entity in "abc"] == [NEXT] * 3
    assert await order.begin(Change("a", 1), "c", 1) is NEXT
    assert await begin(order, 1, "b") is NEXT, "while the first is at work"
    assert await begin(order, 2, "a") is BUSY


async def test_an_entity_that_is_not_known_begins_with_what_comes() -> None:
    order = VersionOrder()
    assert [await begin(order, version) for version in (7, 6, 9, 8)] == [NEXT, STALE, EARLY, NEXT]


async def test_positions_of_the_program() -> None:
    table: dict[object, int] = {"a": 4}

    async def position(entity: object) -> int | None:
        return table.get(entity)

    for lookup in (position, table.get):
        order = VersionOrder(position=lookup, first_version=1)
        assert [await begin(order, version) for version in (4, 5, 6)] == [STALE, NEXT, EARLY]
        assert await begin(order, 5) is NEXT, "the program says that it is not further"
        assert [await begin(order, version, "b") for version in (1, 2)] == [NEXT, EARLY]


async def test_a_lookup_that_fails_leaves_nothing_at_work() -> None:
    errors = [OSError("no database")]

    def position(_: object) -> int | None:
        if errors:
            raise errors.pop()
        return 0

    order = VersionOrder(position=position)
    with pytest.raises(OSError, match="no database"):
        await order.begin(Change("a", 1), "c", 1)
    assert await begin(order, 1) is NEXT


async def test_what_is_held_goes_on_in_its_order() -> None:
    order = VersionOrder(first_version=1)
    back: list[int] = []
    for version in (4, 3, 2):
        assert await begin(order, version) is EARLY
        order.hold(Change("a", version), EARLY, "c", version, lambda version=version: back.append(version))  # type: ignore[misc]
    assert order.held_count == 3
    await begin(order, 1, "b")
    assert back == []
    for version in (1, 2, 3, 4):
        assert await begin(order, version) is NEXT
    assert back == [2, 3, 4]
    assert order.held_count == 0


async def test_what_is_delivered_again_is_held_once() -> None:
    order = VersionOrder(first_version=1)
    back: list[str] = []
    order.hold(Change("a", 2), EARLY, "c", 9, lambda: back.append("first"))
    order.hold(Change("a", 2), EARLY, "c", 9, lambda: back.append("again"))
    assert order.held_count == 1
    await begin(order, 1)
    assert back == ["again"]


async def test_what_came_again_is_held_no_longer() -> None:
    table = {"a": 0}
    order = VersionOrder(position=table.get)
    back: list[int] = []
    assert await begin(order, 2) is EARLY
    order.hold(Change("a", 2), EARLY, "c", 2, lambda: back.append(2))
    table["a"] = 1  # by another instance
    assert await begin(order, 2) is NEXT
    assert (back, order.held_count) == ([], 0)


async def test_what_is_held_is_rechecked_as_long_as_it_is_held() -> None:
    table = {"a": 0}
    back: list[int] = []
    order = VersionOrder(position=table.get)
    change = Change("a", 2)
    assert order.recheck_later(change, "c", 2) is None, "not held"
    assert await begin(order, 2) is EARLY
    assert order.hold(change, EARLY, "c", 2, lambda: back.append(1))
    first = order.recheck_later(change, "c", 2)
    assert first is not None
    assert not order.hold(change, EARLY, "c", 2, lambda: back.append(2)), "delivered again"
    second = order.recheck_later(change, "c", 2)
    assert second is not None
    first()
    assert back == [], "the later one counts"
    second()
    assert back == [2]
    order.drop(change, "c", 2)
    second()
    assert (back, order.held_count) == ([2], 0)
    for other in (VersionOrder(), VersionOrder(position=table.get, recheck_s=0)):
        assert other.hold(change, EARLY, "c", 2, lambda: back.append(3))
        assert other.recheck_later(change, "c", 2) is None
    with pytest.raises(UsageError):
        VersionOrder(recheck_s=-1)


async def test_what_was_busy_goes_on_however_the_work_ends() -> None:
    order = VersionOrder(first_version=1)
    back: list[int] = []
    one = Change("a", 1)
    for end in (order.abandon, order.finish):
        assert await order.begin(one, "c", 1) is NEXT
        assert await order.begin(Change("a", 2), "c", 2) is BUSY
        order.hold(Change("a", 2), BUSY, "c", 2, lambda: back.append(2))
        end(one)
        assert back.pop() == 2
    assert order.held_count == 0


async def test_an_early_one_stays_when_the_work_before_it_failed() -> None:
    order = VersionOrder(first_version=1)
    back: list[int] = []
    order.hold(Change("a", 2), EARLY, "c", 2, lambda: back.append(2))
    one = Change("a", 1)
    assert await order.begin(one, "c", 1) is NEXT
    order.abandon(one)
    assert back == []
    assert await begin(order, 1) is NEXT
    assert back == [2]


async def test_busy_ends_also_where_the_lookup_found_the_other_early() -> None:
    asked = asyncio.Event()

    async def position(_: object) -> int | None:
        await asked.wait()
        return 0

    order = VersionOrder(position=position)
    back: list[int] = []
    early = asyncio.create_task(order.begin(Change("a", 2), "c", 2))
    await asyncio.sleep(0)
    assert await order.begin(Change("a", 1), "c", 1) is BUSY
    order.hold(Change("a", 1), BUSY, "c", 1, lambda: back.append(1))
    asked.set()
    assert await early is EARLY
    await until(lambda: back == [1])


async def test_holding_is_bounded() -> None:
    order = VersionOrder(first_version=1)
    back: list[int] = []
    for sequence in range(100, 10_200):
        order.hold(Change("a", 2), EARLY, "c", sequence, lambda: back.append(1))
    assert order.held_count == 10_000
    await begin(order, 1)
    assert len(back) == 10_000
    assert order.held_count == 0


async def test_positions_in_memory_are_bounded() -> None:
    order = VersionOrder()
    for number in range(100_001):
        await begin(order, 5, f"e{number}")
    assert await begin(order, 5, "e1") is STALE
    assert await begin(order, 3, "e0") is NEXT, "the one that changed longest ago is not known any more"


def test_fields_by_name_or_by_function() -> None:
    @event("moved")
    class Moved(Event):
        key: str
        number: int

    moved = event_type(Moved)
    VersionOrder("key", "number").check(moved)
    VersionOrder(lambda one: one.key, lambda one: one.number).check(moved)
    VersionOrder().check(event_type(TicketCreated))
    with pytest.raises(EventDefinitionError, match="Moved has no field 'version', which its order goes by"):
        VersionOrder("key").check(moved)
    with pytest.raises(UsageError):
        VersionOrder(early_deliveries_max=-1)


@given(st.permutations(range(1, 8)), st.lists(st.integers(1, 7)))
def test_in_whatever_order_they_come_they_go_on_in_theirs(versions: list[int], repeats: list[int]) -> None:
    async def run() -> None:
        order = VersionOrder(first_version=1)
        done: list[int] = []
        coming = [*versions, *repeats, *versions]  # as the server delivers again what is not acknowledged

        async def take(version: int) -> None:
            change = Change("a", version)
            standing = await order.begin(change, "c", change.version)
            if standing is NEXT:
                done.append(version)
                order.finish(change)
            elif standing is EARLY:
                order.hold(change, standing, "c", version, lambda: coming.insert(0, version))

        while coming:
            await take(coming.pop(0))
        assert done == [1, 2, 3, 4, 5, 6, 7]
        assert order.held_count == 0

    asyncio.run(run())
