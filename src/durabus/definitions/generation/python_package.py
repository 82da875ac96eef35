"""A folder of Python modules, or a package to install, from definitions: one module per event."""

import re
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final

from durabus.definitions.generation.names import PYTHON_KEYWORDS, identifier, snake_case, unique_names
from durabus.definitions.generation.plan import EventModule, GenerationError, Plan, needed_names
from durabus.definitions.generation.python_module import (
    LINE_LENGTH,
    import_lines,
    python_names,
    schema_lines,
    type_lines,
)
from durabus.definitions.generation.python_types import Imports, PythonNames, python_string
from durabus.definitions.generation.writing import MARK
from durabus.definitions.model import Definition, Format, NamedType
from durabus.version import VERSION

__all__ = ["HEADER", "python_files"]

HEADER: Final = f"# {MARK}"
_PACKAGE_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_SHARED: Final = "types"
_ENCODINGS: Final = {Format.AVRO: "AVRO", Format.PROTOBUF: "PROTOBUF"}
_EXTRAS: Final = {Format.AVRO: "avro", Format.PROTOBUF: "protobuf"}


def python_files(plan: Plan, package: str = "", version: str = "1.0.0") -> dict[PurePosixPath, str]:
    """The text of each file by its path. With the name of a package they can be installed; without one the folder itself is imported.

    Raises GenerationError.
    """
    top = PurePosixPath()
    files: dict[PurePosixPath, str] = {}
    if package:
        if not _PACKAGE_NAME.fullmatch(package):
            raise GenerationError(
                f"{package!r} is no name of a Python package: letters, digits, and . _ - between them"
            )
        imported = identifier(re.sub(r"[^a-z0-9]+", "_", package.lower()), "events_")
        imported = f"{imported}_" if imported in PYTHON_KEYWORDS else imported
        files[top / "pyproject.toml"] = _pyproject(plan, package, imported, version)
        top = top / "src" / imported
    modules = unique_names(
        (module.definition.name for module in plan.modules), snake_case, {*PYTHON_KEYWORDS, _SHARED, "__init__"}
    )
    if plan.shared:
        files[top / f"{_SHARED}.py"] = _shared_module(plan)
    for module in plan.modules:
        files[top / f"{modules[module.definition.name]}.py"] = _event_module(module)
    files[top / "__init__.py"] = _gathering_module(plan, modules)
    files[top / "py.typed"] = ""
    return dict(sorted(files.items()))


def _head(definition: Definition | None) -> str:
    """What a generated file says of itself; the name of the file only, so that it is the same wherever it is made."""
    if definition is None:
        return f"{HEADER}: change the definitions, not this file."
    return f"{HEADER} from {definition.path.name}: change that, not this file."


def _join(blocks: Sequence[Sequence[str]], gaps: Sequence[int]) -> str:
    """Blocks of lines, each behind its number of empty lines."""
    lines: list[str] = []
    for block, gap in zip(blocks, gaps, strict=True):
        if block:
            lines += [*([""] * gap if lines else []), *block]
    return "\n".join(lines) + "\n"


def _shared_module(plan: Plan) -> str:
    imports = Imports()
    classes: list[list[str]] = []
    ordered, has_circle = _in_order(plan.shared, plan.modules[0].own[0])
    for one in ordered:
        definition = next(module.definition for module in plan.modules if one in module.shared)
        try:
            classes.append(type_lines(one, python_names(definition), imports))
        except GenerationError as error:
            raise GenerationError(f"{definition.path}: {error}") from None
    return _join(
        [
            [_head(None), '"""What several events have in common."""'],
            ["from __future__ import annotations"] if has_circle else [],
            import_lines(imports, {}),
            _all_lines(sorted(_class_names(plan).values())),
            *classes,
        ],
        [0, 1, 1, 1, *(2 for _ in classes)],
    )


def _class_names(plan: Plan) -> dict[str, str]:
    """The classes of what is shared."""
    found: dict[str, str] = {}
    for module in plan.modules:
        names = python_names(module.definition)
        found.update((one.name, names.classes[one.name]) for one in module.shared)
    return found


