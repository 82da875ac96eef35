"""The bytes of a simulated file: what a sync makes durable, and all that may become of the rest."""

import pickle
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from durabus.testing.file_content import SECTOR_BYTES, FileContent
from tests.testing.disk_steps import explain, sectors

SEEDS = range(400)


def cuts(content: FileContent, seeds: range = SEEDS) -> set[bytes]:
    """What very many power cuts leave."""
    return {content.after_power_cut(random.Random(seed)) for seed in seeds}


def letters(content: bytes) -> str:
    """Which letter each sector begins with."""
    return "".join(chr(content[at]) if content[at] else "-" for at in range(0, len(content), SECTOR_BYTES))


def test_what_it_begins_with_is_durable() -> None:
    content = FileContent(b"content")
    assert content.is_durable
    assert cuts(content) == {b"content"}
    assert content.durable() == b"content"


def test_a_sync_makes_everything_durable() -> None:
    content = FileContent(b"content")
    content.write(3, b"T")
    content.write(7, b"s" * 2000)
    content.truncate(1000)
    assert len(cuts(content)) > 10
    content.sync()
    assert content.is_durable
    assert content.durable() == bytes(content.written) == b"conTent" + b"s" * 993
    assert cuts(content) == {content.durable()}


def test_each_sector_of_a_write_is_kept_or_lost_by_itself() -> None:
    content = FileContent(sectors("a", "b", "c"))
    content.write(0, sectors("A", "B", "C"))
    assert content.durable() == sectors("a", "b", "c")
    assert {letters(cut) for cut in cuts(content)} == {
        first + second + third for first in "aA" for second in "bB" for third in "cC"
    }
    assert all(cut == sectors(*letters(cut)) for cut in cuts(content))


def test_a_sector_is_never_torn() -> None:
    content = FileContent(b"old" * SECTOR_BYTES)
    content.write(100, b"N" * SECTOR_BYTES)
    old, new = b"old" * SECTOR_BYTES, bytes(content.written)
    found = {
        (cut[:SECTOR_BYTES], cut[SECTOR_BYTES : 2 * SECTOR_BYTES], cut[2 * SECTOR_BYTES :]) for cut in cuts(content)
    }
    assert found == {
        (one[:SECTOR_BYTES], two[SECTOR_BYTES : 2 * SECTOR_BYTES], old[2 * SECTOR_BYTES :])
        for one in (old, new)
        for two in (old, new)
    }


def test_a_sector_may_stay_as_after_any_of_its_writes() -> None:
    content = FileContent(sectors("a", "x"))
    for letter in ("b", "c", "d"):
        content.write(0, sectors(letter))
    assert {letters(cut) for cut in cuts(content)} == {"ax", "bx", "cx", "dx"}
    assert letters(content.durable()) == "ax"


def test_a_later_write_to_a_sector_includes_the_earlier_one() -> None:
    content = FileContent(sectors("a"))
    content.write(0, b"1")
    content.write(1, b"2")
    assert {cut[:2] for cut in cuts(content)} == {b"aa", b"1a", b"12"}


def test_writing_the_same_again_puts_nothing_at_risk() -> None:
    content = FileContent(sectors("a", "b"))
    content.write(0, sectors("a", "b"))
    assert content.is_durable
    assert cuts(content) == {sectors("a", "b")}


def test_the_end_is_anywhere_between_while_a_file_grows() -> None:
    content = FileContent(sectors("a"))
    content.write(SECTOR_BYTES, sectors("b", "c"))
    found = cuts(content)
    sizes = {len(cut) for cut in found}
    assert min(sizes) == SECTOR_BYTES
    assert max(sizes) == 3 * SECTOR_BYTES
    assert 2 * SECTOR_BYTES in sizes
    assert any(size % SECTOR_BYTES for size in sizes)
    assert all(cut.startswith(sectors("a")) for cut in found)
    assert {letters(cut) for cut in found if len(cut) == 3 * SECTOR_BYTES} == {"abc", "ab-", "a-c", "a--"}


def test_bytes_before_the_durable_end_survive_an_append_in_their_sector() -> None:
    content = FileContent(b"durable")
    content.write(7, b", new")
    found = cuts(content)
    assert all(cut.startswith(b"durable") for cut in found)
    assert {b"durable", b"durable, new", b"durable\0\0\0\0\0", b"durable, n"} <= found


def test_what_was_cut_off_may_still_be_there() -> None:
    content = FileContent(sectors("a", "b", "c"))
    content.truncate(SECTOR_BYTES + 10)
    found = cuts(content)
    assert {sectors("a", "b", "c"), sectors("a") + b"b" * 10} <= found
    assert all(cut[: SECTOR_BYTES + 10] == sectors("a") + b"b" * 10 for cut in found)
    assert min(map(len, found)) == SECTOR_BYTES + 10
    content.sync()
    assert cuts(content) == {sectors("a") + b"b" * 10}


