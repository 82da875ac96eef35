"""Errors: what is caught by whom."""

import subprocess
import sys

import pytest

from durabus.errors import DurabusError
from durabus.outbox import errors

pytestmark = pytest.mark.once


def test_one_root() -> None:
    for name in errors.__all__:
        assert issubclass(getattr(errors, name), errors.OutboxError)
    assert issubclass(errors.OutboxError, DurabusError)
    assert issubclass(errors.OutboxUsageError, TypeError)
    assert issubclass(errors.IdentityError, ValueError)


def test_without_sqlalchemy_the_extra_is_named() -> None:
    program = "import sys; sys.modules['sqlalchemy'] = None; import durabus.outbox"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "install durabus[outbox]" in done.stderr


def test_durabus_itself_does_without() -> None:
    program = "import durabus, durabus.sync, durabus.cli.start, sys; assert 'sqlalchemy' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], timeout=60, check=True)
