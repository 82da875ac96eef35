"""Events as JSON: msgspec for Structs and dataclasses, pydantic's own way for its models and dataclasses.

Members that the class does not have are passed over, so that an event can gain fields before its listeners know them.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from durabus.events.codecs import Codec, DecodeError, EncodeError

__all__ = ["json_codec"]

E = TypeVar("E")


def json_codec(cls: type[E]) -> Codec[E]:
    """The codec of a Struct, a dataclass or a pydantic model; raises EncodeError when it has fields that JSON cannot have."""
    if "__pydantic_validator__" in cls.__dict__:
        return _PydanticCodec(cls)
    return _StructCodec(cls)


class _StructCodec(Codec[E]):
    """Structs and dataclasses, with a decoder that is made once."""

    def __init__(self, cls: type[E]) -> None:
        self._cls = cls
        self._encode = msgspec.json.Encoder().encode
        try:
            self._decode: Callable[[bytes], E] = msgspec.json.Decoder(cls).decode
        except NameError:  # of a class that is defined further below, or of this one itself
            self._decode = self._decode_first
        except TypeError as error:
            raise EncodeError(f"{cls.__name__} cannot be JSON: {_first_line(error)}") from error

    def encode(self, event: E) -> bytes:
        """The payload; raises EncodeError."""
        try:
            return self._encode(event)
        except Exception as error:  # whatever a field has in it
            raise EncodeError(f"{self._cls.__name__} cannot be JSON: {_first_line(error)}") from error

    def decode(self, data: bytes) -> E:
        """The event; raises DecodeError."""
        try:
            return self._decode(data)
        except Exception as error:  # the checks of the class itself (`__post_init__`) are among them
            raise _decode_error(self._cls.__name__, error) from error

    def _decode_first(self, data: bytes) -> E:
        decoder = msgspec.json.Decoder(self._cls)
        self._decode = decoder.decode
        return decoder.decode(data)


class _PydanticCodec(Codec[E]):
    """Pydantic models and dataclasses, whose names on the wire are their aliases."""

    def __init__(self, cls: type[E]) -> None:
        from pydantic import TypeAdapter

        self._cls = cls
        adapter: TypeAdapter[E] = TypeAdapter(cls)
        self._dump: Callable[..., bytes] = adapter.dump_json
        self._validate: Callable[[bytes], E] = adapter.validate_json
        if getattr(adapter, "pydantic_complete", False):  # not of a class that is defined further below
            # What the adapter calls: it only passes arguments on, for a third of the time that a small event takes.
            self._dump = adapter.serializer.to_json
            self._validate = adapter.validator.validate_json

    def encode(self, event: E) -> bytes:
        """The payload; raises EncodeError."""
        try:
            return self._dump(event, by_alias=True, warnings="error")
        except Exception as error:  # whatever a field has in it
            raise EncodeError(f"{self._cls.__name__} cannot be JSON: {error}") from error

    def decode(self, data: bytes) -> E:
        """The event; raises DecodeError."""
        try:
            return self._validate(data)
        except Exception as error:  # the checks of the class itself (validators) are among them
            raise _pydantic_error(self._cls.__name__, error) from error


def _decode_error(name: str, error: Exception) -> DecodeError:
    """What msgspec says, which has the path behind ` - at `."""
    what, _, place = _first_line(error).partition(" - at ")
    path = place.strip("`") or "$"
    return DecodeError(f"no {name}: {what}{f' at {path}' if path != '$' else ''}", path)


def _pydantic_error(name: str, error: Exception) -> DecodeError:
    """What pydantic says of the first field that is wrong."""
    list_errors: Callable[[], list[dict[str, Any]]] | None = getattr(error, "errors", None)
    found = list_errors() if list_errors is not None else []
    if not found:
        return DecodeError(f"no {name}: {_first_line(error)}")
    parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in found[0]["loc"]]
    path = "$" + "".join(parts)
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return DecodeError(f"no {name}: {found[0]['msg']}{f' at {path}' if parts else ''}{more}", path)


def _first_line(error: Exception) -> str:
    """An error in one line."""
    return str(error).partition("\n")[0] or type(error).__name__
