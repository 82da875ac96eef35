"""Stores by name."""

import subprocess
import sys

import pytest

from durabus.errors import StartError
from durabus.stores.names import make_store


def test_the_memory_store() -> None:
    store = make_store("MEMORY")
    assert store.name == "MEMORY"
    assert make_store("MEMORY") is not store


@pytest.mark.parametrize("name", ["BOGUS", "", "memory"])
def test_a_name_that_nobody_knows(name: str) -> None:
    with pytest.raises(StartError) as caught:
        make_store(name)
    assert str(caught.value) == f"unsupported store type: {name}"


def test_a_store_is_imported_when_it_is_chosen() -> None:
    script = (
        "import sys; from durabus.stores.names import make_store; before = 'durabus.stores.memory' in sys.modules; "
        "make_store('MEMORY'); print(before, 'durabus.stores.memory' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
