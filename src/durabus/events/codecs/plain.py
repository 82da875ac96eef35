"""Events as plain values (dict, list, str, int, bytes, datetime …) under their names on the wire: what Avro and Protobuf are made of."""

import datetime
from collections.abc import Callable
from typing import Any, Final, Generic, TypeAlias, TypeVar

import msgspec

from durabus.events.codecs import DecodeError, EncodeError

__all__ = ["Mismatch", "PlainForm", "import_codec_library"]

E = TypeVar("E")
Module: TypeAlias = Any
Plain: TypeAlias = (
    Any  # dict, list, str, int, float, bool, None, bytes, datetime, date; UUID and Enum of pydantic models
)

_KEPT: Final = (bytes, datetime.datetime, datetime.date)
"""What msgspec would otherwise turn into text."""


class Mismatch(Exception):  # noqa: N818 - becomes an EncodeError or a DecodeError
    """A value that the schema does not allow."""

    def __init__(self, path: str, expected: str, value: object) -> None:
        """`path` is like `$.user.name`."""
        shown = repr(value)
        shown = shown if len(shown) <= 60 else shown[:60] + "…"
        super().__init__(f"expected {expected}, got {shown} at {path}")
        self.path = path


class PlainForm(Generic[E]):
    """Of one class: a Struct, a dataclass or a pydantic model."""

    def __init__(self, cls: type[E]) -> None:
        """Raises EncodeError when msgspec cannot make such objects."""
        self.name = cls.__name__
        self._cls = cls
        self.is_pydantic = "__pydantic_validator__" in cls.__dict__
        self._dump: Callable[[E], Any] = self._dump_struct
        self._load: Callable[[Any], E] = self._load_struct
        if self.is_pydantic:
            from pydantic import TypeAdapter

            adapter: TypeAdapter[E] = TypeAdapter(cls)
            self._dump = lambda event: adapter.dump_python(event, by_alias=True, warnings="error")
            self._load = adapter.validate_python
        else:
            self._check_types()

    @property
    def wire_names(self) -> tuple[str, ...]:
        """The names of the fields on the wire."""
        if self.is_pydantic:
            fields: dict[str, Any] = getattr(self._cls, "model_fields", None) or self._cls.__pydantic_fields__  # type: ignore[attr-defined] # of its dataclasses
            return tuple(field.serialization_alias or field.alias or name for name, field in fields.items())
        encoded: tuple[str, ...] | None = getattr(self._cls, "__struct_encode_fields__", None)
        return encoded or tuple(getattr(self._cls, "__dataclass_fields__", ()))

    def check_names(self, known: frozenset[str], where: str) -> None:
        """Raises EncodeError when the class has fields that its schema does not have."""
        unknown = [name for name in self.wire_names if name not in known]
        if unknown:
            raise EncodeError(f"{self.name} has the field {unknown[0]!r}, which {where} does not have")

    def _check_types(self) -> None:
        """Raises EncodeError for fields that msgspec can write and not read, as one that is of two kinds of text."""
        try:
            self._load_struct({})
        except NameError:  # of a class that is defined further below, or of this one itself
            pass
        except TypeError as error:
            raise EncodeError(f"{self.name} cannot be read: {_first_line(error)}") from error
        except Exception:  # noqa: BLE001, S110 - an event without fields need not be one
            pass

    def to_plain(self, event: E) -> Plain:
        """The values of an event; raises EncodeError."""
        try:
            return self._dump(event)
        except Exception as error:  # whatever a field has in it
            raise EncodeError(f"{self.name} cannot be written: {_first_line(error)}") from error

    def from_plain(self, values: Plain) -> E:
        """The event that has these values; raises DecodeError."""
        try:
            return self._load(values)
        except msgspec.ValidationError as error:
            what, _, place = _first_line(error).partition(" - at ")
            path = place.strip("`") or "$"
            raise DecodeError(f"no {self.name}: {what}{f' at {path}' if path != '$' else ''}", path) from error
        except Exception as error:  # the checks of the class itself are among them
            raise self._model_error(error) from error

    def _model_error(self, error: Exception) -> DecodeError:
        """What pydantic says of the first field that is wrong, or whatever a class says."""
        list_errors: Callable[[], list[dict[str, Any]]] | None = getattr(error, "errors", None)
        found = list_errors() if list_errors is not None else []
        if not found:
            return DecodeError(f"no {self.name}: {_first_line(error)}")
        path = "$" + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in found[0]["loc"])
        return DecodeError(f"no {self.name}: {found[0]['msg']} at {path}", path)

    def _dump_struct(self, event: E) -> Plain:
        return msgspec.to_builtins(event, builtin_types=_KEPT)

    def _load_struct(self, values: Plain) -> E:
        return msgspec.convert(values, self._cls, builtin_types=_KEPT)


def import_codec_library(name: str, extra: str) -> Module:
    """A module of a library that only one encoding needs; raises EncodeError, which names the extra that brings it."""
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError as error:
        raise EncodeError(f"{name} is not installed: run pip install 'durabus[{extra}]'") from error


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