def test_a_file_cut_off_and_written_anew_is_any_mixture() -> None:
    content = FileContent(sectors("a", "b"))
    content.truncate(0)
    content.write(0, sectors("A", "B"))
    found = {letters(cut) for cut in cuts(content) if len(cut) == 2 * SECTOR_BYTES}
    assert {"ab", "aB", "Ab", "AB", "a-", "-b", "--"} <= found
    assert b"" in cuts(content)


def test_a_power_cut_keeps_everything_or_nothing_often_enough() -> None:
    """With very many sectors, chance alone would find neither, nor a single loss, nor a clean front part."""
    content = FileContent(bytes(200 * SECTOR_BYTES))
    content.write(0, b"N" * (200 * SECTOR_BYTES))
    kept = [
        [at for at in range(200) if cut[at * SECTOR_BYTES]]
        for cut in (content.after_power_cut(random.Random(seed)) for seed in SEEDS)
    ]
    assert sum(not found for found in kept) > 20
    assert sum(len(found) == 200 for found in kept) > 20
    assert sum(len(found) == 199 for found in kept) > 5
    assert sum(len(found) == 1 for found in kept) > 5
    assert sum(0 < len(found) < 200 and found == list(range(len(found))) for found in kept) > 20
    assert sum(50 < len(found) < 150 and found != list(range(len(found))) for found in kept) > 20


# A failed sync


def failed(content: FileContent, wanted: Callable[[FileContent], bool]) -> FileContent:
    """The file after a sync failed in a way that is wanted."""
    for seed in SEEDS:
        copied = content.copy()
        copied.fail_sync(random.Random(seed))
        if wanted(copied):
            return copied
    raise AssertionError("never")


def test_a_failed_sync_makes_any_part_durable() -> None:
    content = FileContent(sectors("a", "b"))
    content.write(0, sectors("A", "B", "C"))
    found: set[bytes] = set()
    for seed in SEEDS:
        copied = content.copy()
        copied.fail_sync(random.Random(seed))
        assert copied.written == content.written
        found.add(copied.durable())
        assert cuts(copied, range(10)) == {copied.durable()}
    assert {letters(durable) for durable in found if len(durable) == 2 * SECTOR_BYTES} == {"ab", "aB", "Ab", "AB"}
    assert {letters(durable)[2] for durable in found if len(durable) == 3 * SECTOR_BYTES} == {"-", "C"}


def test_a_sync_after_a_failed_one_does_not_write_what_was_forgotten() -> None:
    content = FileContent(sectors("a", "b"))
    content.write(0, sectors("A", "B"))
    content = failed(content, lambda copied: letters(copied.durable()) == "aB")
    content.sync()
    assert letters(bytes(content.written)) == "AB"
    assert letters(content.durable()) == "aB"
    assert not content.is_durable
    assert {letters(cut) for cut in cuts(content)} == {"aB"}


def test_what_was_forgotten_is_durable_after_it_is_written_again_and_synced() -> None:
    content = FileContent(sectors("a", "b"))
    content.write(0, sectors("A", "B"))
    content = failed(content, lambda copied: letters(copied.durable()) == "ab")
    content.write(0, sectors("A"))
    assert {letters(cut) for cut in cuts(content)} == {"ab", "Ab"}
    content.sync()
    assert letters(content.durable()) == "Ab"
    content.write(SECTOR_BYTES, sectors("B"))
    content.sync()
    assert content.is_durable
    assert letters(content.durable()) == "AB"


def test_a_size_that_was_forgotten_is_durable_after_the_bytes_are_written_again() -> None:
    content = FileContent(sectors("a"))
    content.write(SECTOR_BYTES, sectors("b"))
    content = failed(content, lambda copied: copied.durable() == sectors("a"))
    content.write(0, sectors("A"))
    assert cuts(content) == {sectors("a"), sectors("A")}
    content.sync()
    assert content.durable() == sectors("A")
    content.write(SECTOR_BYTES, sectors("b"))
    assert {len(cut) for cut in cuts(content)} >= {SECTOR_BYTES, 2 * SECTOR_BYTES}
    content.sync()
    assert content.durable() == sectors("A", "b")
    assert content.is_durable


def test_a_failed_sync_of_what_is_durable_loses_nothing() -> None:
    content = FileContent(sectors("a"))
    content.fail_sync(random.Random(1))
    assert content.is_durable
    assert cuts(content) == {sectors("a")}


# Copies


