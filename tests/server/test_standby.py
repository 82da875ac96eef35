"""Servers of a group with a store that they share: who becomes active, what goes over the network, how it ends."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

import pytest

from durabus.server.ft_group import ACTIVE, ENDED, STANDBY, FTGroup
from durabus.server.standby import Standby, about
from durabus.stores.memory import MemoryStore
from durabus.streaming.store_port import Lease
from durabus.testing.shared_store import SharedStore
from durabus.wire.control_messages import (
    GROUP_HEARTBEAT,
    decode_control_message,
    decode_moment,
    encode_control_message,
    encode_moment,
)
from tests.server.hub import Ear, Hub, HubNetwork, LineLog
from tests.streaming.test_service import clock, virtual

pytestmark = pytest.mark.row(161)

SUBJECT = b"_STAN.ft.c.g"
PATIENCE_S = 1000.0
"""Of virtual seconds; nothing here takes any time."""
BUSY = "[INF] STREAM: ft: unable to get store lock at this time, going back to standby"


class Member:
    """One server's part, and what became of it. `busy` holds up its activation, `error` makes it fail."""

    def __init__(self, hub: Hub, shared: SharedStore, name: str) -> None:
        self.network = HubNetwork(hub)
        self.store = shared.open()
        self.output = LineLog()
        self.group = FTGroup(name.encode())
        self.standby = Standby(self.group, SUBJECT, name, self.network, self.store, clock(), self.output.log)
        self.leases: list[Lease] = []
        self.busy = asyncio.Event()
        self.busy.set()
        self.error: Exception | None = None
        self.was_cancelled = False
        self.questions = 0
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()
        self.answer.set()
        self.activated = asyncio.Event()
        self.ended = asyncio.Event()
        self.reasons: list[str] = []

    def begin(self) -> None:
        """Stand by."""
        self.standby.begin(self._activate, self._confirm, self._end, self._fail)

    async def _activate(self, lease: Lease) -> None:
        self.leases.append(lease)
        self.activated.set()
        try:
            await self.busy.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise
        if self.error is not None:
            raise self.error

    async def _confirm(self) -> bool:
        self.questions += 1
        self.asked.set()
        await self.answer.wait()
        return self.store.has_lock

    def _end(self, reason: str) -> None:
        self.reasons.append(reason)
        self.ended.set()

    def _fail(self, error: Exception) -> None:
        self._end(f"{type(error).__name__}: {error}")

    async def kill(self) -> None:
        """The end of its process: nobody hears of it, and the lock is free."""
        self.network.own.opened = False
        await self.standby.stop()
        await self.store.close()


async def within(work: Awaitable[object]) -> None:
    """Wait for it, not forever."""
    async with asyncio.timeout(PATIENCE_S):
        await work


@asynccontextmanager
async def members(*names: str, shared: SharedStore | None = None) -> AsyncIterator[tuple[Hub, list[Member]]]:
    """Servers of one group, none of which has begun."""
    hub = Hub()
    shared = shared or SharedStore(MemoryStore())
    made = [Member(hub, shared, name) for name in names]
    try:
        yield hub, made
    finally:
        for member in made:
            await within(member.standby.stop())
            assert member.network.own.receivers == {}


@virtual
async def test_one_is_active_the_others_wait_until_it_is_gone() -> None:
    async with members("a", "b") as (hub, (a, b)):
        ear = Ear(hub, SUBJECT)
        a.begin()
        await within(a.activated.wait())
        b.begin()
        said = [decode_control_message(payload) for payload in await ear.hear(30)]
        assert {(one.kind, one.server_id) for one in said} == {(GROUP_HEARTBEAT, b"a")}
        assert {decode_moment(one.data) for one in said} == {a.group.activation_ns}
        assert a.network.flushes >= 30
        assert (a.group.state, b.group.state) == (ACTIVE, STANDBY)
        assert a.store.has_lock and b.output.lines == ["INF Starting in standby mode"]
        await a.kill()
        await within(b.activated.wait())
        assert b.leases[0].epoch > a.leases[0].epoch
        assert b.output.lines == ["INF Starting in standby mode", "INF Server is active"]


@virtual
async def test_a_standby_can_be_stopped() -> None:
    shared = SharedStore(MemoryStore())
    await shared.open().acquire("somebody of another group")
    async with members("a", shared=shared) as (_, (a,)):
        a.begin()
        await a.output.wait(BUSY)
        await a.standby.stop()
        await a.standby.stop()
        assert (a.group.state, a.reasons) == (ENDED, [])
        assert not a.activated.is_set()
        assert a.group.next_ns() == 0, "it asks for nothing any more"


@virtual
async def test_it_listens_before_anything_else_happens() -> None:
    async with members("a") as (_, (a,)):
        a.begin()
        assert (list(a.network.own.receivers), a.network.flushes) == ([SUBJECT], 1)


