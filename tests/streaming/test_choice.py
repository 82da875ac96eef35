"""Who of a group gets a message: fewest in flight, turns among equals, and somebody rather than nobody."""

import pytest

from durabus.streaming.choice import best_for_redelivery, best_member, can_redeliver
from durabus.streaming.clients import Client, ClientOwner
from durabus.streaming.cohort import Cohort, Member, MemberOwner
from durabus.streaming.records import ClientRecord, SubscriptionRecord


def group(*pending: int, max_in_flight: int = 10, is_queue: bool = True) -> Cohort:
    """A group whose members have so many messages in flight."""
    cohort = Cohort(1, b"foo", b"q", is_queue, False)
    for index, count in enumerate(pending):
        record = SubscriptionRecord(index + 1, b"foo")
        record.inbox, record.max_in_flight = b"_INBOX.%d" % index, max_in_flight
        client = Client(ClientRecord(b"c%d" % index, b"_INBOX.hb", b"", 1), ClientOwner())
        member = Member(cohort, record, client, MemberOwner())
        member.is_active = True
        member.pending = count
        cohort.members.append(member)
    return cohort


def client_of(member: Member) -> Client:
    assert member.client is not None
    return member.client


def numbers(cohort: Cohort, count: int) -> list[int]:
    """To whom the next `count` new messages go, each of them staying in flight."""
    found: list[int] = []
    for _ in range(count):
        member = best_member(cohort)
        if member is None:
            break
        member.pending += 1
        found.append(member.subscription_id)
    return found


def test_idle_members_take_turns() -> None:
    assert numbers(group(0, 0, 0), 7) == [1, 2, 3, 1, 2, 3, 1]


def test_the_one_with_fewest_in_flight() -> None:
    assert numbers(group(3, 0, 2), 4) == [2, 2, 2, 3]


def test_nobody_when_all_are_full() -> None:
    assert numbers(group(1, 1, max_in_flight=2), 5) == [1, 2]


def test_failing_absent_and_congested_members_come_last_or_not_at_all() -> None:
    cohort = group(0, 5, 5)
    first, second, third = cohort.members
    client_of(first).failed_heartbeats = 1
    second.is_congested = True
    assert numbers(cohort, 2) == [3, 3]
    client_of(third).is_absent = True
    assert numbers(cohort, 2) == [1, 1], "its heartbeats fail, but nobody else is there"
    client_of(first).is_absent = True
    assert numbers(cohort, 1) == []


def test_members_take_turns_when_all_fail_their_heartbeats() -> None:
    cohort = group(0, 9, 0)
    for member in cohort.members:
        client_of(member).failed_heartbeats = 1
    assert numbers(cohort, 6) == [1, 2, 3, 1, 3, 1], "the second is full from then on"


@pytest.mark.parametrize("case", ["full", "failing"])
def test_a_redelivery_goes_rather_to_one_with_room_but_to_a_full_one_before_nobody(case: str) -> None:
    cohort = group(2, 1, max_in_flight=2)
    first, second = cohort.members
    if case == "failing":
        first.pending = 0
        client_of(first).failed_heartbeats = 1
    assert best_for_redelivery(cohort) is second
    client_of(second).is_absent = True
    assert best_for_redelivery(cohort) is first
    client_of(first).is_absent = True
    assert best_for_redelivery(cohort) is None


def test_redeliveries_take_turns() -> None:
    cohort = group(1, 1)
    first, second = cohort.members
    assert [best_for_redelivery(cohort) for _ in range(3)] == [first, second, first]


@pytest.mark.parametrize(("is_queue", "expected"), [(True, True), (False, False)])
def test_failed_heartbeats_hold_redeliveries_of_those_who_are_alone(is_queue: bool, expected: bool) -> None:
    (member,) = group(1, is_queue=is_queue).members
    assert can_redeliver(member, client_of(member))
    client_of(member).failed_heartbeats = 1
    assert can_redeliver(member, client_of(member)) is expected
    client_of(member).is_absent = True
    assert not can_redeliver(member, client_of(member))
