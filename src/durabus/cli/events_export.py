"""`durabus events export MODULE --to DIR`: definitions of the events of a Python module."""

import sys
from pathlib import Path

from durabus.cli import main as program
from durabus.cli.words import Usage
from durabus.definitions.export import export_module

__all__ = ["export_events"]


def export_events(usage: Usage) -> int:
    """Write the files that are not as they should be, or with `--check` only name them; returns the exit code."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)  # as `python -m` does
    folder = Path(usage.options["--to"])
    files = export_module(usage.words["MODULE"])
    changed = [name for name, text in files.items() if _text(folder / name) != text]
    if "--check" in usage.options:
        for name in changed:
            program.say(program.one_line(f"{folder / name} is not what the classes say: export again"), sys.stdout)
        return program.EXIT_ERROR if changed else program.EXIT_OK
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        if name in changed:
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
        program.say(program.one_line(f"{folder / name}{'' if name in changed else ' is as it was'}"), sys.stdout)
    return program.EXIT_OK


def _text(path: Path) -> str | None:
    """What a file has; None when it is not there, or has no text."""
    try:
        return path.read_bytes().decode()
    except (FileNotFoundError, UnicodeDecodeError):
        return None
