"""The server under test on a disk that fails when a test says so: `python -m tests.blackbox.faulty_disk FILE serve …`.

What FILE holds is looked at before every write and sync: `write EIO` lets writes fail with that error, `sync EIO` syncs,
nothing or no file lets everything work. A write that fails has written half of its bytes, as a real one may have.
"""

import errno
import os
import sys
from pathlib import Path
from typing import Final

_CONTROL: Final = Path(sys.argv[1]) if len(sys.argv) > 1 else Path()


def _fault(call: str) -> OSError | None:
    """The error that `call` is to fail with now."""
    try:
        asked, _, name = _CONTROL.read_text(encoding="ascii").strip().partition(" ")
    except FileNotFoundError:
        return None
    if asked != call:
        return None
    number = getattr(errno, name)
    return OSError(number, os.strerror(number))


def install() -> None:
    """Let the calls of this process go wrong from now on, as far as they are asked to."""
    write, sync = os.pwrite, os.fdatasync

    def pwrite(descriptor: int, data: memoryview, offset: int) -> int:
        error = _fault("write")
        if error is not None:
            write(descriptor, data[: len(data) // 2], offset)
            raise error
        return write(descriptor, data, offset)

    def fdatasync(descriptor: int) -> None:
        error = _fault("sync")
        if error is not None:
            raise error
        sync(descriptor)

    os.pwrite = pwrite  # type: ignore[assignment]
    os.fdatasync = fdatasync  # type: ignore[assignment]


if __name__ == "__main__":
    install()
    sys.argv[1:2] = []
    from durabus.cli.start import main

    sys.exit(main())
