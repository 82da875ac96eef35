"""Who owns which channels, asked and answered on a virtual clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.monitoring.steps import finish
from durabus.server.partition_check import CHANGE_NS, SILENCE_NS, PartitionCheck
from durabus.wire.control_messages import (
    GROUP_HEARTBEAT,
    PARTITIONING,
    NameTooLongError,
    decode_channel_list,
    decode_control_message,
    encode_control_message,
)
from durabus.wire.subjects import overlap
from durabus.wire.varint import DecodeError

pytestmark = pytest.mark.row(162)

NOW_NS = 7_000_000_000
ROOM = 1 << 20


def conflict_of(asker: list[bytes], owner: list[bytes]) -> str:
    """What a server with the channels `asker` learns from one with the channels `owner`."""
    one, other = PartitionCheck(b"ASKER", asker), PartitionCheck(b"OWNER", owner)
    for question in one.begin(ROOM, NOW_NS):
        answer = finish(other.answer(question))
        assert answer is not None
        one.on_answer(answer, NOW_NS)
    return one.conflict


@pytest.mark.parametrize(
    ("asker", "owner", "named"),
    [
        ([b"foo"], [b"bar"], ""),
        ([b"foo"], [b"foo.bar", b"fo", b"foo.*", b"foo.>"], ""),
        ([b"a", b"b"], [b"c", b"b", b"a"], "a"),
        ([b"foo.bar"], [b"foo.*"], "foo.bar"),
        ([b"foo.*"], [b"foo.bar"], "foo.bar"),
        ([b"bar.>"], [b"bar.*"], "bar.>"),
        ([b"bar.*"], [b"bar.>"], "bar.*"),
        ([b"bar.*"], [b"bar.*"], "bar.*"),
        ([b">"], [b"x", b"y"], "x"),
        ([b"x"], [b">"], "x"),
        ([b"*"], [b"a.b"], ""),
        ([b"*.paid"], [b"order.*"], "*.paid"),
        ([b"*.paid.>"], [b"order.*"], ""),
        ([b"caf\xc3\xa9"], [b"caf\xc3\xa9"], "café"),
        ([b"\xff"], [b"\xff"], "\\xff"),
    ],
)
def test_what_both_own_is_named(asker: list[bytes], owner: list[bytes], named: str) -> None:
    """One of the asker's that the owner's cover; else one of the owner's that the asker's cover; else one that overlaps."""
    expected = f'channel "{named}" causes conflict with channels on server "OWNER"' if named else ""
    assert conflict_of(asker, owner) == expected


tokens = st.lists(st.sampled_from([b"a", b"b", b"*"]), min_size=1, max_size=3)
names = st.tuples(tokens, st.sampled_from([b"", b".>"])).map(lambda parts: b".".join(parts[0]) + parts[1])


@given(st.lists(names, min_size=1, max_size=6), st.lists(names, min_size=1, max_size=6))
def test_a_conflict_is_found_from_either_side_exactly_when_there_is_one(one: list[bytes], other: list[bytes]) -> None:
    has_conflict = any(overlap(mine, theirs) for mine in one for theirs in other)
    assert bool(conflict_of(one, other)) == bool(conflict_of(other, one)) == has_conflict


def test_the_answer_of_one_who_has_nothing_in_common() -> None:
    """As the original's: a kind and a server ID, no data."""
    check = PartitionCheck(b"nghLbMpq3VRzvoVrczGuMr", [b"foo"])
    answer = finish(check.answer(encode_control_message(PARTITIONING, b"other", b"\x03\x00bar")))
    assert answer == b"\x08\x04\x12\x16nghLbMpq3VRzvoVrczGuMr"


@pytest.mark.parametrize(
    "question",
    [
        b"",
        encode_control_message(PARTITIONING, b"me", b"\x03\x00foo"),
        encode_control_message(GROUP_HEARTBEAT, b"other", b"\x03\x00foo"),
    ],
)
def test_what_gets_no_answer(question: bytes) -> None:
    assert finish(PartitionCheck(b"me", [b"foo"]).answer(question)) is None


@pytest.mark.parametrize(
    "question",
    [
        b"hello",
        encode_control_message(PARTITIONING, b"otherserver", b"\x01\x02\x03\x04\x05"),
        encode_control_message(PARTITIONING, b"otherserver", b"\x01"),
    ],
)
def test_what_is_no_question(question: bytes) -> None:
    with pytest.raises(DecodeError):
        finish(PartitionCheck(b"me", [b"foo"]).answer(question))


def test_a_long_question_is_answered_in_steps() -> None:
    check = PartitionCheck(b"me", [b"%d.*" % number for number in range(100)])
    data = b"".join(len(name).to_bytes(2, "little") + name for name in (b"x%d.*" % number for number in range(3000)))
    steps = check.answer(encode_control_message(PARTITIONING, b"other", data))
    assert sum(1 for _ in steps) > 1000


# The rounds.


