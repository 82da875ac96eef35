"""The text of one generated Python module, formatted as ruff formats it with a line length of 120."""

import base64
import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from durabus.definitions.generation.avro_names import avro_names
from durabus.definitions.generation.names import (
    PYTHON_KEYWORDS,
    msgspec_camel_case,
    pascal_case,
    snake_case,
    unique_names,
    upper_case,
)
from durabus.definitions.generation.plan import GenerationError, may_be_left_out
from durabus.definitions.generation.python_types import (
    Annotation,
    Expression,
    Imports,
    PythonNames,
    default_expression,
    python_string,
    python_type,
)
from durabus.definitions.model import (
    Definition,
    Enumeration,
    Field,
    Format,
    Literal,
    NamedType,
    Nullable,
    Record,
    Reference,
    Type,
    Union,
)

__all__ = ["LINE_LENGTH", "docstring", "import_lines", "python_names", "schema_lines", "type_lines"]

LINE_LENGTH: Final = 120
AVRO_TAG: Final = "-type"
_DOC_WIDTH: Final = 100
_INDENT: Final = "    "
_PAIR_END: Final = (
    ",\0"  # between what is renamed: names on the wire may have commas and blanks, but this stands in no literal
)

# A field of one of these names would hide from the fields below it what their types are made of.
_USED_IN_CLASSES: Final = PYTHON_KEYWORDS | {
    "Annotated", "Any", "Literal", "Union", "bool", "bytes", "datetime", "dict", "enum", "float", "int", "list", "msgspec", "str", "uuid",
}  # fmt: skip
_USED_IN_MODULES: Final = _USED_IN_CLASSES | {"AvroSchema", "Event", "ProtobufSchema", "base64", "event", "SCHEMA"}
_MEMBERS_OF_ENUM: Final = PYTHON_KEYWORDS | {"mro"}


def python_names(definition: Definition) -> PythonNames:
    """How the types, fields and symbols of a definition are called in Python."""
    types = {one.name: one for one in definition.types}
    classes = unique_names(types, pascal_case, _USED_IN_MODULES)
    attributes: dict[str, dict[str, str]] = {}
    members: dict[str, dict[str, str]] = {}
    taken = _USED_IN_CLASSES | set(classes.values())
    for one in definition.types:
        if isinstance(one, Record):
            attributes[one.name] = unique_names((field.name for field in one.fields), snake_case, taken)
        else:
            members[one.name] = unique_names((symbol.name for symbol in one.symbols), upper_case, _MEMBERS_OF_ENUM)
    tags = _tags(types) if definition.format is Format.JSON_SCHEMA else {}
    if definition.format is Format.AVRO:
        tags = _avro_tags(definition, types)
    return PythonNames(types, classes, attributes, members, tags, definition.format)


def _tags(types: Mapping[str, NamedType]) -> dict[str, tuple[str, str | int]]:
    """For the records of each union, the field of one name in which each has a constant of its own."""
    found: dict[str, tuple[str, str | int]] = {}
    for named in types.values():
        if not isinstance(named, Record):
            continue
        for field in named.fields:
            for records in _unions_of_records(field.type, types):
                for name, tag in _tags_of(records).items():
                    if found.setdefault(name, tag) != tag:
                        raise GenerationError(f"{name} is in two unions that tell it from others by different fields")
    return found


def _avro_tags(definition: Definition, types: Mapping[str, NamedType]) -> dict[str, tuple[str, str | int]]:
    """For the records of each union the full name, under the name that the codec for Avro has for it."""
    full_names = dict(zip(types, avro_names(definition.source), strict=True))
    return {
        record.name: (AVRO_TAG, full_names[record.name])
        for named in types.values()
        if isinstance(named, Record)
        for field in named.fields
        for records in _unions_of_records(field.type, types)
        for record in records
    }


