"""Sizes as the original shows them."""

import pytest

from durabus.sizes import format_size


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"), (250, "250 B"), (1023, "1023 B"), (1024, "1.00 KB"), (1025, "1.00 KB"), (2000, "1.95 KB"),
        (10240, "10.00 KB"), (1048575, "1024.00 KB"), (1_000_000, "976.56 KB"), (1_024_000_000, "976.56 MB"),
        (5 * 10**9, "4.66 GB"), (1099511627775, "1024.00 GB"), (3 * 10**12, "2.73 TB"), (1125899906842623, "1.00 PB"),
        (9 * 10**18, "7.81 EB"), (2**63 - 1, "8.00 EB"),
    ],
)  # fmt: skip
def test_sizes_as_the_original_shows_them(size: int, text: str) -> None:
    assert format_size(size) == text
