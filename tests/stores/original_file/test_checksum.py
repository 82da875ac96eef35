"""CRC-32 with any polynomial, against the definition bit by bit."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durabus.stores.original_file.checksum import IEEE, KNOWN_POLYNOMIALS, Checksum
from tests.stores.original_file.original_writer import checksum


@given(st.binary(max_size=300), st.sampled_from(KNOWN_POLYNOMIALS) | st.integers(1, 0xFFFFFFFF))
def test_it_is_as_defined(data: bytes, polynomial: int) -> None:
    assert Checksum(polynomial).of(data) == checksum(data, polynomial)


@pytest.mark.parametrize(
    ("polynomial", "value"), [(IEEE, 0xCBF43926), (0x82F63B78, 0xE3069283), (0xEB31D82E, 0x2D3DD0AE)]
)
def test_the_usual_example(polynomial: int, value: int) -> None:
    """What every table of such checksums gives for these nine digits."""
    assert Checksum(polynomial).of(b"123456789") == value


def test_only_32_bits_of_a_polynomial_count() -> None:
    assert Checksum((1 << 40) | IEEE).of(b"abc") == zlib.crc32(b"abc")
    assert Checksum().polynomial == IEEE