def _unions_of_records(type_: Type, types: Mapping[str, NamedType]) -> Iterable[list[Record]]:
    if isinstance(type_, Union):
        named = [types[one.name] for one in type_.types if isinstance(one, Reference)]
        records = [one for one in named if isinstance(one, Record)]
        if len(records) > 1:
            yield records
        for one in type_.types:
            yield from _unions_of_records(one, types)
    else:
        for attribute in ("items", "values", "type"):
            inner = getattr(type_, attribute, None)
            if inner is not None and not isinstance(type_, Literal):
                yield from _unions_of_records(inner, types)


def _tags_of(records: Sequence[Record]) -> dict[str, tuple[str, str | int]]:
    for candidate in records[0].fields:
        tags: dict[str, tuple[str, str | int]] = {}
        for record in records:
            for field in record.fields:
                if field.name == candidate.name and field.is_required:
                    value = _constant(field.type)
                    if value is not None:
                        tags[record.name] = (field.name, value)
        if len(tags) == len(records) and len({value for _, value in tags.values()}) == len(records):
            return tags
    return {}


def _constant(type_: Type) -> str | int | None:
    if isinstance(type_, Literal) and len(type_.values) == 1 and not isinstance(type_.values[0], bool):
        return type_.values[0]
    return None


def docstring(text: str, indent: str, otherwise: str = "") -> list[str]:
    """A docstring of one or several lines; none for an empty text without another."""
    paragraphs = [" ".join(part.split()) for part in text.split("\n\n")]
    lines: list[str] = []
    for paragraph in filter(None, paragraphs):
        lines += [*([""] if lines else []), *textwrap.wrap(paragraph, _DOC_WIDTH, break_long_words=False)]
    if not lines:
        lines = [otherwise] if otherwise else []
    if not lines:
        return []
    lines = [line.replace("\\", "\\\\").replace('"""', '\\"\\"\\"') for line in lines]
    if len(lines) == 1:
        end = ' """' if lines[0].endswith('"') else '"""'  # a formatter puts that blank there
        start = '""" ' if lines[0].startswith('"') else '"""'
        return [f"{indent}{start}{lines[0]}{end}"]
    first = f" {lines[0]}" if lines[0].startswith('"') else lines[0]
    return [f'{indent}"""{first}', *(f"{indent}{line}" if line else "" for line in lines[1:]), f'{indent}"""']


def type_lines(named: NamedType, names: PythonNames, imports: Imports, decorator: Sequence[str] = ()) -> list[str]:
    """The class of a record or an enumeration."""
    if isinstance(named, Enumeration):
        return _enumeration_lines(named, names, imports)
    return _record_lines(named, names, imports, decorator)


def _enumeration_lines(named: Enumeration, names: PythonNames, imports: Imports) -> list[str]:
    imports.add("enum")
    values = [symbol.value for symbol in named.symbols]
    base = "enum.Enum"
    if all(isinstance(value, str) for value in values):
        base = "enum.StrEnum"
    elif all(isinstance(value, int) for value in values):
        base = "enum.IntEnum"
    described = docstring(named.description, _INDENT)
    lines = [f"class {names.classes[named.name]}({base}):", *described, *([""] if described else [])]
    for symbol in named.symbols:
        value = python_string(symbol.value) if isinstance(symbol.value, str) else repr(symbol.value)
        lines.append(f"{_INDENT}{names.members[named.name][symbol.name]} = {value}")
        lines += docstring(symbol.description, _INDENT)
    return lines


def _record_lines(named: Record, names: PythonNames, imports: Imports, decorator: Sequence[str]) -> list[str]:
    attributes = names.attributes[named.name]
    tag = names.tags.get(named.name)
    fields = [field for field in named.fields if tag is None or field.name != tag[0]]
    if decorator:
        imports.add("durabus.events", "Event", "event")
        base, options = "Event", []
    else:
        imports.add("msgspec")
        base, options = "msgspec.Struct", ["frozen=True", "kw_only=True"]
    options += _rename_option(fields, attributes)
    leaves_out = names.format is Format.JSON_SCHEMA and any(_is_left_out(field) for field in fields)
    if leaves_out:
        options.append("omit_defaults=True")
    if not named.allows_more and names.format is Format.JSON_SCHEMA:
        options.append("forbid_unknown_fields=True")
    if tag is not None:
        value = python_string(tag[1]) if isinstance(tag[1], str) else repr(tag[1])
        options += [f"tag_field={python_string(tag[0])}", f"tag={value}"]
    lines = [*decorator, *_class_line(names.classes[named.name], [base, *options])]
    body: list[str] = []
    for field in fields:
        try:
            body += _field_lines(field, attributes[field.name], names, imports, leaves_out=leaves_out)
        except GenerationError as error:
            raise GenerationError(f"{named.name}.{field.name}: {error}") from None
    described = docstring(named.description, _INDENT, "" if body else f"{named.name} has no fields.")
    return [*lines, *described, *([""] if described and body else []), *body]


