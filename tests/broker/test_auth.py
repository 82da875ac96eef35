"""Who is admitted."""

import pytest

from durabus.broker.auth import Gate
from durabus.broker.router import Router
from tests.broker.fakes import Client, session_limits


@pytest.mark.parametrize(
    ("user", "password", "token", "admitted"),
    [
        ("ada", "secret", "", True),
        ("bob", "other", "", True),
        ("ada", "other", "", False),
        ("bob", "", "", False),
        ("", "", "", False),
        ("ada", "", "secret", False),
        ("ädä", "sécret", "", False),
    ],
)
def test_users(user: str, password: str, token: str, admitted: bool) -> None:
    assert Gate([("ada", "secret"), ("bob", "other")], "").admits(user, password, token) is admitted


def test_a_token() -> None:
    gate = Gate([], "hush")
    assert gate.admits("", "", "hush")
    assert not gate.admits("", "", "")
    assert not gate.admits("hush", "hush", "")


def test_nobody_knows_an_empty_token() -> None:
    assert not Gate([], "").admits("", "", "")


@pytest.fixture
def guarded() -> Client:
    """A client that has not said yet who it is, before a gate that asks for it."""
    limits = session_limits()
    limits.gate = Gate([("ada", "secret")], "")
    return Client(Router(), connect=b"", limits=limits)


@pytest.mark.parametrize("word", [b"PING\r\n", b"SUB foo 1\r\n", b"PUB foo 0\r\n\r\n"])
def test_who_speaks_before_it_says_who_it_is(guarded: Client, word: bytes) -> None:
    guarded.say(word)
    assert guarded.heard() == b"-ERR 'Authorization Violation'\r\n"
    assert guarded.link.closed is not None


def test_who_says_something_wrong(guarded: Client) -> None:
    guarded.say(b'CONNECT {"verbose":false,"user":"ada","pass":"guess"}\r\nPING\r\n')
    assert guarded.heard() == b"-ERR 'Authorization Violation'\r\n"
    assert guarded.link.closed is not None
    assert "guess" not in guarded.link.closed[0]


def test_who_is_admitted(guarded: Client) -> None:
    guarded.say(b'CONNECT {"verbose":false,"user":"ada","pass":"secret"}\r\nPING\r\n')
    assert guarded.heard() == b"PONG\r\n"
