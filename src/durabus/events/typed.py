"""`Publisher[TicketCreated]` as a class of its own: the type in the brackets is there when the program runs."""

from typing import Any, ClassVar, Generic, TypeVar

from durabus.events.event import EventDefinitionError, EventType, event_type

__all__ = ["Typed"]

E = TypeVar("E")


class Typed(Generic[E]):
    """A class for one type of events: said in brackets (`Publisher[TicketCreated]`), also by the class it derives from."""

    event_class: ClassVar[type[Any] | None] = None
    _made: ClassVar[dict[tuple[type, type], type]] = {}  # by the class and what was in the brackets

    def __class_getitem__(cls, item: Any) -> Any:  # noqa: ANN401 - as Generic has it
        """The class for events of the class `item`; with a type variable it is generic still."""
        if not isinstance(item, type) or cls.event_class is not None:
            return super().__class_getitem__(item)  # type: ignore[misc] # Generic has it when the program runs
        made = cls._made.get((cls, item))
        if made is None:
            names = {"__module__": cls.__module__, "__doc__": cls.__doc__, "event_class": item}
            made = type(f"{cls.__name__}[{item.__name__}]", (cls,), names)
            cls._made[cls, item] = made
        return made

    def _find_type(self, event_class: type[E] | None) -> EventType[E]:
        """What is known of the events of this object; raises EventDefinitionError."""
        cls = event_class or self.event_class
        if cls is None:
            name = type(self).__name__
            raise EventDefinitionError(
                f"{name} of what? Write {name}[TicketCreated](bus), or {name}(bus, TicketCreated)"
            )
        return event_type(cls)
