"""A folder of definitions: every `.json`, `.proto` and `.avsc` file in it and below it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from durabus.definitions.json_document import parse_json
from durabus.definitions.model import Definition, DefinitionError

__all__ = ["SUFFIXES", "read_definitions", "read_file", "read_folder"]

SUFFIXES: Final = (".json", ".proto", ".avsc")


def read_definitions(path: Path) -> tuple[Definition, ...]:
    """What a folder or a file has; raises DefinitionError."""
    if not path.exists():
        raise DefinitionError(path, "", "there is no such file or folder")
    return read_folder(path) if path.is_dir() else read_file(path)


def read_folder(path: Path) -> tuple[Definition, ...]:
    """All definitions in a folder, in the order of the names of their files; raises DefinitionError.

    Hidden files and folders, and `node_modules`, are left out.
    """
    if not path.is_dir():
        raise DefinitionError(path, "", "there is no such folder" if not path.exists() else "it is no folder")
    files = [file for file in sorted(path.rglob("*")) if file.is_file() and file.suffix in SUFFIXES]
    files = [file for file in files if not _is_left_out(file.relative_to(path))]
    if not files:
        raise DefinitionError(path, "", f"there are no definitions in it ({', '.join(SUFFIXES)})")
    return _read(path, files)


def read_file(path: Path) -> tuple[Definition, ...]:
    """The definitions in one file; imports of a `.proto` are looked for in its folder. Raises DefinitionError."""
    if path.suffix not in SUFFIXES:
        raise DefinitionError(path, "", f"definitions are in files with {', '.join(SUFFIXES)}")
    if not path.is_file():
        raise DefinitionError(path, "", "there is no such file")
    return _read(path.parent, [path])


def _is_left_out(relative: Path) -> bool:
    return any(part.startswith(".") or part == "node_modules" for part in relative.parts)


def _read(folder: Path, files: Sequence[Path]) -> tuple[Definition, ...]:
    found: list[Definition] = []
    for file in files:
        if file.suffix != ".proto":
            found.append(_read_document(file))
    protos = [file for file in files if file.suffix == ".proto"]
    if protos:
        from durabus.definitions.protobuf import read_protobuf

        found += read_protobuf(folder, protos)
    if not found:
        raise DefinitionError(folder, "", "no message has the option (durabus.event), which makes it an event")
    order = {file: index for index, file in enumerate(files)}
    found.sort(key=lambda definition: order[definition.path])  # stable: events of one file stay as they are there
    _refuse_twins(found)
    return tuple(found)


def _read_document(path: Path) -> Definition:
    """What a file of JSON has."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DefinitionError(path, f"byte {error.start}", "it is no UTF-8") from None
    document = parse_json(path, text)
    if path.suffix == ".avsc":
        from durabus.definitions.avro import read_avro

        return read_avro(path, document)
    from durabus.definitions.json_schema import read_json_schema

    return read_json_schema(path, document)


def _refuse_twins(found: Sequence[Definition]) -> None:
    """No two events have one name, or one subject and version: nobody could tell which of them is meant."""
    names: dict[str, Definition] = {}
    places: dict[tuple[str, int], Definition] = {}
    for definition in found:
        twin = names.setdefault(definition.name, definition)
        if twin is not definition:
            raise DefinitionError(definition.path, definition.name, f"there is an event of this name in {twin.path}")
        twin = places.setdefault((definition.subject, definition.version), definition)
        if twin is not definition:
            what = f"{definition.subject!r} version {definition.version}"
            raise DefinitionError(definition.path, definition.name, f"{what} is {twin.name} in {twin.path} already")
