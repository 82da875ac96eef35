"""Who owns a directory: the lock, the leases, the clock, each case by itself (FORMAT.md §9)."""

import errno
import os
import threading
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.stores.file.files import LockLostError
from durabus.stores.file.layout import LOCK_NAME, lease_epoch, lease_name
from durabus.stores.file.lease import (
    LEASE_NS,
    LOST_TEXT,
    RECORD_BYTES,
    SILENCE_NS,
    LeaseRecord,
    Ownership,
    Renewals,
    decode_record,
    encode_record,
)
from durabus.testing.disk import SimulatedDisk, SimulatedFiles

# By hand from FORMAT.md §9; only the CRC was calculated.
GOLDEN = (
    b"DURALSE\n"
    + bytes.fromhex("01 00 00 00  03 00 00 00  05 00 00 00 00 00 00 00  07 01 00 00 00 00 00 00")
    + b"me".ljust(64, b"\0")
    + bytes(4)
)


class World:
    """A disk, a boot clock, and servers that want to own it."""

    def __init__(self) -> None:
        self.disk = SimulatedDisk()
        self.now_ns = 1_000_000
        self.processes: dict[Ownership, SimulatedFiles] = {}

    def server(self) -> Ownership:
        files = SimulatedFiles(self.disk)
        ownership = Ownership(files, lambda: self.now_ns)
        self.processes[ownership] = files
        return ownership

    def owner(self, name: str = "a") -> Ownership:
        ownership = self.server()
        assert ownership.acquire(name) is not None
        return ownership

    def kill(self, ownership: Ownership) -> None:
        self.processes[ownership].kill()

    def successor(self) -> Ownership:
        """Whoever takes over from an owner that stands still: without the lock."""
        ownership = self.server()
        assert ownership.acquire("next") is None
        self.now_ns += SILENCE_NS
        assert ownership.acquire("next") is not None
        return ownership

    def record(self, epoch: int) -> LeaseRecord:
        record = decode_record(self.disk.contents()[lease_name(epoch)], epoch)
        assert record is not None
        return record


@pytest.fixture
def world() -> World:
    return World()


# The record


def test_the_record_byte_for_byte() -> None:
    record = LeaseRecord("me", 5)
    record.counter, record.has_lock, record.is_released = 0x107, True, True
    data = encode_record(record)
    assert data == GOLDEN + zlib.crc32(GOLDEN).to_bytes(4, "little")
    assert len(data) == RECORD_BYTES


@given(
    st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=12),
    st.integers(1, 1 << 62),
    st.tuples(*[st.booleans()] * 3),
)
def test_a_record_is_read_as_it_was_written(owner: str, number: int, flags: tuple[bool, bool, bool]) -> None:
    record = LeaseRecord(owner, number)
    record.counter = number // 2
    record.has_lock, record.is_released, record.needs_lock = flags
    found = decode_record(encode_record(record), number)
    assert found is not None
    assert vars(found) == vars(record)
    assert decode_record(encode_record(record), number + 1) is None


def test_no_damage_is_taken_for_a_record() -> None:
    data = encode_record(LeaseRecord("x" * 100, 1))
    assert len(data) == RECORD_BYTES
    assert decode_record(b"", 1) is decode_record(data[:-1], 1) is decode_record(bytes(RECORD_BYTES), 1) is None
    for at in range(RECORD_BYTES):
        assert decode_record(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], 1) is None
    later = data[:8] + b"\x02" + data[9:-4]
    assert decode_record(later + zlib.crc32(later).to_bytes(4, "little"), 1) is None


def test_names_of_leases() -> None:
    assert lease_name(7) == "durabus-0000000007.lease"
    assert [lease_epoch(name) for name in (lease_name(12), "durabus-7.lease", "durabus-0000000007.lease.new", "x")] == [
        12,
        0,
        0,
        0,
    ]


# Becoming the owner


def test_the_first_one_has_the_lock(world: World) -> None:
    first, second = world.server(), world.server()
    lease = first.acquire("a")
    assert lease is not None
    assert (lease.epoch, lease.expires_boottime_ns) == (1, world.now_ns + LEASE_NS)
    assert first.acquire("a") is lease
    assert second.acquire("b") is None
    record = world.record(1)
    assert (record.owner, record.has_lock, record.is_released, record.needs_lock) == ("a", True, False, False)
    assert lease_name(1) in world.disk.durable_contents()


def test_after_a_killed_owner_at_once(world: World) -> None:
    first = world.owner()
    second = world.server()
    assert second.acquire("b") is None
    world.kill(first)
    lease = second.acquire("b")
    assert lease is not None and lease.epoch == 2
    assert second.has_lock


