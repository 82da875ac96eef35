"""CRC-32 as the original has it: with the polynomial that its operator chose (`-file_crc_poly`)."""

import zlib
from typing import Final

from mypy_extensions import i64

__all__ = ["IEEE", "KNOWN_POLYNOMIALS", "Checksum"]

IEEE: Final = 0xEDB88320
"""The usual one, in the reversed form that the original's flag takes, too."""
KNOWN_POLYNOMIALS: Final = (IEEE, 0x82F63B78, 0xEB31D82E)
"""That, Castagnoli's and Koopman's: those that Go's library has names for."""


class Checksum:
    """CRC-32 with one polynomial, begun and ended as CRC-32 always is."""

    def __init__(self, polynomial: int = IEEE) -> None:
        """`polynomial` in its reversed form; of a larger number the low 32 bits count."""
        self.polynomial = polynomial & 0xFFFFFFFF
        self._is_usual = self.polynomial == IEEE
        self._table: list[i64] = []
        if not self._is_usual:
            reversed_polynomial: i64 = self.polynomial
            self._table = [_entry(value, reversed_polynomial) for value in range(256)]

    def of(self, data: bytes) -> int:
        """The checksum of `data`."""
        if self._is_usual:
            return zlib.crc32(data)
        table = self._table
        state: i64 = 0xFFFFFFFF
        for byte in data:
            value: i64 = byte
            state = table[(state ^ value) & 0xFF] ^ (state >> 8)
        return int(state ^ 0xFFFFFFFF)


def _entry(value: i64, polynomial: i64) -> i64:
    """What a byte does to the checksum."""
    for _ in range(8):
        value = (value >> 1) ^ polynomial if value & 1 else value >> 1
    return value
