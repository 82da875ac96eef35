"""Each error says what happened and what to do next, and says of a publish whether it is stored."""

import pytest

from durabus.client import errors
from durabus.errors import DurabusError


def test_every_error_has_the_root_in_common() -> None:
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), errors.ClientError), name
    assert issubclass(errors.ClientError, DurabusError)


def test_the_text_has_the_cause_and_the_next_step() -> None:
    error = errors.ReplacedError("client ID 'a' belongs to another instance now")
    assert str(error) == f"client ID 'a' belongs to another instance now; {errors.ReplacedError.next_step}"
    assert error.what == "client ID 'a' belongs to another instance now"


@pytest.mark.parametrize(
    ("kind", "is_stored"),
    [
        (errors.PublishRefusedError, False),
        (errors.PublishTooLargeError, False),
        (errors.PublishNotSentError, False),
        (errors.PublishUnknownError, None),
        (errors.PossiblyDuplicatedError, True),
    ],
)
def test_the_class_says_whether_an_event_is_stored(kind: type[errors.PublishError], is_stored: bool | None) -> None:
    error = kind("reason", "orders", "g1")
    assert error.is_stored is is_stored
    assert str(error).startswith("publish to 'orders' (g1): reason; ")


def test_a_flush_has_the_errors_of_each() -> None:
    failures: list[errors.PublishError] = [errors.PublishRefusedError("a", "c", "1")]
    error = errors.FlushError(failures, 5)
    assert error.failures == failures
    assert "5 publishes failed" in str(error)


def test_a_refusal_keeps_the_words_of_the_server() -> None:
    error = errors.DurableInUseError("subscribe to 'c'", "stan: duplicate durable registration")
    assert error.server_text == "stan: duplicate durable registration"
    assert isinstance(error, errors.SubscriptionRefusedError)
