"""What the tests of the file layer share: making a file, and expecting an error that names one."""

import os
import re
from collections.abc import Generator
from contextlib import contextmanager

import pytest

from durabus.stores.file.files import Files


@contextmanager
def failing(number: int, name: str | None) -> Generator[None, None, None]:
    """What is done here fails with this error, which names the file."""
    with pytest.raises(OSError, match=re.escape(os.strerror(number))) as caught:
        yield
    assert (caught.value.errno, caught.value.filename) == (number, name)


def made(files: Files, name: str, content: bytes = b"") -> int:
    handle = files.create(name)
    files.write(handle, 0, content)
    return handle
