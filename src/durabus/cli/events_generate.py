"""`durabus events generate` and `durabus events docs`: code and a document from definitions."""

import re
import sys
from pathlib import Path, PurePosixPath
from typing import Final

from durabus.cli import main as program
from durabus.cli.words import Usage
from durabus.config.flags import UsageError
from durabus.definitions.folder import read_definitions
from durabus.definitions.generation.asyncapi import asyncapi_text
from durabus.definitions.generation.plan import make_plan
from durabus.definitions.generation.python_package import python_files
from durabus.definitions.generation.typescript_package import typescript_files
from durabus.definitions.generation.writing import compare, write

__all__ = ["document_events", "generate_events"]

_VERSION: Final = "1.0.0"
_VERSION_NUMBER: Final = re.compile(r"\d+\.\d+\.\d+([-.+]?[0-9A-Za-z.+-]+)?", re.ASCII)


def generate_events(usage: Usage) -> int:
    """Write Python and TypeScript, or with `--check` say what is not up to date; returns the exit code."""
    if not {"--python", "--typescript"} & usage.options.keys():
        raise UsageError("`durabus events generate` needs --python DIR, or --typescript DIR, or both")
    for language in ("--python", "--typescript"):
        if f"{language}-package" in usage.options and language not in usage.options:
            raise UsageError(f"{language}-package without {language} DIR")
    plan = make_plan(read_definitions(Path(usage.words["DEFINITIONS"])))
    version = usage.options.get("--package-version", _VERSION)
    if not _VERSION_NUMBER.fullmatch(version):
        raise UsageError(f"--package-version is {version!r}; npm and pip both take numbers such as {_VERSION}")
    targets: list[tuple[Path, dict[PurePosixPath, str]]] = []
    if "--python" in usage.options:
        python = python_files(plan, usage.options.get("--python-package", ""), version)
        targets.append((Path(usage.options["--python"]), python))
    if "--typescript" in usage.options:
        folder = Path(usage.options["--typescript"])
        if folder.resolve().is_relative_to(Path(usage.words["DEFINITIONS"]).resolve()):
            raise UsageError(f"{folder} is in the folder of definitions, where its package.json would be taken for one")
        package = usage.options.get("--typescript-package", "") or folder.resolve().name.lower()
        targets.append((folder, typescript_files(plan, package, version)))
    differences = [
        compare(folder, files) for folder, files in targets
    ]  # what is in the way is told before anything is written
    changed = [path for difference in differences for path in difference.changed]
    superfluous = [path for difference in differences for path in difference.superfluous]
    if "--check" in usage.options:
        for path in changed:
            program.say(f"{path} is not up to date", sys.stdout)
        for path in superfluous:
            program.say(f"{path} is of a definition that is gone", sys.stdout)
        return program.EXIT_ERROR if changed or superfluous else program.EXIT_OK
    for folder, files in targets:
        write(folder, files)
    for path in changed:
        program.say(f"{path} written", sys.stdout)
    for path in superfluous:
        program.say(f"{path} removed", sys.stdout)
    return program.EXIT_OK


def document_events(usage: Usage) -> int:
    """Write an AsyncAPI document, to standard output without `--to`; returns the exit code."""
    if "--check" in usage.options and "--to" not in usage.options:
        raise UsageError("`durabus events docs --check` needs --to FILE, the file that is checked")
    title = usage.options.get("--title", "Events")
    version = usage.options.get("--document-version", _VERSION)
    text = asyncapi_text(read_definitions(Path(usage.words["DEFINITIONS"])), title, version)
    if "--to" not in usage.options:
        return program.say(text, sys.stdout)
    path = Path(usage.options["--to"])
    is_current = path.exists() and path.read_bytes() == text.encode()
    if "--check" in usage.options:
        if not is_current:
            program.say(f"{path} is not up to date", sys.stdout)
        return program.EXIT_OK if is_current else program.EXIT_ERROR
    if not is_current:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return program.EXIT_OK
