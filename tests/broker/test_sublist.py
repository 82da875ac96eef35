"""Subscriptions by subject against naive matching, whatever is inserted and removed in between; nothing is left behind."""

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from durabus.broker.sublist import Match, Sublist, Subscription
from durabus.wire.limits import SUBJECT_CACHE_ENTRIES_MAX
from durabus.wire.subjects import has_wildcard, matches

CACHE_ENTRIES_MAX = 4

tokens = st.sampled_from([b"a", b"b", b"c*"])
literals = st.lists(tokens, min_size=1, max_size=3).map(b".".join)
published = st.lists(tokens | st.sampled_from([b"", b"*", b">"]), min_size=1, max_size=4).map(b".".join)
queues = st.sampled_from([b"", b"", b"q", b"r"])


@st.composite
def patterns(draw: st.DrawFn) -> bytes:
    """A valid subscription subject, often with wildcards."""
    parts = draw(st.lists(tokens | st.just(b"*"), min_size=1, max_size=3))
    return b".".join([*parts[:-1], b">"] if draw(st.integers(0, 3)) == 0 else parts)


def tree_size(sublist: Sublist) -> int:
    """How many tokens the tree holds, its root not counted."""
    count = 0
    nodes = [sublist._root]
    while nodes:
        children = list(nodes.pop().children.values())
        count += len(children)
        nodes += children
    return count


def names(match: Match) -> tuple[list[int], list[list[int]]]:
    """Which subscriptions are in `match`, in any order."""
    return sorted(map(id, match.plain)), sorted(sorted(map(id, members)) for members in match.groups)


def naive(subscriptions: list[Subscription], subject: bytes) -> tuple[list[int], list[list[int]]]:
    """The same by looking at every subscription."""
    found = [one for one in subscriptions if matches(one.subject, subject)]
    by_queue: defaultdict[bytes, list[int]] = defaultdict(list)
    for one in found:
        if one.queue:
            by_queue[one.queue].append(id(one))
    return sorted(id(one) for one in found if not one.queue), sorted(sorted(members) for members in by_queue.values())


class SublistMachine(RuleBasedStateMachine):
    """Any sequence of insertions, removals and matches."""

    kept: Bundle[Subscription] = Bundle("kept")

    def __init__(self) -> None:
        super().__init__()
        self.sublist = Sublist(CACHE_ENTRIES_MAX)
        self.model: list[Subscription] = []
        self.answers: list[tuple[Match, tuple[list[int], list[list[int]]]]] = []

    @rule(target=kept, subject=patterns() | literals, queue=queues)
    def insert(self, subject: bytes, queue: bytes) -> Subscription:
        """One more."""
        subscription = Subscription(subject, queue)
        self.sublist.insert(subscription)
        self.model.append(subscription)
        return subscription

    @rule(subscription=consumes(kept))
    def remove(self, subscription: Subscription) -> None:
        """One less; it cannot be removed twice."""
        self.sublist.remove(subscription)
        self.model.remove(subscription)
        with pytest.raises(KeyError):
            self.sublist.remove(subscription)

    @rule(subjects=st.lists(literals | published, min_size=1, max_size=7))
    def match(self, subjects: list[bytes]) -> None:
        """Ask, from the cache or not."""
        for subject in subjects:
            match = self.sublist.match(subject)
            expected = naive(self.model, subject)
            assert names(match) == expected
            assert match.is_empty == (expected == ([], []))
            self.answers = [*self.answers[-3:], (match, expected)]

    @invariant()
    def is_no_larger_than_its_subscriptions(self) -> None:
        """Counts, the tree and the cache."""
        assert self.sublist.count == len(self.model)
        wild = [one.subject.split(b".") for one in self.model if has_wildcard(one.subject)]
        prefixes = {tuple(parts[: n + 1]) for parts in wild for n in range(len(parts))}
        assert tree_size(self.sublist) == len(prefixes)
        assert self.sublist._wildcard_count == len(wild), "without any there is no tree to search"
        assert set(self.sublist._literals) == {one.subject for one in self.model if not has_wildcard(one.subject)}
        assert len(self.sublist._cache) <= CACHE_ENTRIES_MAX

    @invariant()
    def does_not_change_what_it_gave(self) -> None:
        """The router walks over an answer while subscriptions come and go."""
        for match, expected in self.answers:
            assert names(match) == expected


SublistMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestSublistMachine = SublistMachine.TestCase


@given(st.lists(st.tuples(patterns() | literals, queues), max_size=12), st.lists(literals, max_size=6))
def test_nothing_is_left_when_all_are_gone(wanted: list[tuple[bytes, bytes]], subjects: list[bytes]) -> None:
    sublist = Sublist(CACHE_ENTRIES_MAX)
    subscriptions = [Subscription(subject, queue) for subject, queue in wanted]
    for subscription in subscriptions:
        sublist.insert(subscription)
    for subject in subjects:
        sublist.match(subject)
    for subscription in subscriptions:
        sublist.remove(subscription)
    assert (sublist.count, tree_size(sublist), sublist._literals) == (0, 0, {})
    assert all(sublist.match(subject).is_empty for subject in subjects)


def filled(*wanted: tuple[bytes, bytes]) -> tuple[Sublist, list[Subscription]]:
    """A sublist with the given subjects and queues."""
    sublist = Sublist()
    subscriptions = [Subscription(subject, queue) for subject, queue in wanted]
    for subscription in subscriptions:
        sublist.insert(subscription)
    return sublist, subscriptions


def test_plain_subscriptions_and_groups_are_told_apart() -> None:
    sublist, (a, b, c, d, e) = filled((b"foo", b""), (b"foo", b"q"), (b"*", b"q"), (b"foo", b"r"), (b">", b""))
    match = sublist.match(b"foo")
    assert match.plain == [a, e]
    assert match.groups == [[b, c], [d]]
    assert not match.is_empty


