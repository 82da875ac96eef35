"""The words of refusals: each says what to do instead, in one line that prints anywhere."""

import pytest

from durabus.config import refusals

REASONS = [name for name in refusals.__all__ if name.isupper()]


@pytest.mark.parametrize("name", REASONS)
def test_a_reason_says_what_to_do_instead(name: str) -> None:
    reason: str = getattr(refusals, name)
    assert reason.isascii() and reason.isprintable()
    assert "leave it out" in reason or "use " in reason


def test_all_reasons_are_named() -> None:
    assert sorted(REASONS) == sorted(name for name in vars(refusals) if name.isupper())


@pytest.mark.parametrize("name", ["CLUSTERED", "CLUSTERING_MODE", "ROUTES", "JETSTREAM", "OTHER_PROTOCOLS", "ACCOUNTS"])
def test_what_will_not_be_there_leads_to_a_nats_server(name: str) -> None:
    assert "-ns" in getattr(refusals, name)


def test_the_line() -> None:
    assert refusals.refusal("flag -x", "why") == "flag -x is not available: why"
