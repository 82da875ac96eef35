"""Go's flag grammar: observed facts of the original, and properties over generated lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.config.flags import CommandLine, Flag, Kind, UsageError, parse_flags
from durabus.config.options import Setting
from durabus.config.units import format_duration

BOOL = Flag(names=("D", "debug"), kind=Kind.BOOL, default=False, group="g")
INT = Flag(names=("p", "port"), kind=Kind.INT, default=7, group="g")
SIZE = Flag(names=("mb", "max_bytes"), kind=Kind.SIZE, default=1, group="g")
DURATION = Flag(names=("ma", "max_age"), kind=Kind.DURATION, default=0, group="g")
STRING = Flag(names=("cid", "cluster_id"), kind=Kind.STRING, default="x", group="g")
TABLE = (BOOL, INT, SIZE, DURATION, STRING)


def parse(*arguments: str) -> CommandLine:
    return parse_flags(arguments, TABLE)


@pytest.mark.row(116)
@pytest.mark.parametrize("line", ["-p 5", "-p=5", "--p 5", "--p=5", "-port 5", "-port=5", "--port 5", "--port=5"])
def test_the_same_flag_in_all_its_forms(line: str) -> None:
    assert parse(*line.split()).value(INT) == 5


@pytest.mark.parametrize(
    ("arguments", "value"),
    [(["-D"], True), (["--debug"], True), (["-D=false"], False), (["-debug=T"], True), ([], False)],
)
def test_a_boolean_takes_its_value_only_behind_an_equals_sign(arguments: list[str], value: bool) -> None:
    assert parse(*arguments).value(BOOL) is value


def test_a_word_after_a_boolean_is_a_word() -> None:
    line = parse("-D", "false", "-p", "5")
    assert line.value(BOOL) is True
    assert line.words == ("false", "-p", "5")
    assert line.value(INT) == INT.default


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--"], ()),
        (["-p", "5", "--", "-p", "6"], ("-p", "6")),
        (["-"], ("-",)),
        (["version", "-p"], ("version", "-p")),
        ([""], ("",)),
    ],
)
def test_where_flags_end(arguments: list[str], words: tuple[str, ...]) -> None:
    assert parse(*arguments).words == words


@pytest.mark.row(116)
def test_the_last_one_wins_whatever_its_name() -> None:
    assert parse("-p", "1", "-port=2", "--p=3").value(INT) == 3
    assert parse("-cid", "", "-cluster_id", "b").value(STRING) == "b"


def test_values_are_taken_as_they_are() -> None:
    assert parse("-cid=a=b").value(STRING) == "a=b"
    assert parse("-cid=").value(STRING) == ""
    assert parse("-cid", "-p").value(STRING) == "-p"
    assert parse("-mb", "64MB").value(SIZE) == 64 * 1024**2
    assert parse("-ma", "1h").value(DURATION) == 3600 * 10**9
    assert parse("-p", "010").value(INT) == 8


@pytest.mark.row(116)
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["-nosuch"], "flag provided but not defined: -nosuch"),
        (["--nosuch=3"], "flag provided but not defined: -nosuch"),
        (["-cidfoo"], "flag provided but not defined: -cidfoo"),
        (["-ma", "10"], 'invalid value "10" for flag -ma: parse error'),
        (["-ma", "1d"], 'invalid value "1d" for flag -ma: parse error'),
        (["-ma="], 'invalid value "" for flag -ma: parse error'),
        (["-p"], "flag needs an argument: -p"),
        (["--port"], "flag needs an argument: -port"),
        (["-p", "abc"], 'invalid value "abc" for flag -p: parse error'),
        (["-p", "1e3"], 'invalid value "1e3" for flag -p: parse error'),
        (["-p", "99999999999999999999"], 'invalid value "99999999999999999999" for flag -p: value out of range'),
        (["-D=maybe"], 'invalid boolean value "maybe" for -D: parse error'),
        (["-D="], 'invalid boolean value "" for -D: parse error'),
        (["-mb", "10XB"], "mb should be a size, got '10XB'"),
        (["---x"], "bad flag syntax: ---x"),
        (["-=3"], "bad flag syntax: -=3"),
        (["--=3"], "bad flag syntax: --=3"),
    ],
)
def test_errors_are_in_gos_words(arguments: list[str], error: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(*arguments)
    assert str(caught.value) == error


def test_flags_given_are_told_in_their_order_and_by_the_name_used() -> None:
    line = parse("-port", "1", "-D", "-p", "2")
    assert [(given.flag, given.name, given.value) for given in line.given] == [
        (INT, "port", 1),
        (BOOL, "D", True),
        (INT, "p", 2),
    ]


def written(flag: Flag) -> st.SearchStrategy[tuple[Setting, str]]:
    """Values of a flag with a text that means them."""
    numbers = st.integers(-(2**63), 2**63 - 1)
    if flag.kind is Kind.BOOL:
        return st.booleans().map(lambda value: (value, "true" if value else "false"))
    if flag.kind is Kind.DURATION:
        return st.integers(0, 10**14).map(lambda value: (value, format_duration(value)))
    if flag.kind is Kind.STRING:
        return st.text().map(lambda value: (value, value))
    return numbers.map(lambda value: (value, str(value)))


@st.composite
def lines(draw: st.DrawFn) -> tuple[list[str], dict[Flag, Setting]]:
    """A command line, and the values that it sets."""
    arguments: list[str] = []
    values: dict[Flag, Setting] = {}
    for flag in draw(st.lists(st.sampled_from(TABLE), max_size=6)):
        values[flag], text = draw(written(flag))
        name = draw(st.sampled_from(["-", "--"])) + draw(st.sampled_from(flag.names))
        with_equals = flag.kind is Kind.BOOL or draw(st.booleans())
        arguments += [f"{name}={text}"] if with_equals else [name, text]
    return arguments, values


@given(lines(), st.lists(st.sampled_from(["version", "-", "x", "-D"]), max_size=3))
def test_what_is_written_is_read(line: tuple[list[str], dict[Flag, Setting]], words: list[str]) -> None:
    arguments, values = line
    parsed = parse(*arguments, "--", *words)
    assert parsed.words == tuple(words)
    for flag in TABLE:
        assert parsed.value(flag) == values.get(flag, flag.default)


PIECES = st.sampled_from(
    ["-", "--", "=", "D", "p", "port", "mb", "ma", "cid", "5", "true", "1h", "\x00", "\u00e9", "\udcff"]
)


@given(st.lists(st.one_of(st.text(), st.lists(PIECES, max_size=6).map("".join)), max_size=6))
def test_no_line_is_more_than_a_usage_error(arguments: list[str]) -> None:
    try:
        line = parse(*arguments)
    except UsageError:
        return
    assert list(line.words) == arguments[len(arguments) - len(line.words) :]
