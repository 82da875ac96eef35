"""What is generated from a set of definitions, before it is said in one language: a module per event, and one for what several share."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from durabus.definitions.model import (
    ArrayType,
    Definition,
    Field,
    Format,
    MapType,
    NamedType,
    Nullable,
    Record,
    Reference,
    Type,
    Union,
)
from durabus.errors import DurabusError

__all__ = [
    "EventModule",
    "GenerationError",
    "Plan",
    "make_plan",
    "may_be_left_out",
    "needed_names",
    "references",
    "refuse_twins",
    "scalars_of",
]


class GenerationError(DurabusError):
    """Definitions from which no code can be made; the text says which, and what to change."""


@dataclass(frozen=True, slots=True)
class EventModule:
    """One event: its definition, the types that only it has, and the names of those that it shares."""

    definition: Definition
    own: tuple[NamedType, ...]  # the event's record first
    shared: tuple[NamedType, ...]

    @property
    def types(self) -> dict[str, NamedType]:
        """All named types of the event by their names."""
        return {one.name: one for one in self.definition.types}


@dataclass(frozen=True, slots=True)
class Plan:
    """All modules, by the names of their events, and the types that several of them share, in the order of the first event that has them."""

    modules: tuple[EventModule, ...]
    shared: tuple[NamedType, ...]

    @property
    def formats(self) -> frozenset[Format]:
        """The formats that occur."""
        return frozenset(module.definition.format for module in self.modules)


def make_plan(definitions: Sequence[Definition]) -> Plan:
    """Raises GenerationError for no definition at all, and for two events of one name."""
    if not definitions:
        raise GenerationError("there is no definition to generate code from")
    ordered = sorted(definitions, key=lambda definition: definition.name)
    refuse_twins(ordered, "name")
    events = {definition.name for definition in ordered}
    owners: dict[str, list[Definition]] = {}
    for definition in ordered:
        for one in definition.types[1:]:
            owners.setdefault(one.name, []).append(definition)
    alike = {
        name
        for name, those in owners.items()
        if len(those) > 1 and name not in events and len({_shape(one, name) for one in those}) == 1
    }
    shared: dict[str, NamedType] = {}
    modules: list[EventModule] = []
    for definition in ordered:
        types = {one.name: one for one in definition.types}
        common = [name for name in types if name in alike and _closure(types, name) <= alike]
        shared.update((name, types[name]) for name in common if name not in shared)
        own = tuple(one for one in definition.types if one.name not in common)
        modules.append(EventModule(definition, own, tuple(types[name] for name in common)))
    return Plan(tuple(modules), tuple(shared.values()))


def refuse_twins(definitions: Sequence[Definition], kind: str) -> None:
    """Raises GenerationError for two events of which `kind`, `name` or `subject`, is the same."""
    seen: dict[str, Definition] = {}
    for one in definitions:
        key = str(getattr(one, kind))
        other = seen.setdefault(key, one)
        if other is not one:
            raise GenerationError(
                f"{other.path} and {one.path} both define the {kind} {key}: a payload does not say which it is"
            )


def may_be_left_out(field: Field, format_: Format) -> bool:
    """Whether who makes an event may leave a field out: then it is absent, or the default is written where a format has no absence."""
    return not field.is_required or (field.has_default and format_ is not Format.JSON_SCHEMA)


def references(type_: Type) -> Iterator[str]:
    """The names that a type mentions."""
    match type_:
        case Reference(name):
            yield name
        case ArrayType(inner) | MapType(inner) | Nullable(inner):
            yield from references(inner)
        case Union(types):
            for one in types:
                yield from references(one)
        case _:
            return


def scalars_of(type_: Type) -> Iterator[Type]:
    """The types that a type is made of, itself included, names not followed."""
    yield type_
    match type_:
        case ArrayType(inner) | MapType(inner) | Nullable(inner):
            yield from scalars_of(inner)
        case Union(types):
            for one in types:
                yield from scalars_of(one)
        case _:
            return


def _closure(types: dict[str, NamedType], name: str) -> set[str]:
    """`name` with everything that it refers to."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        one = waiting.pop()
        if one in found:
            continue
        found.add(one)
        named = types[one]
        if isinstance(named, Record):
            waiting += [mentioned for field in named.fields for mentioned in references(field.type)]
    return found


def _shape(definition: Definition, name: str) -> tuple[Format, frozenset[str]]:
    """Equal for two types that are written alike."""
    types = {one.name: one for one in definition.types}
    return definition.format, frozenset(repr(types[one]) for one in _closure(types, name))


def needed_names(types: Iterable[NamedType]) -> set[str]:
    """The names that the fields of some types mention."""
    records = (one for one in types if isinstance(one, Record))
    return {name for record in records for field in record.fields for name in references(field.type)}
