"""The command lines of `durabus events`, and its help."""

import pytest

from durabus.cli.events_words import COMMANDS, events_help, parse_words
from durabus.config.flags import UsageError

pytestmark = pytest.mark.once


def test_words_and_options() -> None:
    usage = parse_words("check", ["old", "--mode", "backward", "new"])
    assert (usage.words, usage.options) == ({"OLD": "old", "NEW": "new"}, {"--mode": "backward"})


def test_a_package_belongs_to_the_language_before_it() -> None:
    usage = parse_words("generate", ["d", "--python", "p", "--package", "a", "--typescript", "t", "--package=b"])
    assert usage.options == {"--python": "p", "--python-package": "a", "--typescript": "t", "--typescript-package": "b"}


@pytest.mark.parametrize(
    ("name", "words", "complaint"),
    [
        ("check", ["old"], "`durabus events check` takes OLD and NEW; 1 given"),
        ("check", ["old", "new", "--loud"], 'has no option "--loud"'),
        ("export", ["module"], "`durabus events export` needs --to DIR"),
        ("generate", ["d", "--package", "a"], "--package stands behind"),
    ],
)
def test_what_cannot_be_followed(name: str, words: list[str], complaint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_words(name, words)
    assert complaint in str(caught.value)


def test_help_tells_every_command() -> None:
    text = events_help()
    for name, command in COMMANDS.items():
        assert f"    {name} " in text
        assert command.summary in text
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_tells_its_options(name: str) -> None:
    text = events_help(name)
    assert text.startswith(f"Usage: durabus events {name} ")
    for option, (value, what) in COMMANDS[name].options.items():
        assert option in text
        assert value in text
        assert what in text
    assert max(map(len, text.splitlines())) <= 120
