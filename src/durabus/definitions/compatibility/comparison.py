"""Two sets of definitions: which event of one is which of the other, and what became of each."""

from collections.abc import Sequence

from durabus.definitions.compatibility.verdicts import (
    BOTH,
    NEITHER,
    Direction,
    EventVerdict,
    Finding,
    Verdicts,
    join_findings,
)
from durabus.definitions.model import Definition, Format

__all__ = ["check"]


def check(old: Sequence[Definition], new: Sequence[Definition]) -> Verdicts:
    """Compare definitions. Events are the same by name, or else by subject."""
    pairs = _pair(old, new)
    events: list[EventVerdict] = []
    for before, after in pairs:
        if before is None:
            assert after is not None
            events.append(EventVerdict(after.name, "added", ()))
        elif after is None:
            gone = Finding(
                "", "the event is removed: what was written cannot be read any more, and who waits for it waits", BOTH
            )
            events.append(EventVerdict(before.name, "removed", (gone,)))
        else:
            findings = join_findings(_compare(before, after))
            is_same = not findings and (before.source, before.version) == (after.source, after.version)
            events.append(EventVerdict(after.name, "same" if is_same else "changed", findings))
    return Verdicts(tuple(sorted(events, key=lambda event: event.name)))


def _pair(old: Sequence[Definition], new: Sequence[Definition]) -> list[tuple[Definition | None, Definition | None]]:
    """Each event of either side once. One of another name is the same if it alone has the subject."""
    names = {definition.name: definition for definition in new}
    left = [definition for definition in new if definition.name not in {one.name for one in old}]
    pairs: list[tuple[Definition | None, Definition | None]] = []
    for before in old:
        after = names.get(before.name)
        if after is None:
            heirs = [one for one in left if one.subject == before.subject]
            rivals = [one for one in old if one.subject == before.subject and one.name not in names]
            after = heirs[0] if len(heirs) == 1 and len(rivals) == 1 else None
            left = [one for one in left if one is not after]
        pairs.append((before, after))
    return pairs + [(None, after) for after in left]


def _compare(old: Definition, new: Definition) -> list[Finding]:
    found: list[Finding] = []
    if old.name != new.name:
        reason = f"the event is {new.name}, was {old.name}: the name is not on the wire, but programs have it"
        found.append(Finding("", reason, NEITHER))
    if old.subject != new.subject:
        reason = f"the subject is {new.subject}, was {old.subject}: readers and writers do not meet any more"
        found.append(Finding("", reason, BOTH))
    if new.version < old.version:
        reason = f"the version is {new.version}, was {old.version}: versions go up"
        found.append(Finding("", reason, NEITHER))
    if old.identity != new.identity and old.identity:
        was, now = ", ".join(old.identity), ", ".join(new.identity) or "nothing"
        reason = f"the identity is {now}, was {was}: an inbox does not recognize a repeat of what it has already"
        found.append(Finding("", reason, frozenset((Direction.BACKWARD,))))
    if old.format is not new.format:
        reason = f"payloads are {_FORMATS[new.format]}, were {_FORMATS[old.format]}: neither reads the other"
        return [*found, Finding("", reason, BOTH)]
    match new.format:
        case Format.JSON_SCHEMA:
            from durabus.definitions.compatibility.json_schema import compare_json_schema

            return found + compare_json_schema(old, new)
        case Format.PROTOBUF:
            from durabus.definitions.compatibility.protobuf import compare_protobuf

            return found + compare_protobuf(old, new)
        case Format.AVRO:
            from durabus.definitions.compatibility.avro import compare_avro, is_written_alike

            if not is_written_alike(old, new):
                found.append(Finding("", _OTHER_BYTES, NEITHER))
            return found + compare_avro(old, new)


_OTHER_BYTES = (
    "the bytes are others: a reader needs the definition that they were written with, and generated classes have one only;"
    " publish to another subject, or update all services together"
)
_FORMATS = {Format.JSON_SCHEMA: "JSON", Format.PROTOBUF: "Protobuf", Format.AVRO: "Avro"}
