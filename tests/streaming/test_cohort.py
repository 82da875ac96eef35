"""Members, shadows, and the positions that a store is told of."""

import pytest

from durabus.streaming.clients import Client, ClientOwner
from durabus.streaming.cohort import Cohort, Member, MemberOwner
from durabus.streaming.records import ClientRecord, SubscriptionRecord
from durabus.streaming.window import Flight

SECOND_NS = 1_000_000_000


class NoClientOwner(ClientOwner):
    """Lets clients come and go."""

    def on_presence(self, client: Client) -> None:
        pass


class Owner(MemberOwner):
    """Notes what members notice."""

    def __init__(self) -> None:
        self.noticed: list[tuple[str, Member]] = []

    def on_member_time(self, member: Member, now_ns: int) -> None:
        self.noticed.append((f"time {now_ns}", member))

    def on_member_interest(self, member: Member) -> None:
        self.noticed.append(("gone" if member.inbox_gone else "back", member))


@pytest.fixture
def owner() -> Owner:
    return Owner()


@pytest.fixture
def cohort() -> Cohort:
    return Cohort(7, b"foo", b"group\0g", True, False)


def client(name: bytes = b"a") -> Client:
    """A client that is there."""
    made = Client(ClientRecord(name, b"_INBOX.hb", b"", 1), NoClientOwner())
    made.on_presence(True)
    return made


def member(cohort: Cohort, owner: Owner, number: int, of: Client | None = None, max_in_flight: int = 2) -> Member:
    """Member `number` of the cohort, active."""
    record = SubscriptionRecord(number, cohort.channel_name)
    record.inbox = b"_INBOX.%d" % number
    record.max_in_flight = max_in_flight
    record.ack_wait_s = 30
    made = Member(cohort, record, of, owner)
    made.is_active = of is not None
    cohort.members.append(made)
    return made


def flight(holder: Member, *sequences: int) -> None:
    """Let messages be in flight to one member."""
    made = Flight(holder, sequences[0], 0)
    holder.add_flight(made)
    for sequence in sequences:
        holder.cohort.window.add(sequence, made)


def positions(cohort: Cohort) -> dict[int, tuple[int, list[tuple[int, int]]]]:
    """The cursors, by subscription."""
    return {cursor.subscription_id: (cursor.last_sent, cursor.pending) for cursor in cohort.cursors()}


def test_a_member_takes_its_figures_from_its_record(cohort: Cohort, owner: Owner) -> None:
    one = member(cohort, owner, 5, client(), max_in_flight=3)
    assert (one.subscription_id, one.inbox, one.max_in_flight, one.ack_wait_ns) == (5, b"_INBOX.5", 3, 30 * SECOND_NS)
    assert not Member(cohort, one.record, client(), owner).is_active, "its response goes first"


def test_a_member_stalls_at_its_limit(cohort: Cohort, owner: Owner) -> None:
    one = member(cohort, owner, 1, client(), max_in_flight=2)
    stalled = []
    for sequence in (1, 2, 3):
        flight(one, sequence)
        stalled.append(one.is_stalled())
    cohort.window.take(2)
    cohort.window.take(1)
    assert [*stalled, one.is_stalled()] == [False, True, True, False]


def test_a_member_is_reachable_while_its_client_is_there_and_it_is_active(cohort: Cohort, owner: Owner) -> None:
    its_client = client()
    one = member(cohort, owner, 1, its_client)
    assert one.is_reachable()
    its_client.on_presence(False)
    assert not one.is_reachable()
    its_client.on_presence(True)
    assert one.is_reachable()
    one.is_active = False
    assert not one.is_reachable()
    shadow = member(cohort, owner, 2)
    shadow.is_active = True
    assert not shadow.is_reachable()


def test_an_inbox_is_missed_only_after_somebody_listened_on_it(cohort: Cohort, owner: Owner) -> None:
    one = member(cohort, owner, 1, client())
    one.on_inbox(False)
    assert one.is_reachable(), "whoever subscribes late is not away"
    one.inbox_watcher.on_interest(one.inbox, True)
    assert owner.noticed == []
    one.inbox_watcher.on_interest(one.inbox, False)
    assert not one.is_reachable()
    one.on_inbox(False)
    one.inbox_watcher.on_interest(one.inbox, True)
    assert one.is_reachable()
    assert owner.noticed == [("gone", one), ("back", one)]


def test_a_member_passes_its_deadline_on(cohort: Cohort, owner: Owner) -> None:
    one = member(cohort, owner, 1, client())
    one.on_time(42)
    assert owner.noticed == [("time 42", one)]


def test_everybody_is_the_members_and_the_shadow(cohort: Cohort, owner: Owner) -> None:
    assert cohort.everybody() == []
    one, other = member(cohort, owner, 1, client()), member(cohort, owner, 2, client(b"b"))
    assert cohort.everybody() == [one, other]
    cohort.members.remove(other)
    cohort.shadow = other
    assert cohort.everybody() == [one, other]


def test_positions_say_what_each_member_holds_in_ranges(cohort: Cohort, owner: Owner) -> None:
    one, other = member(cohort, owner, 1, client()), member(cohort, owner, 2, client(b"b"))
    flight(one, 1, 2, 3)
    flight(other, 4, 5)
    flight(one, 6)
    flight(other, 7)
    flight(one, 8, 9)
    cohort.window.take(2)
    cohort.last_sent = 12
    assert positions(cohort) == {1: (12, [(1, 1), (3, 3), (6, 6), (8, 9)]), 2: (12, [(4, 5), (7, 7)])}


def test_positions_of_a_cohort_that_holds_nothing(cohort: Cohort, owner: Owner) -> None:
    assert positions(cohort) == {}
    member(cohort, owner, 1, client())
    cohort.last_sent = 3
    assert positions(cohort) == {1: (3, [])}


def test_what_a_shadow_holds_is_remembered(cohort: Cohort, owner: Owner) -> None:
    one = member(cohort, owner, 4, client())
    flight(one, 10, 11, 20)
    cohort.last_sent = 20
    cohort.members.remove(one)
    one.client = None
    cohort.shadow = one
    assert positions(cohort) == {4: (20, [(10, 11), (20, 20)])}
