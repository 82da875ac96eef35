"""The text of the TypeScript modules that differ from package to package; the others are in the folder `typescript`."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from durabus.definitions.generation.names import camel_case, pascal_case, unique_names
from durabus.definitions.generation.plan import EventModule, GenerationError, Plan, needed_names
from durabus.definitions.generation.protobufjs import protobufjs_root
from durabus.definitions.generation.typescript_text import LINE_LENGTH, comment, literal, typescript_string
from durabus.definitions.generation.typescript_types import (
    TypeScriptNames,
    json_shapes,
    named_type_lines,
    typescript_names,
)
from durabus.definitions.generation.writing import MARK
from durabus.definitions.model import Definition, Enumeration, Format, NamedType

__all__ = [
    "HEADER",
    "codec_names",
    "codecs_module",
    "event_module",
    "events_module",
    "index_module",
    "shared_module",
    "static_module",
    "subjects_module",
]

HEADER: Final = f"// {MARK}"
CHANGE: Final = f"{HEADER}: change the definitions, not this file."
_STATIC: Final = Path(__file__).parent / "typescript"
_CODECS: Final = {Format.JSON_SCHEMA: "json", Format.AVRO: "avro", Format.PROTOBUF: "protobuf"}


def static_module(name: str) -> str:
    """A module that is the same in every package."""
    return f"{CHANGE}\n\n{(_STATIC / name).read_text(encoding='utf-8')}"


def _join(blocks: Iterable[Sequence[str]]) -> str:
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"


def subjects_module(plan: Plan) -> str:
    """`enum Subjects`."""
    lines = ["/** Everything that services say to each other. */", "export enum Subjects {"]
    for name, module in zip(subject_names(plan), plan.modules, strict=True):
        lines += comment(module.definition.description, "  ")
        lines.append(f"  {name} = {typescript_string(module.definition.subject)},")
    return _join([[CHANGE], [*lines, "}"]])


def subject_names(plan: Plan) -> list[str]:
    """The members of Subjects, one for each module."""
    return list(unique_names((module.definition.name for module in plan.modules), pascal_case, ()).values())


def codec_names(plan: Plan) -> dict[str, str]:
    """The constants with the codecs of the events, by their names."""
    functions = (f"{kind}Codec" for kind in _CODECS.values())
    names = (module.definition.name for module in plan.modules)
    return unique_names(names, lambda name: f"{camel_case(name)}Codec", functions)


def event_module(module: EventModule, subject: str, codec: str) -> str:
    """The types of one event, and its codec, which is the constant `codec`."""
    definition = module.definition
    names = typescript_names(definition)
    event, *others = module.own
    interface = names.interfaces[event.name]
    used = needed_names(module.own)
    shared = sorted(names.interfaces[one.name] for one in module.shared if one.name in used)
    kind = _CODECS[definition.format]
    imports = [
        _import(["type Codec"], "../codec"),
        _import([f"{kind}Codec"], f"../{kind}"),
        _import(["Subjects"], "../subjects", is_type=True),
        *([_import(shared, "../types", is_type=True)] if shared else []),
    ]
    wrapper = [
        *comment(f"{interface} with the subject that it is published to: for Publisher and Listener."),
        f"export interface {interface}Event {{",
        f"  subject: Subjects.{subject};",
        f"  data: {interface};",
        "}",
    ]
    return _join(
        [
            [f"{HEADER} from {definition.path.name}: change that, not this file."],
            "\n".join(imports).replace("import { type Codec }", "import type { Codec }").split("\n"),
            named_type_lines(event, names),
            wrapper,
            *(named_type_lines(one, names) for one in others),
            *_codec(definition, codec),
        ]
    )


def _codec(definition: Definition, name: str) -> list[list[str]]:
    """The description of an event for its codec, and the codec."""
    kind = _CODECS[definition.format]
    told: object
    match definition.format:
        case Format.JSON_SCHEMA:
            constant, told, arguments = (
                "shapes",
                json_shapes(definition),
                [typescript_string(definition.record.name), "shapes"],
            )
        case Format.AVRO:
            constant, told, arguments = "schema", definition.source, ["schema"]
        case Format.PROTOBUF:
            assert isinstance(definition.source, bytes)
            constant, told = "root", protobufjs_root(definition.source)
            arguments = [typescript_string(definition.message), "root"]
    ending = " as const;" if definition.format is not Format.PROTOBUF else ";"
    lines = _call(f"export const {name}: Codec =", f"{kind}Codec", arguments)
    return [literal(told, f"const {constant} = ", ending), lines]


def _call(start: str, function: str, arguments: Sequence[str]) -> list[str]:
    """A call behind `=`, broken where it must be."""
    call = f"{function}({', '.join(arguments)});"
    if len(f"{start} {call}") <= LINE_LENGTH:
        return [f"{start} {call}"]
    if len(f"{start} {function}(") <= LINE_LENGTH:
        return [f"{start} {function}(", *(f"  {one}," for one in arguments), ");"]
    if len(f"  {call}") <= LINE_LENGTH:
        return [start, f"  {call}"]
    return [start, f"  {function}(", *(f"    {one}," for one in arguments), "  );"]


def _import(names: Sequence[str], module: str, *, is_type: bool = False, keyword: str = "import") -> str:
    word = f"{keyword} type" if is_type else keyword
    line = f'{word} {{ {", ".join(names)} }} from "{module}";'
    if len(line) <= LINE_LENGTH or len(names) == 1:
        return line
    return "\n".join([f"{word} {{", *(f"  {name}," for name in names), f'}} from "{module}";'])


def shared_module(plan: Plan) -> str:
    """The types that several events have."""
    owners = {one.name: module for module in plan.modules for one in module.shared}
    blocks = [named_type_lines(one, typescript_names(owners[one.name].definition)) for one in plan.shared]
    return _join([[CHANGE], *blocks])


def codecs_module(plan: Plan, files: Mapping[str, str]) -> str:
    """The codec of each subject."""
    imports = [_import(["Codec"], "./codec", is_type=True)]
    lines = ["/** How the events of each subject become payloads. */"]
    lines.append("export const codecs: { readonly [S in Subjects]: Codec } = {")
    codecs = codec_names(plan)
    for subject, module in zip(subject_names(plan), plan.modules, strict=True):
        name = codecs[module.definition.name]
        imports.append(_import([name], f"./events/{files[module.definition.name]}"))
        line = f"  [Subjects.{subject}]: {name},"
        lines += [line] if len(line) <= LINE_LENGTH else [f"  [Subjects.{subject}]:", f"    {name},"]
    imports.append(_import(["Subjects"], "./subjects"))
    return _join([[CHANGE], "\n".join(imports).split("\n"), [*lines, "};"]])


def events_module(plan: Plan, files: Mapping[str, str]) -> str:
    """All types of all events, and the union of these."""
    taken: dict[str, int] = {}
    for module in plan.modules:
        for exported in _exports(module.own, typescript_names(module.definition)):
            taken[exported.split(" ")[-1]] = taken.get(exported.split(" ")[-1], 0) + 1
    for one in plan.shared:
        taken[pascal_case(one.name)] = taken.get(pascal_case(one.name), 0) + 1
    exports: list[str] = []
    imports: list[str] = []
    events: list[str] = []
    whole: list[str] = []
    for module in plan.modules:
        names = typescript_names(module.definition)
        interface = names.interfaces[module.own[0].name]
        events.append(f"{interface}Event")
        place = f"./{files[module.definition.name]}"
        imports.append(_import([f"{interface}Event"], place, is_type=True))
        listed = []
        for exported in _exports(module.own, names):
            plain = exported.split(" ")[-1]
            is_event = plain in (interface, f"{interface}Event")
            listed.append(exported if taken[plain] == 1 or is_event else f"{exported} as {interface}{plain}")
        exports += _export(listed, place)
        whole += listed
    if plan.shared:
        owners = {one.name: module for module in plan.modules for one in module.shared}
        listed = [
            exported
            for one in plan.shared
            for exported in _exports([one], typescript_names(owners[one.name].definition))
        ]
        exports += _export(listed, "../types")
        whole += listed
    _refuse_clashes(whole)
    line = f"export type AnyEvent = {' | '.join(events)};"
    union = [line] if len(line) <= LINE_LENGTH else ["export type AnyEvent =", *(f"  | {one}" for one in events)]
    union[-1] = union[-1].removesuffix(";") + ";"
    return _join([[CHANGE], "\n".join(imports).split("\n"), exports, ["/** Any event of this package. */", *union]])


def _refuse_clashes(exported: Iterable[str]) -> None:
    """Raises GenerationError when two types of a package have one name."""
    seen: set[str] = set()
    for name in (one.split(" ")[-1] for one in exported):
        if name in seen:
            raise GenerationError(
                f"two types would be {name} in TypeScript, where Ticket has a TicketEvent beside it; rename one of them"
            )
        seen.add(name)


def _exports(types: Sequence[NamedType], names: TypeScriptNames) -> list[str]:
    """What a module with `types` exports; enumerations are values, too."""
    found: list[str] = []
    for one in types:
        name = names.interfaces[one.name]
        found.append(name if isinstance(one, Enumeration) else f"type {name}")
        if one is names.types[next(iter(names.types))]:
            found.append(f"type {name}Event")
    return found


def _export(names: Sequence[str], module: str) -> list[str]:
    if all(name.startswith("type ") for name in names):
        plain = sorted(name.removeprefix("type ") for name in names)
        return _import(plain, module, is_type=True, keyword="export").split("\n")
    ordered = sorted(names, key=lambda name: name.removeprefix("type "))
    return _import(ordered, module, keyword="export").split("\n")


def index_module() -> str:
    """What a service imports."""
    return _join(
        [
            [CHANGE],
            [
                'export { type Codec, DecodeError, EncodeError } from "./codec";',
                'export { codecs } from "./codecs";',
                'export * from "./events";',
                'export { Listener } from "./listener";',
                'export { Publisher } from "./publisher";',
                'export { Subjects } from "./subjects";',
            ],
        ]
    )


def json_text(value: object) -> str:
    """A file of JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
