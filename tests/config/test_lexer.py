"""The words of the configuration language: what the original takes, what it refuses and with which words."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.config.document import Date, Place
from durabus.config.lexer import Key, Lexer, Scalar, Variable
from durabus.config.options import ConfigError


def scalar(text: str) -> Scalar:
    return Lexer(text, "f").scalar()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("foo", "foo"),
        ("foo bar", "foo"),
        ("foo,bar", "foo"),
        ("foo;bar", "foo"),
        ("foo]", "foo"),
        ("foo}", "foo"),
        ("foo\nbar", "foo"),
        ("foo\rbar", "foo"),
        ("foo'bar", "foo"),
        ("foo#bar", "foo#bar"),
        ("foo//bar", "foo//bar"),
        ("nats://a:4222", "nats://a:4222"),
        ("a=b", "a=b"),
        ("", ""),
        (",", ""),
        ("'a b'", "a b"),
        ("'a\\tb'", "a\\tb"),
        ("'a\nb'", "a\nb"),
        ('"a b"', "a b"),
        ('"true"', "true"),
        ('"a\\tb\\n\\r\\"\\\\c"', 'a\tb\n\r"\\c'),
        ('"\\x41\\x42"', "AB"),
        ('"caf\\xc3\\xa9"', "caf\u00e9"),
        ('"\\xff"', "\udcff"),
        ("a\\tb", "a\tb"),
        ("\\x41b}", "Ab"),
        ("tru\\x65", "true"),
        ("(\nhello\n  world)\n)\n", "\nhello\n  world)\n"),
        ("(\n)", "\n"),
        ("true", True),
        ("YES", True),
        ("On", True),
        ("false", False),
        ("no", False),
        ("OFF", False),
        ("truth", "truth"),
        ("0", 0),
        ("-5", -5),
        ("5 ", 5),
        ("5]", 5),
        ("5}", 5),
        ("5,", 5),
        ("010", 10),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("1k", 1000),
        ("1K", 1000),
        ("1kb", 1024),
        ("1Ki", 1024),
        ("1KiB", 1024),
        ("2m", 2_000_000),
        ("2MB", 2 * 1024**2),
        ("3g", 3 * 10**9),
        ("3gib", 3 * 1024**3),
        ("4t", 4 * 10**12),
        ("5p", 5 * 10**15),
        ("6e", 6 * 10**18),
        ("7Eb", 7 * 1024**6),
        ("-1k", -1000),
        ("1.5", 1.5),
        ("-2.25", -2.25),
        ("10.", None),
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.1:4222", "127.0.0.1:4222"),
        ("10.0.0.0-10.0.0.9", "10.0.0.0-10.0.0.9"),
        ("5s", "5s"),
        ("5h30m", "5h30m"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("5#", "5#"),
        ("2016-05-04T18:53:41Z", Date("2016-05-04 18:53:41 +0000 UTC")),
        ("$NAME", Variable("NAME")),
        ("$a.b", Variable("a.b")),
        ("$2a$11$abc", "$2a$11$abc"),
        ("'$NAME'", "$NAME"),
        ('"$NAME"', "$NAME"),
    ],
)
def test_values(text: str, value: Scalar | None) -> None:
    if value is None:
        with pytest.raises(ConfigError):
            scalar(text)
    else:
        found = scalar(text)
        assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("\n5", "Expected value but found new line"),
        (".5", "Floats must start with a digit"),
        ("5.x", "Floats must have a digit after the '.', but got 'x' instead."),
        ("5.", "Floats must have a digit after the '.', but got 'EOF' instead."),
        ("-x", "Expected a digit but got 'x'."),
        ("-", "Expected a digit but got 'EOF'."),
        ("-\n", "Expected a digit but got '\\n'."),
        ('"abc', "Unexpected EOF."),
        ("'abc", "Unexpected EOF."),
        ("(abc", "Unexpected EOF processing block."),
        ("(abc)", "Unexpected EOF processing block."),
        (
            '"\\q"',
            "Invalid escape character 'q'. Only the following escape characters are allowed: \\xXX, \\t, \\n, \\r, \\\", \\\\.",
        ),
        ('"\\xzz"', "Expected two hexadecimal digits after '\\x', but got 'zz'"),
        ('"\\x4', "Expected two hexadecimal digits after '\\x', but got '4'"),
        ('"\\x4\n"', "Expected two hexadecimal digits after '\\x', but hit end of line"),
        ("9223372036854775808", "integer '9223372036854775808' is out of the range"),
        ("9e99", None),
        ("10e", "integer '10e' is out of the range"),
        ("1kbb", "integer '1kbb' has a suffix that is no size"),
        ("9" * 400 + ".0", "float '" + "9" * 400 + ".0' is out of the range"),
        ("12-", "All ISO8601 dates must be in full Zulu form."),
        ("2016-05-04", "Expected an ISO8601 datetime such as 2006-01-02T15:04:05Z"),
        ("2016-13-04T18:53:41Z", "expected Zulu formatted DateTime, but got '2016-13-04T18:53:41Z'"),
    ],
)
def test_what_is_no_value(text: str, error: str | None) -> None:
    if error is None:
        assert isinstance(scalar(text), int)  # what follows is the parser's business
        return
    with pytest.raises(ConfigError) as caught:
        scalar(text)
    assert re.fullmatch(rf"f:1:[1-9]\d*: Parse error on line 1: '{re.escape(error)}'", str(caught.value))


@pytest.mark.parametrize(
    "text", ["s3cret99999999999999999999", "99999999999999999999", '"\\z', '"\\xs3', "1kbbb", "-s", "5.s", "1999-s3"]
)
def test_a_secret_is_not_quoted(text: str) -> None:  # fmt: skip
    lexer = Lexer(text, "f")
    lexer.hides_values = True
    try:
        lexer.scalar()
    except ConfigError as error:
        quoted = str(error).partition("line 1: ")[2]
        assert "s3" not in quoted and "'s'" not in quoted and "999" not in quoted and "kbbb" not in quoted


@pytest.mark.parametrize(
    ("text", "key", "rest"),
    [
        ("port: 5", Key("port"), ":"),
        ("port=5", Key("port"), "="),
        ("port 5", Key("port"), " "),
        ("port\n", Key("port"), "\n"),
        ("port", Key("port"), ""),
        ("foo.> {", Key("foo.>"), " "),
        ("tls{", Key("tls{"), ""),
        ('"a b": 5', Key("a b"), ":"),
        ("'a:b'=5", Key("a:b"), "="),
        ("include x", Key("include", True), " "),
        ("INCLUDE x", Key("INCLUDE", True), " "),
        ("include: x", Key("include"), ":"),
        ("'include' x", Key("include"), " "),
        ("include", Key("include"), ""),
    ],
)
def test_keys(text: str, key: Key, rest: str) -> None:
    lexer = Lexer(text, "f")
    assert lexer.key() == key
    assert lexer.peek() == rest


@pytest.mark.parametrize(
    ("text", "in_map", "error"),
    [
        ("= 5", False, "Unexpected key separator '='"),
        (": 5", True, "Unexpected key separator ':'"),
        ('"a', False, "Unexpected EOF."),
        ('"a', True, "Unexpected EOF processing double quoted map key."),
        ("'a", True, "Unexpected EOF processing quoted map key."),
    ],
)
def test_what_is_no_key(text: str, in_map: bool, error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Lexer(text, "f").key(in_map)
    assert re.fullmatch(rf"f:1:[1-9]\d*: Parse error on line 1: '{re.escape(error)}'", str(caught.value))


@pytest.mark.parametrize(
    ("text", "name", "rest"),
    [
        ("  a.conf\n", "a.conf", "\n"),
        ("a.conf;", "a.conf", ";"),
        ("a,b }", "a,b", " "),
        ("'a b' x", "a b", " "),
        ('"a b"', "a b", ""),
        ("a.conf'x", "a.conf", "x"),
        ("", "", ""),
    ],
)
def test_names_of_includes(text: str, name: str, rest: str) -> None:
    lexer = Lexer(text, "f")
    assert lexer.include() == name
    assert lexer.peek() == rest


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("[", "Expected include value but found start of an array"),
        ("{", "Expected include value but found start of a map"),
        ("(", "Expected include value but found start of a block"),
        ("5", "Expected include value but found start of a number"),
        ("-5", "Expected include value but found start of a number"),
        ("\\x", "Expected include value but found escape sequence"),
        ("\n", "Expected include value but found new line"),
        ("'a", "Unexpected EOF in quoted include"),
        ('"a', "Unexpected EOF in double quoted include"),
    ],
)
def test_what_is_no_include(text: str, error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Lexer(text, "f").include()
    assert re.fullmatch(rf"f:1:[1-9]\d*: Parse error on line 1: '{re.escape(error)}'", str(caught.value))


def test_places_count_from_one() -> None:
    lexer = Lexer("a\n\n  b", "f")
    assert lexer.place() == Place("f", 1, 1)
    lexer.key()
    assert lexer.place() == Place("f", 1, 2)
    lexer.skip_spaces()
    assert lexer.place() == Place("f", 3, 3)
    lexer.key()
    assert lexer.place() == Place("f", 3, 4)


def test_comments_end_with_their_line() -> None:
    for text in ("# a // b\nx", "// a # b\nx"):
        lexer = Lexer(text, "f")
        assert lexer.skip_comment()
        assert lexer.peek() == "\n"
    assert not Lexer("/ a", "f").skip_comment()


def test_blanks_are_not_line_ends() -> None:
    lexer = Lexer(" \t\n x", "f")
    lexer.skip_blanks()
    assert lexer.peek() == "\n"
    lexer.skip_spaces()
    assert lexer.peek() == "x"
    assert not lexer.take("y", "z")
    assert lexer.take("y", "x")
    assert not lexer.take("x")


def test_a_nul_character_is_told_with_its_line() -> None:
    with pytest.raises(ConfigError, match=r"^f:2:[1-9]: Parse error on line 2: 'Unexpected NUL character'$"):
        Lexer("a\nb\0", "f")


@given(st.text(), st.booleans())
def test_any_text_is_words_or_an_error(text: str, hides: bool) -> None:
    for read in (Lexer.scalar, Lexer.key, Lexer.include):
        try:
            lexer = Lexer(text, "f")
            lexer.hides_values = hides
            read(lexer)
        except ConfigError:
            continue
        assert lexer.position <= max(len(text), 1)
