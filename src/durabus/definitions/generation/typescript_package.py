"""An npm package from definitions: a module per event, Subjects, Publisher and Listener for node-nats-streaming."""

import json
import re
from pathlib import PurePosixPath
from typing import Final

from durabus.definitions.generation.names import snake_case, unique_names
from durabus.definitions.generation.plan import GenerationError, Plan, refuse_twins
from durabus.definitions.generation.typescript_module import (
    codec_names,
    codecs_module,
    event_module,
    events_module,
    index_module,
    json_text,
    shared_module,
    static_module,
    subject_names,
    subjects_module,
)
from durabus.definitions.generation.writing import MARK
from durabus.definitions.model import Format

__all__ = ["typescript_files"]

_PACKAGE_NAME: Final = re.compile(r"(@[a-z0-9~-][a-z0-9._~-]*/)?[a-z0-9~-][a-z0-9._~-]*")
_LIBRARIES: Final = {Format.AVRO: {"avsc": "^5.7.9"}, Format.PROTOBUF: {"protobufjs": "^8.8.1"}}
_STATIC: Final = {
    Format.JSON_SCHEMA: ("json.ts", "json-text.ts"),
    Format.AVRO: ("avro.ts",),
    Format.PROTOBUF: ("protobuf.ts",),
}


def typescript_files(plan: Plan, package: str, version: str = "1.0.0") -> dict[PurePosixPath, str]:
    """The text of each file by its path in the package; raises GenerationError."""
    if not _PACKAGE_NAME.fullmatch(package):
        raise GenerationError(
            f"{package!r} is no name of an npm package: lower case, as ticketing-common or @ticketing/common"
        )
    refuse_twins([module.definition for module in plan.modules], "subject")
    names = (module.definition.name for module in plan.modules)
    files = unique_names(names, lambda name: snake_case(name).replace("_", "-"), ("index",))
    texts = {
        "package.json": _package(plan, package, version),
        "tsconfig.json": _tsconfig(),
        "src/index.ts": index_module(),
        "src/subjects.ts": subjects_module(plan),
        "src/codecs.ts": codecs_module(plan, files),
        "src/events/index.ts": events_module(plan, files),
    }
    if plan.shared:
        texts["src/types.ts"] = shared_module(plan)
    for name in ("codec.ts", "publisher.ts", "listener.ts", *(one for kind in plan.formats for one in _STATIC[kind])):
        texts[f"src/{name}"] = static_module(name)
    codecs = codec_names(plan)
    for subject, module in zip(subject_names(plan), plan.modules, strict=True):
        name = module.definition.name
        texts[f"src/events/{files[name]}.ts"] = event_module(module, subject, codecs[name])
    return {PurePosixPath(path): texts[path] for path in sorted(texts)}


def _package(plan: Plan, package: str, version: str) -> str:
    dependencies: dict[str, str] = {}
    for kind in (Format.AVRO, Format.PROTOBUF):
        if kind in plan.formats:
            dependencies |= _LIBRARIES[kind]
    return json_text(
        {
            "name": package,
            "version": version,
            "description": f"{MARK}: change the definitions, not this package",
            "main": "./build/index.js",
            "types": "./build/index.d.ts",
            "files": ["build"],
            "engines": {"node": ">=18"},
            "scripts": {"build": "tsc", "prepack": "tsc"},
            **({"dependencies": dependencies} if dependencies else {}),
            "peerDependencies": {"node-nats-streaming": ">=0.3.2"},
            "devDependencies": {"@types/node": ">=18", "typescript": ">=5.0"},
        }
    )


def _tsconfig() -> str:
    options = {
        "target": "es2022",
        "lib": ["es2022"],
        "module": "nodenext",
        "types": ["node"],
        "rootDir": "src",
        "outDir": "build",
        "declaration": True,
        "strict": True,
        "noUncheckedIndexedAccess": True,
        "exactOptionalPropertyTypes": True,
        "noImplicitOverride": True,
        "noPropertyAccessFromIndexSignature": True,
        "skipLibCheck": True,
    }
    lines = [f"    {json.dumps(name)}: {json.dumps(value)}" for name, value in options.items()]
    # Arrays stay on their line, as prettier has them in this file.
    return '{\n  "compilerOptions": {\n' + ",\n".join(lines) + '\n  },\n  "include": ["src"]\n}\n'
