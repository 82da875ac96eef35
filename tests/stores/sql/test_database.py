"""What all drivers share."""

import pytest

from durabus.stores.sql.database import WriteFailedError, shown
from durabus.streaming.store_port import REFUSED


@pytest.mark.parametrize(
    ("text", "secret", "expected"),
    [
        ("connection refused", "", "connection refused"),
        ("two\nlines\tof it", "", "two lines of it"),
        ("user hunter2 has no password hunter2", "hunter2", "user *** has no password ***"),
        ("password=abc user=x", "", "password=*** user=x"),
        ("IDENTIFIED BY 'a b c' x", "", "IDENTIFIED BY *** x"),
        ("passwd: 'a b' and PWD = c", "", "passwd: *** and PWD = ***"),
        ("the password yes-and-no=1, password: yes!", "", "the password yes-and-no=1, password: yes!"),
        ('password authentication failed for user "me"', "", 'password authentication failed for user "me"'),
        ("Access denied (using password: YES)", "secret", "Access denied (using password: YES)"),
    ],
)
def test_an_error_is_one_line_without_secrets(text: str, secret: str, expected: str) -> None:
    assert shown(ValueError(text), secret) == expected
    assert shown(text, secret) == expected


def test_an_error_without_words_is_named() -> None:
    assert shown(TimeoutError()) == "TimeoutError"


def test_a_failure_has_an_outcome() -> None:
    error = WriteFailedError(REFUSED, "no")
    assert (error.outcome, str(error)) == (REFUSED, "no")
