"""The errors: one root, so that a border can turn each into one clear line."""

import inspect

import pytest

from durabus import errors
from durabus.errors import DurabusError, StartError, StoreError


def test_every_error_has_the_root_and_says_when_it_is_raised() -> None:
    found = {item for item in vars(errors).values() if inspect.isclass(item)}
    assert found >= {DurabusError, StartError, StoreError}
    assert all(issubclass(item, DurabusError) and item.__doc__ for item in found)


@pytest.mark.parametrize("error", [StartError("the port is taken"), StoreError("the disk is full")])
def test_the_text_is_all_that_is_shown(error: DurabusError) -> None:
    with pytest.raises(DurabusError) as caught:
        raise error
    assert str(caught.value).startswith("the ")
