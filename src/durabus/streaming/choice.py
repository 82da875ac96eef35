"""Who of a group gets a message: the next new one, or one that goes out again (docs/protocol.md §9.1, §9.3)."""

from durabus.streaming.clients import Client
from durabus.streaming.cohort import Cohort, Member

__all__ = ["best_for_redelivery", "best_member", "can_redeliver"]


def best_member(cohort: Cohort) -> Member | None:
    """Who gets the next new message: docs/protocol.md §9.1. None when nobody may."""
    members = cohort.members
    best: Member | None = None
    best_index = 0
    for index, member in enumerate(members):
        client = member.client
        if member.pending >= member.max_in_flight or client is None or client.failed_heartbeats:
            continue
        if (best is None or member.pending < best.pending) and member.is_reachable() and not member.is_congested:
            best = member
            best_index = index
    if best is None:
        # Everybody stalls or fails its heartbeats: the first that may still be sent something gets it, and goes last.
        for index, member in enumerate(members):
            if member.pending < member.max_in_flight and member.is_reachable() and not member.is_congested:
                members.append(members.pop(index))
                return member
        return None
    if best_index == 0:
        members.append(members.pop(0))
    return best


def best_for_redelivery(cohort: Cohort) -> Member | None:
    """Who gets a message again: whoever has least in flight, rather one that is not full; None when nobody is there."""
    best: Member | None = None
    best_is_full = True
    for member in cohort.members:
        client = member.client
        if client is None or not member.is_reachable():
            continue
        is_full = member.is_stalled() or client.failed_heartbeats > 0
        if best is None or (best_is_full and not is_full):
            best = member
            best_is_full = is_full
        elif is_full == best_is_full and member.pending < best.pending:
            best = member
    if best is not None and best is cohort.members[0]:
        cohort.members.append(cohort.members.pop(0))
    return best


def can_redeliver(member: Member, client: Client) -> bool:
    """Whether there is anybody to redeliver to: a group has others, and does not mind failed heartbeats."""
    if not member.cohort.is_queue:
        return member.is_reachable() and client.failed_heartbeats == 0
    for other in member.cohort.members:
        if other.is_reachable():
            return True
    return False