def test_subscriptions_of_one_subject_keep_their_order() -> None:
    for subject in (b"foo.bar", b"foo.*"):
        sublist, subscriptions = filled(*[(subject, b"")] * 20)
        assert sublist.match(b"foo.bar").plain == subscriptions
        sublist.remove(subscriptions.pop(7))
        assert sublist.match(b"foo.bar").plain == subscriptions


@pytest.mark.parametrize("subject", [b"foo", b"foo.bar", b"foo.*", b">"])
def test_removing_what_is_not_there(subject: bytes) -> None:
    sublist, _ = filled((b"foo", b""), (b"foo.*.baz", b""), (b"foo.>", b""))
    with pytest.raises(KeyError):
        sublist.remove(Subscription(subject, b""))
    assert sublist.count == 3
    assert len(sublist.match(b"foo").plain) == 1
    assert len(sublist.match(b"foo.bar.baz").plain) == 2


@pytest.mark.parametrize("pattern", [b"foo.bar", b"foo.*", b"foo.>", b">", b"*.bar"])
def test_a_remembered_answer_is_forgotten_when_it_changes(pattern: bytes) -> None:
    sublist = Sublist()
    assert sublist.match(b"foo.bar").is_empty
    subscription = Subscription(pattern, b"")
    sublist.insert(subscription)
    assert sublist.match(b"foo.bar").plain == [subscription]
    sublist.remove(subscription)
    assert sublist.match(b"foo.bar").is_empty


@pytest.mark.parametrize("remembered", [500, 600])
def test_many_remembered_answers_are_forgotten_as_well(remembered: int) -> None:
    sublist = Sublist()
    subjects = [b"foo.%d" % i for i in range(remembered)]
    assert all(sublist.match(subject).is_empty for subject in subjects)
    subscription = Subscription(b"foo.*", b"")
    sublist.insert(subscription)
    assert all(sublist.match(subject).plain == [subscription] for subject in subjects)
    sublist.remove(subscription)
    assert all(sublist.match(subject).is_empty for subject in subjects)


def test_an_answer_is_remembered_until_then() -> None:
    sublist, (foo, _) = filled((b"foo", b""), (b"other.*", b""))
    answer = sublist.match(b"foo")
    sublist.insert(Subscription(b"bar", b""))
    sublist.insert(Subscription(b"bar.*", b""))
    assert sublist.match(b"foo") is answer
    sublist.remove(foo)
    assert sublist.match(b"foo") is not answer


def test_what_monitoring_counts() -> None:
    sublist, (first, *_) = filled((b"foo", b""), (b"foo", b"q"), (b"*", b"q"), (b">", b""), (b"bar", b""))
    for subject in (b"foo", b"foo", b"bar", b"foo", b"foo.bar"):
        sublist.match(subject)
    assert (sublist.inserted_count, sublist.removed_count, sublist.count) == (5, 0, 5)
    assert (sublist.hit_count, sublist.miss_count) == (2, 3)
    assert sorted(sublist.fanouts()) == [1, 3, 3], "a group counts as one"
    sublist.remove(first)
    assert (sublist.inserted_count, sublist.removed_count, sublist.count) == (5, 1, 4)


def test_the_cache_is_bounded() -> None:
    sublist, _ = filled((b"foo.*", b""))
    for i in range(3 * SUBJECT_CACHE_ENTRIES_MAX):
        assert not sublist.match(b"foo.%d" % i).is_empty
        sublist.match(b"nobody.%d" % i)
        assert len(sublist._cache) <= SUBJECT_CACHE_ENTRIES_MAX
    assert len(sublist._cache) > 0


@pytest.mark.parametrize("subject", [b"foo..bar", b"foo.", b"foo..", b"foo.bar."])
def test_an_invalid_subject_still_finds_wildcards(subject: bytes) -> None:
    """So that whoever is built on the broker can answer with an error what nobody else would answer at all."""
    sublist, (wanted, _) = filled((b"foo.>", b""), (b"foo.bar", b""))
    assert sublist.match(subject).plain == [wanted]


def test_publishing_on_a_subject_with_wildcards_takes_them_for_words() -> None:
    sublist, (star, _, greater) = filled((b"foo.*", b""), (b"foo.bar", b""), (b"foo.>", b""))
    assert set(sublist.match(b"foo.*").plain) == {star, greater}
    assert set(sublist.match(b"foo.>").plain) == {star, greater}
    sublist, (_, inner) = filled((b"foo.*.baz", b""), (b"foo.>", b""))
    assert len(sublist.match(b"foo.*.baz").plain) == 2
    assert sublist.match(b"foo.>.bar").plain == [inner]


def test_thousands_of_tokens() -> None:
    count = 5000
    subject = b".".join([b"x"] * count)
    sublist, subscriptions = filled(
        (subject, b""), (b".".join([b"*"] * count), b""), (b".".join([b"x"] * (count - 1) + [b">"]), b""), (b">", b"")
    )
    assert len(sublist.match(subject).plain) == 4
    assert len(sublist.match(subject + b".y").plain) == 2
    for subscription in subscriptions:
        sublist.remove(subscription)
    assert (tree_size(sublist), sublist.match(subject).is_empty) == (0, True)


def test_wildcards_do_not_multiply_the_work() -> None:
    """Each node of the tree is visited once at most: 2 to the power of 40 paths would never end."""
    depth = 40
    sublist, _ = filled((b".".join([b"*"] * depth), b""), (b".".join([b"x"] * (depth - 1) + [b"*"]), b""))
    assert len(sublist.match(b".".join([b"x"] * depth)).plain) == 2
    assert sublist.match(b".".join([b"x"] * (depth + 1))).is_empty
