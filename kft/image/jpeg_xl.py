"""The size that a JPEG XL file claims: ISO/IEC 18181-1, annex D, and 18181-2."""

from __future__ import annotations

from collections.abc import Iterator

CODESTREAM = b"\xff\x0a"
# A box has its length, with itself, and its name; a length of 1 says that 8 bytes after it do.
BOX_BYTES, LONG_BOX_BYTES = 8, 16
# Widths for each height that are common enough to have a number.
RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
SIDE_BITS = (9, 13, 18, 30)
HEADER_BYTES = 16


def sides_of(file: bytes) -> tuple[int, int]:
    """Returns the height and width that a JPEG XL `file` claims, as it lies.

    Raises:
        ValueError: It has no header.
    """
    header = next(codestreams(file), b"")
    if not header.startswith(CODESTREAM):
        raise ValueError("it has no pixels")
    bits = int.from_bytes(header[len(CODESTREAM) : HEADER_BYTES], "little")
    is_small, bits = bits & 1, bits >> 1
    height, bits = small_side(bits) if is_small else side(bits)
    ratio, bits = bits & 7, bits >> 3
    if ratio:
        across, down = RATIOS[ratio - 1]
        return height, height * across // down
    return height, (small_side(bits) if is_small else side(bits))[0]


def small_side(bits: int) -> tuple[int, int]:
    """Returns a side, of up to 256 pixels, that `bits` begin with, and the bits after it."""
    return 8 * ((bits & 31) + 1), bits >> 5


def side(bits: int) -> tuple[int, int]:
    """Returns a side of any length that `bits` begin with, and the bits after it."""
    count, bits = SIDE_BITS[bits & 3], bits >> 2
    return (bits & ((1 << count) - 1)) + 1, bits >> count


def codestreams(file: bytes) -> Iterator[bytes]:
    """Yields the beginning of each part of the pixels, alone or in the boxes of a container."""
    if file.startswith(CODESTREAM):
        yield file[:HEADER_BYTES]
        return
    at = 0
    while at + BOX_BYTES <= len(file):
        length, name = int.from_bytes(file[at : at + 4], "big"), file[at + 4 : at + BOX_BYTES]
        start = at + BOX_BYTES
        if length == 1:
            start = at + LONG_BOX_BYTES
            length = int.from_bytes(file[at + BOX_BYTES : start], "big")
        if name in (b"jxlc", b"jxlp"):
            start += 4 * (name == b"jxlp")  # the number of the part
            yield file[start : start + HEADER_BYTES]
        if length < BOX_BYTES:  # of 0, to the end
            return
        at += length