def test_after_an_owner_that_released_it_at_once(world: World) -> None:
    first, second = world.owner(), world.server()
    first.release()
    first.release()
    assert not first.is_ours()
    assert world.record(1).is_released
    lease = second.acquire("b")
    assert lease is not None and lease.epoch == 2
    again = first.acquire("a")
    assert again is None


def test_who_renews_is_left_alone_for_ever(world: World) -> None:
    first, second = world.owner(), world.server()
    for _ in range(20):
        assert second.acquire("b") is None
        world.now_ns += LEASE_NS - 1
        assert first.renew()
        assert first.is_ours()


def test_who_stands_still_is_overtaken_after_a_while(world: World) -> None:
    first, second = world.owner(), world.server()
    assert second.acquire("b") is None
    world.now_ns += SILENCE_NS - 1
    assert second.acquire("b") is None
    world.now_ns += 1
    lease = second.acquire("b")
    assert lease is not None and lease.epoch == 2
    assert not second.has_lock
    assert not world.record(2).has_lock
    assert not first.is_ours()
    assert not first.renew()
    with pytest.raises(LockLostError, match=LOST_TEXT):
        first.check()
    assert second.is_ours()


def test_the_lease_ends_before_anybody_takes_over() -> None:
    assert LEASE_NS < SILENCE_NS


def test_an_owner_without_the_lock_gets_it_when_it_is_free(world: World) -> None:
    first = world.owner()
    second = world.successor()
    third = world.server()
    world.kill(first)
    # The lock is free, but that says nothing of an owner that went without it.
    assert third.acquire("c") is None
    assert not third.has_lock
    assert second.renew()
    assert second.has_lock and world.record(2).has_lock
    assert third.acquire("c") is None
    world.kill(second)
    lease = third.acquire("c")
    assert lease is not None and lease.epoch == 3


def test_an_owner_without_the_lock_is_waited_for_when_it_is_killed(world: World) -> None:
    first = world.owner()
    second = world.successor()
    world.kill(second)
    world.kill(first)
    third = world.server()
    assert third.acquire("c") is None
    world.now_ns += SILENCE_NS
    assert third.acquire("c") is not None
    assert third.has_lock


def test_a_lease_that_cannot_be_read_is_waited_for(world: World) -> None:
    world.disk.put(lease_name(4), b"torn")
    server = world.server()
    assert server.acquire("a") is None
    world.now_ns += SILENCE_NS
    lease = server.acquire("a")
    assert lease is not None and lease.epoch == 5


def test_of_two_at_once_one_gets_it(world: World) -> None:
    """Both have seen the silence; however their calls meet, the file of the next lease is created once."""
    world.owner()
    second, third = world.server(), world.server()
    assert second.acquire("b") is third.acquire("c") is None
    world.now_ns += SILENCE_NS
    assert second.acquire("b") is not None
    assert third.acquire("c") is None
    assert second.is_ours()


# Going on


def test_a_lease_that_ended_is_kept_by_who_gets_the_next_one(world: World) -> None:
    """The machine slept, or the disk stood still: nobody took over meanwhile."""
    first = world.owner()
    lease = first.lease
    world.now_ns += LEASE_NS
    assert first.is_ours()
    assert lease is not None and (lease.epoch, lease.expires_boottime_ns) == (2, world.now_ns + LEASE_NS)
    world.now_ns += LEASE_NS
    assert first.renew()
    assert lease.epoch == 3
    assert not first.is_lost


def test_a_lease_that_ended_is_lost_when_nothing_can_be_written(world: World) -> None:
    first = world.owner()
    world.now_ns += LEASE_NS
    world.disk.fail(1, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), kind="write")
    assert not first.is_ours()
    assert not first.is_ours()


def test_a_renewal_that_fails_does_not_count(world: World) -> None:
    first = world.owner()
    lease = first.lease
    assert lease is not None
    ends_ns = lease.expires_boottime_ns
    world.now_ns += 1
    world.disk.fail(1, OSError(errno.EIO, os.strerror(errno.EIO)), kind="sync")
    with pytest.raises(OSError, match="error"):
        first.renew()
    assert lease.expires_boottime_ns == ends_ns
    assert first.is_ours()


def test_a_slow_renewal_counts_from_its_beginning(world: World) -> None:
    first = world.owner()
    files = world.processes[first]
    began_ns = world.now_ns = world.now_ns + 1
    sync = files.sync

    def slow(handle: int) -> None:
        world.now_ns += 2_000_000_000
        sync(handle)

    files.sync = slow  # type: ignore[method-assign]
    assert first.renew()
    assert first.lease is not None
    assert first.lease.expires_boottime_ns == began_ns + LEASE_NS


