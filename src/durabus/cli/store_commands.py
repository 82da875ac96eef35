"""`durabus store …`: what an operator does to a store by hand. What was found is printed, how far it is goes to standard error.

The exit code is 0 when all is well, and 1 when something is damaged, or could not be done.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Final

from durabus.cli import main as program
from durabus.cli.store_output import check_lines, copy_lines, shown_bytes
from durabus.cli.store_words import COMMANDS, parse_words, store_help
from durabus.cli.words import Usage
from durabus.config.flags import UsageError
from durabus.config.units import quote
from durabus.errors import DurabusError, StoreError
from durabus.stores import administration
from durabus.stores.copying import CopyReport
from durabus.stores.places import BACKUP, Place, parse_place

__all__ = ["store"]

_HELP: Final = "durabus store help"
_HELP_WORDS: Final = ("--help", "-help", "-h")


def store(words: Sequence[str]) -> int:
    """Do what `words`, those behind `durabus store`, say; returns the exit code."""
    if not words:
        return program.fail("a command for the store is missing", _HELP)
    if words[0] in ("help", *_HELP_WORDS):
        return program.say(store_help(), sys.stdout)
    if words[0] not in COMMANDS:
        return program.fail(f"unrecognized command for the store: {quote(words[0])}", _HELP)
    if any(word in _HELP_WORDS for word in words[1:]):
        return program.say(store_help(words[0]), sys.stdout)
    try:
        usage = parse_words(words[0], words[1:])
    except UsageError as error:
        return program.fail(str(error), f"durabus store {words[0]} --help")
    return _run(_WORK[words[0]], usage)


def _run(work: Callable[[Usage], Coroutine[Any, Any, int]], usage: Usage) -> int:
    """Do `work`. Whatever goes wrong is one line; who is told to end puts things in order first."""
    former = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return asyncio.run(work(usage))
    except KeyboardInterrupt:
        program.complain("interrupted; the same command can be given again")
        return program.EXIT_INTERRUPTED
    except DurabusError as error:
        return program.complain(str(error))
    except OSError as error:
        what = (error.strerror or str(error)).lower()
        return program.complain(f"{what}: {error.filename}" if error.filename else what)
    except Exception as error:
        if os.environ.get(program.TRACEBACK_SWITCH):
            raise
        shown = f"{type(error).__name__}: {error}"
        return program.complain(
            f"internal error, please report it with what {program.TRACEBACK_SWITCH}=1 shows: {shown}"
        )
    finally:
        signal.signal(signal.SIGTERM, former)


def _place(usage: Usage, name: str) -> Place:
    """The store that a word, or an option, names."""
    text = usage.options[name] if name.startswith("--") else usage.words[name]
    return parse_place(text, os.environ)


def _teller(usage: Usage) -> Callable[[str], None]:
    """Where to say how far it is."""

    def tell(text: str) -> None:
        if "--quiet" not in usage.options:
            program.complain(text)

    return tell


def _print(lines: Sequence[str]) -> None:
    program.say("\n".join(lines), sys.stdout)


async def _init(usage: Usage) -> int:
    place = _place(usage, "STORE")
    made = await administration.init_place(place, _teller(usage))
    _print(made or [f"{place.shown}: everything is there"])
    return program.EXIT_OK


async def _check(usage: Usage) -> int:
    report = await administration.check_place(_place(usage, "STORE"), _teller(usage))
    _print(check_lines(report))
    return program.EXIT_OK if report.is_well else program.EXIT_ERROR


async def _repair(usage: Usage) -> int:
    if "--dry-run" in usage.options:
        return await _check(usage)
    place = _place(usage, "STORE")
    aside = Path(usage.options.get("--quarantine") or administration.default_quarantine(place))
    found, left = await administration.repair_place(place, aside, _teller(usage))
    lines = check_lines(found)
    if not found.is_well:
        lines += [f"set aside in {aside}", "left:", *check_lines(left)]
    _print(lines)
    return program.EXIT_OK if left.is_well else program.EXIT_ERROR


async def _import(usage: Usage) -> int:
    polynomial = usage.options.get("--crc-poly", "")
    try:
        number = int(polynomial, 0) if polynomial else None
    except ValueError:
        raise StoreError(f"--crc-poly: {polynomial} is no number") from None
    report = await administration.import_place(
        usage.words["DIR"],
        _place(usage, "--to"),
        _teller(usage),
        quarantine=usage.options.get("--quarantine", ""),
        cluster_id=usage.options.get("--cluster-id", ""),
        crc_polynomial=number,
    )
    return _copied(report)


async def _copy(usage: Usage) -> int:
    source, target = _place(usage, "FROM"), _place(usage, "TO")
    if target.kind == BACKUP:
        return await _back_up(source, target, usage)
    keys = {
        name: _variable(usage.options[option])
        for name, option in (("decryption_key", "--decrypt"), ("encryption_key", "--encrypt"))
        if option in usage.options
    }
    return _copied(await administration.copy_place(source, target, _teller(usage), **keys))


def _variable(name: str) -> str:
    """What an environment variable says, which is there to say something; raises StoreError."""
    value = os.environ.get(name, "")
    if not value:
        raise StoreError(f"the environment variable {name} is not set")
    return value


def _copied(report: CopyReport) -> int:
    _print(copy_lines(report))
    return program.EXIT_ERROR if report.damage or report.lost_count else program.EXIT_OK


async def _backup(usage: Usage) -> int:
    text = usage.words["FILE"]
    target = parse_place(text if text.startswith("backup:") else f"backup:{text}", os.environ)
    return await _back_up(_place(usage, "--from"), target, usage)


async def _back_up(source: Place, target: Place, usage: Usage) -> int:
    report = await administration.back_up(source, target, _teller(usage))
    _print([*check_lines(report), _written(target.path)])
    return program.EXIT_OK if report.is_well else program.EXIT_ERROR


def _written(path: Path) -> str:
    return f"backup: {path} ({shown_bytes(path.stat().st_size)})"


_WORK: Final[dict[str, Callable[[Usage], Coroutine[Any, Any, int]]]] = {
    "init": _init,
    "check": _check,
    "repair": _repair,
    "import": _import,
    "backup": _backup,
    "copy": _copy,
}
