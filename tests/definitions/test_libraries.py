"""Libraries that may not be there."""

import pytest

from durabus.definitions.libraries import LibraryMissingError, import_library

pytestmark = pytest.mark.once


def test_a_library_that_is_there() -> None:
    assert import_library("fastavro").__name__ == "fastavro"


def test_a_library_that_is_not_there_names_the_extra() -> None:
    with pytest.raises(
        LibraryMissingError, match=r"no_such_library is not installed: run pip install 'durabus\[definitions\]'"
    ):
        import_library("no_such_library")
