"""Events of one entity in the order of its versions, where they come in another order.

Whoever changes an entity counts its versions (optimistic concurrency), and each event says which one it made. What came
last of an entity is its *position*, and an event is

- **stale** when its version is the position or lower: it was dealt with before,
- **next** when it is the position and one,
- **early** when it is higher: what is between has not been dealt with yet.
"""

import enum
import inspect
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, Final

from durabus.client import UsageError
from durabus.errors import DurabusError
from durabus.events.event import EventDefinitionError, EventType, field_names

__all__ = ["EarlyEventError", "Held", "Standing", "VersionOrder"]

_ENTITIES_MAX: Final = 100_000
_HELD_MAX: Final = 10_000


class EarlyEventError(DurabusError):
    """Why an event became a dead letter that was early too often."""


class Standing(enum.Enum):
    """Where an event is in the order of its entity."""

    STALE = enum.auto()
    NEXT = enum.auto()
    EARLY = enum.auto()
    BUSY = enum.auto()  # another event of the entity is at work: it cannot be said yet


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """A message that waits: for the version before, or (BUSY) only for the event that is at work."""

    version: int
    standing: Standing
    put_back: Callable[[], None]


class VersionOrder:
    """Gives listeners the events of each entity in the order of its versions; one object for all listeners to its events.

    Stale events are acknowledged and left out. Early ones are left for redelivery, and handed out at once when the version before
    was dealt with in this process. `entity` and `version` name fields of the events, or are functions of an event.

    `position` tells, for an entity, the version that was dealt with last, usually from the table where the handler keeps it (a
    coroutine function or a plain one; None for an entity that is not known). Without it positions are kept in memory, which
    is for listeners that begin with the first event each time. While an event waits, `position` is asked again every `recheck_s`
    seconds, as another instance may have dealt with the version before; 0: only when the server delivers the event again.

    `first_version` is the first that an entity can have, as 1 or 0; without it an entity that is not known begins with whatever
    comes first. An event that was early `early_deliveries_max` times becomes a dead letter: 1 rejects it at once, 0 waits for ever.
    """

    def __init__(
        self,
        entity: str | Callable[[Any], Hashable] = "id",
        version: str | Callable[[Any], int] = "version",
        *,
        position: Callable[[Any], Awaitable[int | None] | int | None] | None = None,
        first_version: int | None = None,
        recheck_s: float = 1.0,
        early_deliveries_max: int = 0,
    ) -> None:
        """Nothing has come yet; raises UsageError."""
        if recheck_s < 0:
            raise UsageError(f"recheck_s is a number from 0 up, not {recheck_s}")
        if early_deliveries_max < 0:
            raise UsageError(f"early_deliveries_max is a number from 0 up, not {early_deliveries_max}")
        self.early_deliveries_max = early_deliveries_max
        self.recheck_s = recheck_s
        self._fields = [field for field in (entity, version) if isinstance(field, str)]
        self._entity_of: Callable[[Any], Hashable] = _getter(entity)
        self._version_of: Callable[[Any], int] = _getter(version)
        self._position = position
        self._first_version = first_version
        self._positions: OrderedDict[Hashable, int] = OrderedDict()
        self._busy: set[Hashable] = set()
        self._held: dict[Hashable, dict[tuple[str, int], Held]] = {}  # by entity; by channel and sequence
        self._held_count = 0

    def check(self, event_type: EventType[Any]) -> None:
        """Raise EventDefinitionError when events of a type have no such fields."""
        for field in self._fields:
            if field not in field_names(event_type.cls):
                raise EventDefinitionError(f"{event_type.name} has no field {field!r}, which its order goes by")

    @property
    def held_count(self) -> int:
        """How many messages wait here for an earlier version."""
        return self._held_count

    # What listeners say, one event at a time.

    async def begin(self, event: object, channel: str, sequence: int) -> Standing:
        """Where `event` is, that came in this message; raises what `position` raises.

        NEXT: it is at work from now on, until `finish` or `abandon`. Unless it is EARLY, it is held no longer.
        """
        entity = self._entity_of(event)
        if entity in self._busy:
            return Standing.BUSY
        self._busy.add(entity)
        standing = Standing.STALE
        try:
            standing = self._compare(self._version_of(event), await self._find(entity))
        finally:
            if standing is not Standing.EARLY:
                self.drop(event, channel, sequence)
            if standing is not Standing.NEXT:
                self._free(entity)
        return standing

    async def _find(self, entity: Hashable) -> int | None:
        if self._position is None:
            return self._positions.get(entity)
        found = self._position(entity)
        return await found if inspect.isawaitable(found) else found

    def _compare(self, version: int, position: int | None) -> Standing:
        if position is None:
            if self._first_version is None:
                return Standing.NEXT
            position = self._first_version - 1
        if version <= position:
            return Standing.STALE
        return Standing.NEXT if version == position + 1 else Standing.EARLY

    def finish(self, event: object) -> None:
        """`event` was dealt with: what waited for it goes on."""
        entity, version = self._entity_of(event), self._version_of(event)
        if self._position is None:
            self._positions[entity] = version
            self._positions.move_to_end(entity)
            if len(self._positions) > _ENTITIES_MAX:
                self._positions.popitem(last=False)
        self._free(entity, version + 1)

    def abandon(self, event: object) -> None:
        """`event` was not dealt with: it will come again."""
        self._free(self._entity_of(event))

    def hold(
        self, event: object, standing: Standing, channel: str, sequence: int, put_back: Callable[[], None]
    ) -> bool:
        """Remember a message that was EARLY or BUSY; `put_back` hands it out again. Whether it is held for the first time.

        The server delivers it again in any case.
        """
        entity = self._entity_of(event)
        key = (channel, sequence)
        is_new = key not in self._held.get(entity, {})
        if is_new:
            if self._held_count >= _HELD_MAX:
                return True
            self._held_count += 1
        self._held.setdefault(entity, {})[key] = Held(self._version_of(event), standing, put_back)
        return is_new

    def recheck_later(self, event: object, channel: str, sequence: int) -> Callable[[], None] | None:
        """What is to be called after `recheck_s` seconds, when a message is held; None where positions change only here.

        It hands the message out again, if that has not happened before.
        """
        if not self.recheck_s or self._position is None:
            return None
        entity, key = self._entity_of(event), (channel, sequence)
        held = self._held.get(entity, {}).get(key)
        if held is None:
            return None

        def recheck() -> None:
            if self._held.get(entity, {}).get(key) is held:
                held.put_back()

        return recheck

    def drop(self, event: object, channel: str, sequence: int) -> None:
        """Hold a message no longer."""
        entity = self._entity_of(event)
        held = self._held.get(entity)
        if held is not None and held.pop((channel, sequence), None) is not None:
            self._held_count -= 1
            if not held:
                del self._held[entity]

    def _free(self, entity: Hashable, early_version_max: int | None = None) -> None:
        """Nothing of an entity is at work now: what waited for that goes on, and early ones up to this version."""
        self._busy.discard(entity)
        held = self._held.get(entity)
        if held is None:
            return
        # The lowest is put back last, as the first to be taken.
        for key, one in sorted(held.items(), key=lambda item: item[1].version, reverse=True):
            if one.standing is Standing.BUSY or (early_version_max is not None and one.version <= early_version_max):
                del held[key]
                self._held_count -= 1
                one.put_back()
        if not held:
            del self._held[entity]


def _getter(field: str | Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function of an event."""
    if not isinstance(field, str):
        return field
    name = field

    def get(event: object) -> object:
        return getattr(event, name)

    return get
