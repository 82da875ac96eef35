"""`durabus events check OLD NEW`: what a comparison of definitions found, for people and for machines."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from durabus.cli import main as program
from durabus.cli.words import Usage
from durabus.config.flags import UsageError
from durabus.config.units import quote
from durabus.definitions.compatibility import EventVerdict, Finding, Mode, Verdicts, check
from durabus.definitions.folder import read_definitions

__all__ = ["check_events", "json_text", "text_lines"]

_FORMATS = ("text", "json")


def check_events(usage: Usage) -> int:
    """Print what was found; returns 0 when all events are compatible in the mode, or else 1."""
    words = [mode.value for mode in Mode]
    chosen = usage.options.get("--mode", Mode.FULL.value)
    if chosen not in words:
        raise UsageError(f"--mode is {quote(chosen)}; there are {', '.join(words)}")
    mode = Mode(chosen)
    form = usage.options.get("--format", _FORMATS[0])
    if form not in _FORMATS:
        raise UsageError(f"--format is {quote(form)}; there are {', '.join(_FORMATS)}")
    verdicts = check(read_definitions(Path(usage.words["OLD"])), read_definitions(Path(usage.words["NEW"])))
    shown = json_text(verdicts, mode) if form == "json" else "\n".join(text_lines(verdicts, mode))
    program.say(shown, sys.stdout)
    return program.EXIT_OK if verdicts.is_compatible(mode) else program.EXIT_ERROR


def text_lines(verdicts: Verdicts, mode: Mode) -> list[str]:
    """For people: each event, what was found of it, and how many are well."""
    lines: list[str] = []
    for event in verdicts.events:
        lines.append(program.one_line(f"{event.name}: {_outcome(event)}"))
        lines += [program.one_line(f"    {_line(finding)}") for finding in event.findings]
    bad = [event for event in verdicts.events if not event.is_compatible(mode)]
    count = len(verdicts.events)
    whole = f"{count} event" if count == 1 else f"{count} events"
    asked = "fully" if mode is Mode.FULL else mode.value
    lines.append(f"{whole}: {len(bad)} not {asked} compatible" if bad else f"{whole}: {asked} compatible")
    return lines


def json_text(verdicts: Verdicts, mode: Mode) -> str:
    """For machines: the same as a JSON document."""
    events = [
        {
            "name": event.name,
            "change": event.change,
            "compatibility": event.summary,
            "isCompatible": event.is_compatible(mode),
            "findings": [
                {"path": finding.path, "reason": finding.reason, "breaks": _names(finding)}
                for finding in event.findings
            ],
        }
        for event in verdicts.events
    ]
    document = {"mode": mode.value, "isCompatible": verdicts.is_compatible(mode), "events": events}
    return json.dumps(document, indent=2, ensure_ascii=False)


def _outcome(event: EventVerdict) -> str:
    match event.change:
        case "added":
            return "added"
        case "removed":
            return "removed, incompatible"
        case "same":
            return "the same"
    words = {"full": "fully compatible", "incompatible": "incompatible"}
    return words.get(event.summary, f"{event.summary} compatible only")


def _line(finding: Finding) -> str:
    breaks = _names(finding)
    what = f"breaks {' and '.join(breaks)}" if breaks else "note"
    return f"{what}: {finding.path + ': ' if finding.path else ''}{finding.reason}"


def _names(finding: Finding) -> Sequence[str]:
    return sorted(direction.value for direction in finding.breaks)
