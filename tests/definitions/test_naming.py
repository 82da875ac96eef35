"""Names of types."""

import pytest

from durabus.definitions.naming import is_type_name, short_title, type_name

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("TicketCreated", "TicketCreated"),
        ("ticket created", "TicketCreated"),
        ("ticket_created-v2", "TicketCreatedV2"),
        ("userID", "UserID"),
        ("2nd", ""),
        ("", ""),
        ("…", ""),
    ],
)
def test_type_names(text: str, expected: str) -> None:
    assert type_name(text) == expected
    assert not expected or is_type_name(expected)


@pytest.mark.parametrize(
    ("title", "expected"),
    [("buyer of it", "BuyerOfIt"), ("This is who bought the ticket", ""), ("Who.", ""), (None, ""), (3, "")],
)
def test_titles_that_are_sentences_are_no_names(title: object, expected: str) -> None:
    assert short_title(title) == expected


def test_names_that_no_class_can_have() -> None:
    assert not any(is_type_name(name) for name in ("", "a", "A-b", "Ä", "_A", "1A"))