def _class_line(name: str, arguments: Sequence[str]) -> list[str]:
    line = f"class {name}({', '.join(arguments)}):".replace(_PAIR_END, ", ")
    if len(line) <= LINE_LENGTH:
        return [line]
    lines: list[str] = []
    for argument in arguments:
        whole = f"{_INDENT}{argument},".replace(_PAIR_END, ", ")
        if len(whole) > LINE_LENGTH and argument.startswith("rename={"):
            pairs = argument.removeprefix("rename={").removesuffix("}").split(_PAIR_END)
            lines += [f"{_INDENT}rename={{", *(f"{_INDENT * 2}{pair}," for pair in pairs), f"{_INDENT}}},"]
        else:
            lines.append(whole)
    return [f"class {name}(", *lines, "):"]


def _rename_option(fields: Sequence[Field], attributes: Mapping[str, str]) -> list[str]:
    """How the attributes become the names on the wire, in the shortest way."""
    differing = {attributes[field.name]: field.name for field in fields if attributes[field.name] != field.name}
    if not differing:
        return []
    if all(msgspec_camel_case(attributes[field.name]) == field.name for field in fields):
        return ['rename="camel"']
    pairs = _PAIR_END.join(f"{python_string(key)}: {python_string(value)}" for key, value in differing.items())
    return [f"rename={{{pairs}}}"]


def _is_left_out(field: Field) -> bool:
    """Whether None stands for a field that is absent, which must not be written as null."""
    return not field.is_required and not field.has_default


def _field_lines(field: Field, attribute: str, names: PythonNames, imports: Imports, *, leaves_out: bool) -> list[str]:
    type_ = field.type
    value = Expression("")
    if may_be_left_out(field, names.format):
        if field.has_default:
            value = default_expression(field, names, imports)
            if leaves_out and field.default is not None and "default_factory" not in value.text:
                # With omit_defaults only None is to be left out: what an event says must not change with a default.
                imports.add("msgspec")
                value = Expression("msgspec.field(", (f"default_factory=lambda: {value.text}",), ")")
        else:
            type_ = type_ if isinstance(type_, Nullable) else Nullable(type_)
            value = Expression("None")
    annotation = python_type(type_, names, imports)
    return [*_assignment(attribute, annotation, value), *docstring(field.description, _INDENT)]


def _assignment(attribute: str, annotation: Annotation, value: Expression) -> list[str]:
    """A field, broken as ruff breaks it where it does not fit on one line."""
    start = f"{_INDENT}{attribute}: "
    end = f" = {value.text}" if value.text else ""
    if len(start + annotation.text + end) <= LINE_LENGTH:
        return [start + annotation.text + end]
    if value.items:
        return _broken_value(f"{start}{annotation.text} = ", value)
    if len(annotation.parts) > 1:
        deeper = _INDENT * 2
        flat = deeper + annotation.text
        lines = [flat] if len(flat) <= LINE_LENGTH else _broken_parts(annotation, deeper)
        return [f"{start}(", *lines, f"{_INDENT}){end}"]
    if annotation.literals:
        members = (f"{_INDENT * 2}{one}," for one in annotation.literals)
        return [f"{start}Literal[", *members, f"{_INDENT}]{end}"]
    if value.text and len(_INDENT * 2 + value.text) <= LINE_LENGTH:
        return [f"{start}{annotation.text} = (", f"{_INDENT * 2}{value.text}", f"{_INDENT})"]
    return [start + annotation.text + end]


