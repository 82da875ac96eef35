"""Reading the words of a command by its entry in a table."""

import pytest

from durabus.cli.words import Command, command_line, option_lines, parse_command
from durabus.config.flags import UsageError

pytestmark = pytest.mark.once

COMMAND = Command(
    ("FROM", "TO"), "copy", "", {"--key": ("NAME", "which key"), "--quiet": ("", "say nothing")}, ("--key",)
)


def test_words_and_options_in_any_order() -> None:
    usage = parse_command("durabus x copy", COMMAND, ["--key=a=b", "one", "-quiet", "--", "--two"])
    assert usage.words == {"FROM": "one", "TO": "--two"}
    assert usage.options == {"--key": "a=b", "--quiet": ""}


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["one"], "`durabus x copy` takes FROM and TO; 1 given"),
        (["one", "two"], "`durabus x copy` needs --key NAME"),
        (["--loud"], '`durabus x copy` has no option "--loud"'),
        (["--key"], "--key needs a value: NAME"),
        (["--quiet=1"], "--quiet takes no value"),
        (["--key", "a", "--key", "b"], "--key is given twice"),
    ],
)
def test_what_cannot_be_followed(words: list[str], complaint: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_command("durabus x copy", COMMAND, words)
    assert str(caught.value) == complaint


def test_lines_of_help() -> None:
    assert command_line("copy", COMMAND) == "copy FROM TO --key NAME"
    assert option_lines(COMMAND) == ["    --key NAME              which key", "    --quiet                 say nothing"]
