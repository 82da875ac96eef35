"""The stores that have to survive a kill, by the flags that a server takes; a new one is one more row."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

__all__ = ["DURABLE_STORES"]


def _file(folder: Path) -> list[str]:
    """Small segments: a round fills some, so that kills hit what happens between two of them as well."""
    return ["-store", "FILE", "-dir", str(folder / "data"), "-file_slice_max_bytes", "1MB"]


DURABLE_STORES: Final[dict[str, Callable[[Path], list[str]]]] = {"FILE": _file}
"""The flags of a server with an empty store in a folder."""