def _broken_parts(annotation: Annotation, indent: str) -> list[str]:
    """The members of a union below each other, and the values of a Literal that is too long likewise."""
    first, *others = annotation.parts
    lines = [indent + first]
    if annotation.literals and len(lines[0]) > LINE_LENGTH:
        lines = [f"{indent}Literal[", *(f"{indent}{_INDENT}{one}," for one in annotation.literals), f"{indent}]"]
    return [*lines, *(f"{indent}| {one}" for one in others)]


def _broken_value(start: str, value: Expression) -> list[str]:
    """A call or a list that does not fit behind its `=`."""
    inner, deeper = _INDENT * 2, _INDENT * 3
    items = ", ".join(value.items)
    if not value.opening.startswith("msgspec.field(default"):
        return [start + value.opening, inner + items, _INDENT + value.closing]
    whole = value.text.removeprefix("msgspec.field(").removesuffix(")")
    if len(inner + whole) <= LINE_LENGTH:
        return [f"{start}msgspec.field(", inner + whole, f"{_INDENT})"]
    opening = value.opening.removeprefix("msgspec.field(")
    lines = [f"{deeper}{one}," for one in value.items]
    return [f"{start}msgspec.field(", inner + opening, *lines, inner + value.closing.removesuffix(")"), f"{_INDENT})"]


def import_lines(imports: Imports, first_party: Mapping[str, Iterable[str]]) -> list[str]:
    """The import statements: the standard library, other packages, modules beside this one."""
    standard = [f"import {name}" for name in sorted(imports.modules) if name != "msgspec"]
    standard += [_from(name, imports.names[name]) for name in sorted(imports.names) if name == "typing"]
    foreign = [f"import {name}" for name in sorted(imports.modules) if name == "msgspec"]
    own = [_from(name, imports.names[name]) for name in sorted(imports.names) if name != "typing"]
    # As isort orders them: `import x` before `from x import y`.
    blocks = [standard, [*foreign, *own], [_from(name, those) for name, those in sorted(first_party.items()) if those]]
    lines: list[str] = []
    for block in filter(None, blocks):
        lines += [*([""] if lines else []), *"\n".join(block).split("\n")]
    return lines


def _from(module: str, names: Iterable[str]) -> str:
    ordered = sorted(names, key=lambda name: (0 if name.isupper() else 1 if name[:1].isupper() else 2, name))
    line = f"from {module} import {', '.join(ordered)}"
    if len(line) <= LINE_LENGTH:
        return line
    return "\n".join([f"from {module} import (", *(f"{_INDENT}{name}," for name in ordered), ")"])


def schema_lines(definition: Definition, imports: Imports) -> list[str]:
    """The schema that payloads of Avro and Protobuf are written with, as a constant SCHEMA; nothing for JSON."""
    if definition.format is Format.AVRO:
        imports.add("durabus.events", "AVRO", "AvroSchema")
        text = json.dumps(definition.source, indent=2)
        return ["SCHEMA = AvroSchema(", '    r"""', *text.split("\n"), '"""', ")"]
    if definition.format is Format.PROTOBUF:
        assert isinstance(definition.source, bytes)
        imports.add("base64")
        imports.add("durabus.events", "PROTOBUF", "ProtobufSchema")
        encoded = base64.b64encode(definition.source).decode("ascii")
        message = python_string(definition.message)
        width = LINE_LENGTH - len(_INDENT) * 2 - 2
        if len(encoded) <= width:
            decoded = [f'{_INDENT * 2}"{encoded}"']
        else:
            decoded = [f'{_INDENT * 2}"{encoded[at : at + width]}"' for at in range(0, len(encoded), width)]
        return [
            "SCHEMA = ProtobufSchema(",
            f"{_INDENT}{message},",
            f"{_INDENT}base64.b64decode(",
            *decoded,
            f"{_INDENT}),",
            ")",
        ]
    return []
