"""The probe notices everything that must not come, and does not wait for ever."""

import asyncio
import threading

import pytest

from durabus.stores.memory import MemoryStore
from durabus.streaming.store_port import REFUSED, UNKNOWN, Batch
from durabus.testing.conformance.probe import Probe, expect, within
from durabus.testing.faults import FaultyStore


@pytest.fixture
def store() -> FaultyStore:
    return FaultyStore(MemoryStore())


@pytest.fixture
def probe(store: FaultyStore) -> Probe:
    return Probe(store, 0.05)


def test_expect() -> None:
    expect(True, "is so")
    with pytest.raises(AssertionError, match="is not so"):
        expect(False, "is not so")


async def test_within() -> None:
    assert await within(5, "sleep", asyncio.sleep(0, "slept")) == "slept"
    with pytest.raises(AssertionError, match=r"an event: nothing came within 0\.01 s"):
        await within(0.01, "an event", asyncio.Event().wait())


async def test_what_is_asked_is_answered(probe: Probe) -> None:
    probe.submit(Batch(1, 0))
    await probe.wait_ended(1)
    await probe.wait_all_ended()
    await probe.wait_room()
    assert probe.durable == [1]
    request = probe.ask_page(1, 1, 1, 1)
    assert probe.page_now(request) == []
    assert await probe.page(request) == []
    assert await probe.found(probe.ask_seek(1, 5)) == 0
    probe.begin_again()
    assert probe.durable == []


async def test_failures_are_kept(probe: Probe, store: FaultyStore) -> None:
    store.fail(UNKNOWN, "no disk")
    probe.submit(Batch(1, 0))
    await probe.wait_ended(1)
    assert probe.failed == {1: (UNKNOWN, "no disk")}


async def test_waiting_has_an_end(probe: Probe, store: FaultyStore) -> None:
    store.hold()
    store.hold_answers()
    probe.submit(Batch(1, 0))
    page, seek = probe.ask_page(1, 1, 1, 1), probe.ask_seek(1, 1)
    for waiting in (
        probe.wait_room(),
        probe.wait_ended(1),
        probe.wait_all_ended(),
        probe.page(page),
        probe.found(seek),
    ):
        with pytest.raises(AssertionError, match="nothing came within"):
            await waiting
    with pytest.raises(AssertionError, match=r"recover returned before the batches \[1\] had ended"):
        probe.begin_again()
    store.release()
    with pytest.raises(AssertionError, match="before these requests were answered"):
        probe.begin_again()


@pytest.mark.parametrize(
    ("numbers", "complaint"),
    [
        ([1, 1], r"on_durable\(1\) came for a batch that had ended, or never was"),
        ([3], r"on_durable\(3\) came for a batch that had ended, or never was"),
        ([2], r"on_durable\(2\) came before batch 1 had ended"),
    ],
)
def test_order_of_durable_batches(probe: Probe, store: FaultyStore, numbers: list[int], complaint: str) -> None:
    store.hold()
    probe.submit(Batch(1, 0))
    probe.submit(Batch(2, 0))
    probe.check()
    for number in numbers:
        probe.on_durable(number)
    with pytest.raises(AssertionError, match=complaint):
        probe.check()


def test_failures_have_an_outcome_and_a_reason(probe: Probe, store: FaultyStore) -> None:
    store.hold()
    for number in (1, 2, 3):
        probe.submit(Batch(number, 0))
    probe.on_failed(2, REFUSED, "a reason")
    probe.check()
    probe.on_failed(1, 9, "a reason")
    probe.on_failed(3, REFUSED, "")
    probe.on_failed(3, REFUSED, "a reason")
    assert [complaint.partition(") ")[2] for complaint in probe.complaints] == [
        "has no such outcome",
        "does not say why",
        "came for a batch that had ended, or never was",
    ]


def test_answers_belong_to_questions(probe: Probe, store: FaultyStore) -> None:
    store.hold_answers()
    page, seek = probe.ask_page(1, 1, 1, 1), probe.ask_seek(1, 1)
    probe.on_seek(page, 1)
    probe.on_page(seek, [])
    probe.on_page(99, [])
    assert probe.complaints == [
        "on_seek(1, 1) answers no open seek",
        "on_page(2) answers no open page",
        "on_page(99) answers no open page",
    ]


async def test_a_complaint_ends_a_wait(probe: Probe, store: FaultyStore) -> None:
    store.hold()
    probe.submit(Batch(1, 0))
    probe.on_page(99, [])
    with pytest.raises(AssertionError, match="answers no open page"):
        await probe.wait_ended(1)


def test_other_threads_are_noticed(probe: Probe, store: FaultyStore) -> None:
    store.hold()
    probe.submit(Batch(1, 0))
    thread = threading.Thread(target=probe.on_durable, args=(1,))
    thread.start()
    thread.join()
    with pytest.raises(AssertionError, match="came on another thread than the core's"):
        probe.check()
