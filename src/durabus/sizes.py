"""Sizes for people: as the original shows them, in its log and in its configuration."""

import math

__all__ = ["SIZE_LETTERS", "format_size"]

SIZE_LETTERS = "kmgtpe"


def format_size(size_bytes: int) -> str:
    """Bytes (0 or more) as the original shows them: `250 B`, `1.95 KB`, `976.56 MB`."""
    if size_bytes < 1024:
        return f"{size_bytes} B"
    exponent = int(math.log(float(size_bytes)) / math.log(1024.0))
    return f"{size_bytes / 1024.0**exponent:.2f} {SIZE_LETTERS[exponent - 1].upper()}B"