def _event_module(module: EventModule) -> str:
    definition = module.definition
    names = python_names(definition)
    imports = Imports()
    schema = schema_lines(definition, imports)
    event, *others = module.own
    ordered, has_circle = _in_order(others, event)
    try:
        classes = [type_lines(one, names, imports) for one in ordered]
        classes.append(type_lines(event, names, imports, _decorator(definition, names, imports)))
    except GenerationError as error:
        raise GenerationError(f"{definition.path}: {error}") from None
    used = needed_names(module.own)
    beside = {names.classes[one.name] for one in module.shared if one.name in used}
    exported = sorted(beside | {names.classes[one.name] for one in module.own})
    subject = definition.subject.replace("\\", "\\\\").replace('"', '\\"')
    summary = f'"""{subject}, version {definition.version}."""'
    return _join(
        [
            [_head(definition), summary],
            ["from __future__ import annotations"] if has_circle else [],
            import_lines(imports, {f".{_SHARED}": beside}),
            _all_lines(exported),
            schema,
            *classes,
        ],
        [0, 1, 1, 1, 1, *(2 for _ in classes)],
    )


def _decorator(definition: Definition, names: PythonNames, imports: Imports) -> list[str]:
    """`@event(...)` above the class of an event."""
    attributes = names.attributes[definition.types[0].name]
    arguments = [python_string(definition.subject), f"version={definition.version}"]
    if definition.format in _ENCODINGS:
        arguments += [f"encoding={_ENCODINGS[definition.format]}", "schema=SCHEMA"]
    if definition.identity:
        missing = [name for name in definition.identity if name not in attributes]
        if missing:
            raise GenerationError(f"identity names {missing[0]!r}, which is no field of {definition.name}")
        identity = tuple(attributes[name] for name in definition.identity)
        if identity != ("event_id",):
            shown = ", ".join(python_string(name) for name in identity)
            arguments.append(f"identity=({shown})" if len(identity) > 1 else f"identity={shown}")
    line = f"@event({', '.join(arguments)})"
    if len(line) <= LINE_LENGTH:
        return [line]
    return ["@event(", *(f"    {one}," for one in arguments), ")"]


def _in_order(types: Sequence[NamedType], event: NamedType) -> tuple[list[NamedType], bool]:
    """Types before those that mention them, and whether some mention each other, so that no order is right."""
    waiting = list(types)
    done: list[NamedType] = []
    has_circle = event.name in needed_names([*types, event])
    while waiting:
        names = {one.name for one in waiting}
        ready = [one for one in waiting if not needed_names([one]) & names]
        if not ready:
            has_circle = True
            ready = waiting
        done += ready
        waiting = [one for one in waiting if one not in ready]
    return done, has_circle


def _all_lines(names: Sequence[str]) -> list[str]:
    line = f"__all__ = [{', '.join(python_string(name) for name in names)}]"
    if len(line) <= LINE_LENGTH:
        return [line]
    return ["__all__ = [", *(f"    {python_string(name)}," for name in names), "]"]


def _gathering_module(plan: Plan, modules: Mapping[str, str]) -> str:
    """`__init__.py`: every event, and what several have in common."""
    beside: dict[str, set[str]] = {}
    for module in plan.modules:
        event = module.definition.types[0].name
        beside[f".{modules[module.definition.name]}"] = {python_names(module.definition).classes[event]}
    shared = set(_class_names(plan).values())
    if shared:
        beside[f".{_SHARED}"] = shared
    exported = sorted(set().union(*beside.values()))
    summary = '"""Events, one module for each."""'
    return _join([[_head(None), summary], import_lines(Imports(), beside), _all_lines(exported)], [0, 1, 1])


def _pyproject(plan: Plan, package: str, imported: str, version: str) -> str:
    extras = sorted(_EXTRAS[one] for one in plan.formats if one in _EXTRAS)
    durabus = f"durabus[{','.join(extras)}]" if extras else "durabus"
    return f'''\
{HEADER}: change the definitions, not this file.

[build-system]
requires = ["setuptools>=80"]
build-backend = "setuptools.build_meta"

[project]
name = "{package}"
version = {python_string(version)}
description = "Events as typed classes"
requires-python = ">=3.11"
dependencies = ["{durabus}>={VERSION}"]

[tool.setuptools.packages.find]
where = ["src"]

[tool.setuptools.package-data]
{imported} = ["py.typed"]
'''
