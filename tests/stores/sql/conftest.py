"""A database for each test, once for each kind."""

from pathlib import Path

import pytest

from tests.stores.sql_harness import KINDS, new_source


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of database."""
    found: str = request.param
    return found


@pytest.fixture
def source(kind: str, tmp_path: Path) -> str:
    """Where an empty database of that kind is."""
    return new_source(kind, tmp_path)