@virtual
async def test_a_lock_that_cannot_be_asked_for_is_asked_for_again() -> None:
    shared = SharedStore(MemoryStore())
    shared.errors = ["on purpose", ""]
    async with members("a", shared=shared) as (_, (a,)):
        a.begin()
        await within(a.activated.wait())
        text = "ERR ft: error attempting to get the store lock: ft: fatal error getting the store lock: "
        assert a.output.lines[1:] == [f"{text}on purpose", f"{text}StoreError", "INF Server is active"]


@virtual
async def test_an_activation_that_fails() -> None:
    async with members("a") as (_, (a,)):
        a.error = ValueError("the store cannot be read")
        a.begin()
        await within(a.ended.wait())
        assert a.reasons == ["ValueError: the store cannot be read"]
        assert a.group.state == ENDED


@virtual
async def test_heartbeats_go_out_while_the_store_is_recovered() -> None:
    async with members("a") as (hub, (a,)):
        ear = Ear(hub, SUBJECT)
        a.busy.clear()
        a.begin()
        await ear.hear(10)
        assert len(a.leases) == 1 and not a.was_cancelled
        a.busy.set()


@virtual
async def test_stopped_while_it_is_activated() -> None:
    async with members("a") as (_, (a,)):
        a.busy.clear()
        a.begin()
        await within(a.activated.wait())
        await within(a.standby.stop())
        assert a.was_cancelled and a.reasons == []


@virtual
async def test_stopped_while_it_asks_for_the_lock() -> None:
    class Slow(SharedStore):
        """A store whose lock is asked for, and nothing comes back."""

        asked = asyncio.Event()

    shared = Slow(MemoryStore())
    async with members("a", shared=shared) as (_, (a,)):
        never = asyncio.Event()

        async def acquire(owner: str) -> Lease | None:
            shared.asked.set()
            await never.wait()
            return None

        a.store.acquire = acquire  # type: ignore[method-assign]
        a.begin()
        await within(shared.asked.wait())
        await within(a.standby.stop())
        assert not a.activated.is_set()


@virtual
async def test_of_two_active_servers_the_later_one_aborts() -> None:
    async with members("a") as (hub, (a,)):
        a.busy.clear()
        a.begin()
        await within(a.activated.wait())
        earlier = encode_moment(a.group.activation_ns - 1)
        hub.publish(SUBJECT, encode_control_message(GROUP_HEARTBEAT, b"other", earlier))
        await within(a.ended.wait())
        assert a.reasons == ['ft: serverID "other" claims to be active, aborting']
        assert a.group.state == ENDED
        await asyncio.sleep(0)
        assert a.was_cancelled, "nothing is recovered, nor written, any more"


@virtual
async def test_one_that_was_cut_off_asks_its_store_before_it_claims_to_be_active() -> None:
    async with members("a", "b") as (hub, (a, b)):
        a.begin()
        await within(a.activated.wait())
        a.answer.clear()
        a.network.own.opened = False
        await within(a.asked.wait())
        a.store._shared.free()
        b.begin()
        await within(b.activated.wait())
        ear = Ear(hub, SUBJECT)
        a.network.own.opened = True
        a.answer.set()
        said = [decode_control_message(payload).server_id for payload in await ear.hear(20)]
        assert set(said) == {b"b"}
        assert (a.group.state, b.group.state, a.reasons + b.reasons) == (ACTIVE, ACTIVE, [])


@virtual
async def test_stopped_while_it_asks_its_store() -> None:
    async with members("a") as (_, (a,)):
        a.begin()
        await within(a.activated.wait())
        a.answer.clear()
        a.network.own.opened = False
        await within(a.asked.wait())
        await within(a.standby.stop())
        assert a.questions == 1


@virtual
async def test_an_active_server_that_is_cut_off_says_so_and_goes_on() -> None:
    async with members("a") as (hub, (a,)):
        ear = Ear(hub, SUBJECT)
        a.begin()
        await ear.hear(1)
        a.network.own.opened = False
        await a.output.wait("[ERR] STREAM: Unable to send FT heartbeat: ")
        count = len(ear.payloads)
        a.network.own.opened = True
        await ear.hear(count + 2)
        assert a.group.state == ACTIVE


@virtual
async def test_what_anybody_says_on_the_subject_does_no_harm() -> None:
    async with members("a") as (hub, (a,)):
        a.begin()
        await within(a.activated.wait())
        for payload in (b"", b"wrong msg", encode_control_message(GROUP_HEARTBEAT, b"other", b"wrong time")):
            hub.publish(SUBJECT, payload)
        later = encode_moment(a.group.activation_ns + 1)
        hub.publish(SUBJECT, encode_control_message(GROUP_HEARTBEAT, b"other", later))
        assert (a.group.state, a.reasons) == (ACTIVE, [])


def test_a_duration_of_about_that_length() -> None:
    durations = {about(1_000_000_000) for _ in range(300)}
    assert min(durations) >= 900_000_000 and max(durations) <= 1_100_000_000
    assert len(durations) > 100