def test_a_copy_goes_its_own_way() -> None:
    content = FileContent(sectors("a", "b"))
    content.write(0, sectors("A"))
    copied = content.copy()
    content.write(0, sectors("W"))
    assert {letters(cut) for cut in cuts(copied)} == {"ab", "Ab"}
    content.write(0, sectors("A"))
    content.sync()
    content.write(0, sectors("X"))
    assert {letters(cut) for cut in cuts(copied)} == {"ab", "Ab"}
    copied.sync()
    assert letters(copied.durable()) == "Ab"
    assert {letters(cut) for cut in cuts(content)} == {"Ab", "Xb"}


# Views


def test_views_that_are_dropped_cost_nothing() -> None:
    content = FileContent(b"content")
    views = [content.map() for _ in range(5)]
    del views[1:]
    content.write(0, b"C")
    assert len(content._views) == 1
    assert bytes(views[0]) == b"Content"


def test_a_view_of_bytes_that_are_gone_cannot_be_used() -> None:
    content = FileContent(b"content")
    view, held = content.map(), content.map()
    part = view[2:]
    with pickle.PickleBuffer(held).raw():  # somebody is just reading it
        content.truncate(3)
    with pytest.raises(ValueError, match="released"):
        bytes(view)
    assert bytes(part) == b"n\0\0\0\0"
    assert bytes(held) == b"con\0\0\0\0"
    kept = content.map()
    content.truncate(3)
    assert bytes(kept) == b"con"


# Space


def test_only_what_is_written_takes_space() -> None:
    content = FileContent()
    assert content.taken_sectors() == 0
    content.write(10, b"x")
    assert content.taken_sectors() == 1
    content.write(10 * SECTOR_BYTES + 5, b"x")
    assert content.taken_sectors() == 2
    content.truncate(20 * SECTOR_BYTES)
    assert content.taken_sectors() == 2
    content.write(4 * SECTOR_BYTES, sectors("a", "b"))
    assert content.taken_sectors() == 4
    content.write(4 * SECTOR_BYTES, sectors("c"))
    assert content.taken_sectors() == 4
    content.truncate(5 * SECTOR_BYTES)
    assert content.taken_sectors() == 2
    content.truncate(0)
    assert content.taken_sectors() == 0


def test_it_tells_how_much_of_a_write_fits() -> None:
    content = FileContent(sectors("a", "b"))
    content.truncate(4 * SECTOR_BYTES)
    assert content.fitting(0, 2 * SECTOR_BYTES, 0) == 2 * SECTOR_BYTES
    assert content.fitting(100, 4 * SECTOR_BYTES, 0) == 2 * SECTOR_BYTES - 100
    assert content.fitting(100, 4 * SECTOR_BYTES, 1) == 3 * SECTOR_BYTES - 100
    assert content.fitting(100, 4 * SECTOR_BYTES, 2) == 4 * SECTOR_BYTES - 100
    assert content.fitting(100, 4 * SECTOR_BYTES, 3) == 4 * SECTOR_BYTES
    assert content.fitting(5 * SECTOR_BYTES + 1, 10, 0) == 0
    assert content.fitting(5 * SECTOR_BYTES + 1, 10, -1) == 0
    assert content.fitting(5 * SECTOR_BYTES + 1, 10, 1) == 10


# Any history at all

PLACES = st.one_of(st.sampled_from([0, 1, 511, 512, 513, 1024]), st.integers(0, 2500))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), PLACES, st.binary(min_size=1, max_size=3), st.sampled_from([1, 100, 512, 1300])),
        st.tuples(st.just("truncate"), PLACES),
        st.tuples(st.just("sync")),
    ),
    min_size=2,
    max_size=12,
)


@settings(max_examples=300)
@given(STEPS, st.integers(0, 1 << 30))
def test_every_cut_is_explained_sector_by_sector(steps: list[tuple[object, ...]], seed: int) -> None:
    """Against whole copies of the file after each step: a second, simpler account of what is durable."""
    content = FileContent(b"begin")
    states = [b"begin"]  # as of the last sync, and after each step since
    for step in steps:
        if step[0] == "sync":
            content.sync()
            states = [bytes(content.written)]
            continue
        plain = bytearray(states[-1])
        if step[0] == "write":
            _, offset, unit, count = step
            assert isinstance(offset, int) and isinstance(unit, bytes) and isinstance(count, int)
            data = (unit * count)[:count]
            content.write(offset, data)
            plain.extend(bytes(max(0, offset + count - len(plain))))
            plain[offset : offset + count] = data
        else:
            size = step[1]
            assert isinstance(size, int)
            content.truncate(size)
            plain.extend(bytes(max(0, size - len(plain))))
            del plain[size:]
        states.append(bytes(plain))
        assert content.written == plain
        assert content.read(0, 1 << 20) == plain
    assert content.durable() == states[0]
    for number in range(20):
        explain(content.after_power_cut(random.Random(seed + number)), states)
    after = content.copy()
    after.fail_sync(random.Random(seed))
    assert after.written == states[-1]
    explain(after.durable(), states)
    after.sync()
    explain(after.durable(), states)
