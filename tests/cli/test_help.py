"""The help: every flag that is there with its default, every other one named, nothing of the original's text."""

import pytest

from durabus.cli.help import COMMANDS, serve_help, tls_help
from durabus.config.ciphers import CIPHERS
from durabus.config.flag_table import FLAGS, GROUPS, REFUSED, WITHOUT_EFFECT
from durabus.config.flags import Flag


@pytest.fixture(scope="module")
def shown() -> str:
    return serve_help("durabus serve")


def test_it_begins_with_how_to_call_it(shown: str) -> None:
    assert shown.startswith("Usage: durabus serve [flags]\n")
    assert serve_help("nats-streaming-server").startswith("Usage: nats-streaming-server [flags]\n")


def test_all_groups_are_there_in_their_order(shown: str) -> None:
    places = [shown.index(f"\n{group}:\n") for group in GROUPS]
    assert places == sorted(places)


@pytest.mark.parametrize("flag", [flag for flag in FLAGS if flag.group in GROUPS], ids=lambda flag: flag.names[0])
def test_a_flag_stands_on_one_line_with_all_its_names(shown: str, flag: Flag) -> None:
    names = "    " + ", ".join(f"-{name}" for name in flag.names)
    rows = [line for line in shown.splitlines() if line.startswith((names + " ", names + "\n"))]
    assert len(rows) == 1
    assert flag.help in rows[0]
    assert len(rows[0]) <= 120


def row(shown: str, start: str) -> str:
    return next(line for line in shown.splitlines() if line.strip().startswith(start))


@pytest.mark.parametrize(
    ("start", "default"),
    [("-hbi", "(30s)"), ("-mb", "(1024000000)"), ("-cid", "(test-cluster)"), ("-T", "(on; -T=false turns it off)")],
)
def test_defaults_are_shown(shown: str, start: str, default: str) -> None:
    assert row(shown, start + ",").endswith(default)


def test_a_switch_that_is_off_says_nothing_about_it(shown: str) -> None:
    assert row(shown, "-SDV").endswith("-SD and -SV")


@pytest.mark.parametrize(("group", "words"), [(REFUSED, "known and refused"), (WITHOUT_EFFECT, "no effect here")])
def test_flags_of_no_use_are_named(shown: str, group: str, words: str) -> None:
    named = " ".join(shown[shown.index(words) :].split("\n\n")[0].split()).rstrip(".")
    expected = ["-" + "/".join(flag.names) for flag in FLAGS if flag.group == group]
    assert named.partition(": ")[2].split(", ") == expected


def test_the_help_prints_in_any_locale(shown: str) -> None:
    assert shown.isascii()
    assert COMMANDS.isascii()


def test_help_about_tls_names_every_cipher_suite() -> None:
    lines = tls_help().splitlines()
    assert [line.strip() for line in lines[-len(CIPHERS) :]] == [*CIPHERS]
    assert tls_help().isascii()