def test_old_leases_go(world: World) -> None:
    for _ in range(30):
        world.owner().release()
    epochs = [lease_epoch(name) for name in world.disk.contents() if lease_epoch(name)]
    assert epochs == list(range(14, 31))


def test_who_comes_late_with_an_old_number_is_none(world: World) -> None:
    """It had looked long ago, and now creates a lease whose number is free again."""
    late = world.owner()
    for _ in range(30):
        server = world.server()
        server.acquire("b")
        world.now_ns += SILENCE_NS
        assert server.acquire("b") is not None
        server.release()
    assert lease_name(2) not in world.disk.contents()
    assert not late.is_ours()
    assert not late.is_ours()


# A server without a group


def test_without_a_group_nothing_but_the_lock(world: World) -> None:
    alone, second = world.server(), world.server()
    assert alone.acquire_alone("a") is True
    assert second.acquire_alone("b") is False
    assert list(world.disk.contents()) == [LOCK_NAME]
    member = world.server()
    assert member.acquire("c") is None
    world.now_ns += 10 * SILENCE_NS
    assert member.acquire("c") is None
    alone.release()
    assert member.acquire("c") is not None


def test_without_a_group_after_one(world: World) -> None:
    world.owner().release()
    alone, member = world.server(), world.server()
    assert alone.acquire_alone("a") is True
    assert world.record(2).needs_lock
    for _ in range(3):  # it renews nothing, and needs not
        assert member.acquire("c") is None
        world.now_ns += SILENCE_NS
    world.kill(alone)
    assert member.acquire("c") is not None


def test_without_a_group_while_one_is_at_work(world: World) -> None:
    first = world.owner()
    assert world.server().acquire_alone("x") is False
    second = world.successor()
    world.kill(first)
    alone = world.server()
    assert alone.acquire_alone("x") is None
    world.now_ns += 1_000_000_000
    assert alone.acquire_alone("x") is None
    assert second.renew()
    assert alone.acquire_alone("x") is False
    assert not alone.has_lock
    third = world.server()
    world.kill(second)
    assert third.acquire_alone("y") is None
    world.now_ns += SILENCE_NS
    assert third.acquire_alone("y") is True


# The thread


def test_the_thread_renews_and_tells_what_fails(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("durabus.stores.file.lease.RENEW_S", 0.001)
    first = world.owner()
    world.disk.fail(1, OSError(errno.EIO, os.strerror(errno.EIO)), kind="sync")
    told, again = threading.Event(), threading.Event()
    problems: list[str] = []
    renew = first.renew

    def counted() -> bool:
        is_ours = renew()
        again.set()
        return is_ours

    first.renew = counted  # type: ignore[method-assign]

    def tell(text: str) -> None:
        problems.append(text)
        told.set()

    renewals = Renewals(first, tell)
    assert told.wait(20) and again.wait(20)
    renewals.stop()
    assert problems == ["the lease of the store cannot be renewed: Input/output error"]
    counter = world.record(1).counter
    assert counter >= 2
    second = world.successor()
    assert second.is_ours()
    ended = Renewals(first, problems.append)
    ended._thread.join(20)
    assert not ended._thread.is_alive()
    ended.stop()


# Who has the lock, for people


def test_the_lock_file_says_who_has_it(world: World) -> None:
    assert world.server().holder() == ""
    first = world.server()
    assert first.acquire_alone("host one, process 1") is True
    other = world.server()
    assert other.acquire_alone("host two, process 2") is False
    assert other.holder() == "host one, process 1"
    first.release()
    assert other.acquire_alone("b") is True
    assert world.disk.contents()[LOCK_NAME] == b"b\n", "nothing of the longer name is left"


def test_a_full_disk_is_no_reason_not_to_have_the_lock(world: World) -> None:
    world.disk.capacity_bytes = 0
    first, other = world.server(), world.server()
    assert first.acquire_alone("a") is True
    assert other.acquire_alone("b") is False
    assert other.holder() == ""


def test_what_is_no_name_is_not_shown(world: World) -> None:
    for content in (b"\x1b[31mred\n", b"\xff\xfe", b"\0" * 500, b"x" * 500):
        world.disk.put(LOCK_NAME, content)
        assert world.server().holder() in ("", "\ufffd\ufffd", "x" * 201), "no escape sequence gets into a terminal"