def test_a_round_is_over_when_nobody_answers_for_a_second() -> None:
    check = PartitionCheck(b"me", [b"foo", b"bar.*"])
    questions = check.begin(ROOM, NOW_NS)
    said = [decode_control_message(question) for question in questions]
    assert [(one.kind, one.server_id, decode_channel_list(one.data)) for one in said] == [
        (PARTITIONING, b"me", [b"foo", b"bar.*"])
    ]
    assert (check.is_asking, check.next_ns()) == (True, NOW_NS + SILENCE_NS)
    check.on_answer(encode_control_message(PARTITIONING, b"other", b""), NOW_NS + SILENCE_NS - 1)
    assert check.on_time(ROOM, NOW_NS + SILENCE_NS) == []
    assert check.is_asking
    assert check.on_time(ROOM, NOW_NS + 2 * SILENCE_NS - 1) == []
    assert (check.is_asking, check.conflict, check.next_ns()) == (False, "", 0)


def test_only_the_first_conflict_is_told() -> None:
    check = PartitionCheck(b"me", [b"foo"])
    check.begin(ROOM, NOW_NS)
    for name in (b"one", b"two"):
        check.on_answer(encode_control_message(PARTITIONING, name, b"foo"), NOW_NS)
    assert check.conflict == 'channel "foo" causes conflict with channels on server "one"'


@pytest.mark.parametrize("answer", [b"\xff", b"\x08"])
def test_what_is_no_answer(answer: bytes) -> None:
    check = PartitionCheck(b"me", [b"foo"])
    check.begin(ROOM, NOW_NS)
    with pytest.raises(DecodeError):
        check.on_answer(answer, NOW_NS)
    assert check.conflict == ""


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        encode_control_message(GROUP_HEARTBEAT, b"other", b"foo"),
        encode_control_message(PARTITIONING, b"me", b"foo"),
    ],
)
def test_an_answer_that_is_not_to_our_question(answer: bytes) -> None:
    check = PartitionCheck(b"me", [b"foo"])
    check.begin(ROOM, NOW_NS)
    check.on_answer(answer, NOW_NS + 1)
    assert (check.conflict, check.next_ns()) == ("", NOW_NS + SILENCE_NS)


def test_an_answer_that_comes_late_counts() -> None:
    check = PartitionCheck(b"me", [b"foo"])
    check.begin(ROOM, NOW_NS)
    check.on_time(ROOM, NOW_NS + SILENCE_NS)
    check.on_answer(encode_control_message(PARTITIONING, b"slow", b"foo"), NOW_NS + 5 * SILENCE_NS)
    assert check.conflict
    assert not check.is_asking


def test_after_a_change_of_the_network_there_is_another_round() -> None:
    check = PartitionCheck(b"me", [b"foo"])
    check.on_change(NOW_NS)
    assert check.next_ns() == NOW_NS + CHANGE_NS
    assert check.on_time(ROOM, NOW_NS + CHANGE_NS - 1) == []
    assert len(check.on_time(ROOM, NOW_NS + CHANGE_NS)) == 1
    assert check.on_time(ROOM, NOW_NS + CHANGE_NS + SILENCE_NS) == []
    assert check.next_ns() == 0


def test_changes_that_come_together_make_one_round_and_one_more_for_the_last() -> None:
    check = PartitionCheck(b"me", [b"foo"])
    for offset_ns in range(0, CHANGE_NS, CHANGE_NS // 10):
        check.on_change(NOW_NS + offset_ns)
    last_ns = NOW_NS + CHANGE_NS // 10 * 9
    rounds = []
    while check.next_ns():
        at_ns = check.next_ns()
        if check.on_time(ROOM, at_ns):
            rounds.append(at_ns)
    assert rounds == [NOW_NS + CHANGE_NS, last_ns + CHANGE_NS]


def test_a_change_while_a_round_is_under_way() -> None:
    check = PartitionCheck(b"me", [b"foo"])
    check.begin(ROOM, NOW_NS)
    check.on_change(NOW_NS + 1)
    assert len(check.on_time(ROOM, NOW_NS + 1 + CHANGE_NS)) == 1
    assert check.next_ns() == NOW_NS + 1 + CHANGE_NS + SILENCE_NS, "the silence begins anew"


def test_a_list_in_several_messages() -> None:
    channels = [b"foo%d" % number for number in range(100)]
    check = PartitionCheck(b"nghLbMpq3VRzvoVrczGuMr", channels)
    questions = check.begin(100, NOW_NS)
    assert len(questions) > 1
    told = [name for question in questions for name in decode_channel_list(decode_control_message(question).data)]
    assert told == channels


def test_a_name_that_has_no_place_in_a_message() -> None:
    check = PartitionCheck(b"nghLbMpq3VRzvoVrczGuMr", [b"foo", b"n" * 54])
    with pytest.raises(NameTooLongError):
        check.begin(50, NOW_NS)
    assert not check.is_asking
    check.on_change(NOW_NS)
    with pytest.raises(NameTooLongError):
        check.on_time(50, NOW_NS + CHANGE_NS)
