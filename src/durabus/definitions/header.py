"""What every definition says besides the shape of its event: subject, version, identity."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from durabus.definitions.model import Definition, DefinitionError, Format, NamedType, Record
from durabus.wire.subjects import is_channel_name

__all__ = ["Header", "make_definition", "read_header"]

_SUBJECT_EXAMPLE = "ticket:created"


@dataclass(frozen=True, slots=True)
class Header:
    """Checked: the subject can be a channel, versions begin at 1, the fields of the identity are there."""

    subject: str
    version: int
    identity: tuple[str, ...]


def read_header(path: Path, said: Mapping[str, Any], prefix: str, record: Record) -> Header:
    """What the attributes `subject`, `version` and `identity` (with `prefix` before each) say; raises DefinitionError."""
    subject = said.get(f"{prefix}subject", "")
    if subject == "":
        raise DefinitionError(
            path, record.name, f'the subject is missing, as in "{prefix}subject": "{_SUBJECT_EXAMPLE}"'
        )
    if not isinstance(subject, str) or any(char.isspace() or ord(char) < 32 for char in subject):
        raise DefinitionError(path, record.name, f"{subject!r} cannot be a subject: it is text without blanks")
    if not is_channel_name(subject.encode()):
        raise DefinitionError(path, record.name, f"{subject!r} cannot be a subject: no wildcards, no /, no empty parts")
    version = said.get(f"{prefix}version", 1)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise DefinitionError(path, record.name, f"{prefix}version is {version!r}; versions are numbers from 1")
    identity = said.get(f"{prefix}identity", [])
    names = [identity] if isinstance(identity, str) else identity
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise DefinitionError(path, record.name, f"{prefix}identity is {identity!r}; it is a list of fields")
    fields = {field.name for field in record.fields}
    for name in names:
        if name not in fields:
            raise DefinitionError(path, record.name, f"{prefix}identity names {name!r}, which is no field of the event")
    if len(set(names)) < len(names):
        raise DefinitionError(path, record.name, f"{prefix}identity names a field twice")
    return Header(subject, version, tuple(names))


def make_definition(
    path: Path,
    said: Mapping[str, Any],
    prefix: str,
    format_: Format,
    types: tuple[NamedType, ...],
    source: object,
    message: str = "",
) -> Definition:
    """The event whose record is the first of `types`, with what `read_header` finds; raises DefinitionError."""
    record = types[0]
    assert isinstance(record, Record)
    header = read_header(path, said, prefix, record)
    return Definition(
        name=record.name,
        subject=header.subject,
        version=header.version,
        format=format_,
        types=types,
        path=path,
        source=source,
        message=message,
        identity=header.identity,
        description=record.description,
    )
