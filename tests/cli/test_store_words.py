"""The command lines of `durabus store`, and its help."""

import pytest

from durabus.cli.store_words import COMMANDS, parse_words, store_help
from durabus.config.flags import UsageError


@pytest.mark.parametrize(
    ("name", "words", "found", "options"),
    [
        ("check", ["data"], {"STORE": "data"}, {}),
        ("copy", ["one", "two", "--quiet"], {"FROM": "one", "TO": "two"}, {"--quiet": ""}),
        ("import", ["dir", "--to", "two"], {"DIR": "dir"}, {"--to": "two"}),
        ("import", ["-to=two=2", "dir"], {"DIR": "dir"}, {"--to": "two=2"}),
        ("backup", ["--from", "-", "file"], {"FILE": "file"}, {"--from": "-"}),
        ("check", ["--quiet", "--", "-data"], {"STORE": "-data"}, {"--quiet": ""}),
        (
            "repair",
            ["data", "--dry-run", "--quarantine", "x"],
            {"STORE": "data"},
            {"--dry-run": "", "--quarantine": "x"},
        ),
    ],
)
def test_words_and_options(name: str, words: list[str], found: dict[str, str], options: dict[str, str]) -> None:
    usage = parse_words(name, words)
    assert (usage.words, usage.options) == (found, options)


@pytest.mark.parametrize(
    ("name", "words", "complaint"),
    [
        ("check", [], "takes STORE; 0 given"),
        ("copy", ["one"], "takes FROM and TO; 1 given"),
        ("check", ["one", "two"], "takes STORE; 2 given"),
        ("check", ["--loud", "data"], '`durabus store check` has no option "--loud"'),
        ("check", ["data", "--quiet", "--quiet"], "--quiet is given twice"),
        ("check", ["data", "--quiet=yes"], "--quiet takes no value"),
        ("import", ["dir", "--to"], "--to needs a value: STORE"),
        ("import", ["dir"], "needs --to STORE"),
        ("backup", ["file", "--from="], "needs --from STORE"),
    ],
)
def test_what_cannot_be_followed(name: str, words: list[str], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint.replace("(", r"\(")):
        parse_words(name, words)


def test_help_tells_every_command() -> None:
    text = store_help()
    for name, command in COMMANDS.items():
        assert name in text
        assert command.summary in text
    assert "env:NAME" in text


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_tells_its_options(name: str) -> None:
    text = store_help(name)
    assert text.startswith(f"Usage: durabus store {name} ")
    for option, (value, what) in COMMANDS[name].options.items():
        assert option in text
        assert value in text
        assert what in text
    assert max(map(len, text.splitlines())) <= 120
