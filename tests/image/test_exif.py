import numpy as np
import pytest
import tensorflow as tf
from pictures import exif, picture, written

from kft.image.exif import orientation_of


def block(byte_order="<", kind=3, value=6, magic=42, tags=(0x010F, 0x0112)):
    """An EXIF block of one directory, the orientation last."""
    order = "little" if byte_order == "<" else "big"

    def number(value, size):
        return value.to_bytes(size, order)

    def entry(tag):
        content = number(value, 4) if kind == 4 else number(value, 2) + bytes(2)
        return number(tag, 2) + number(kind, 2) + number(1, 4) + content

    start = (b"II" if byte_order == "<" else b"MM") + number(magic, 2) + number(8, 4)
    return start + number(len(tags), 2) + b"".join(map(entry, tags)) + bytes(4)


@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0", b"Exif\0\0Exif\0\0"])
@pytest.mark.parametrize("kind", [3, 4])
@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_orientation_is_read_in_either_byte_order_and_size(byte_order, kind, prefix):
    found = [
        int(orientation_of(tf.constant(prefix + block(byte_order, kind, value))))
        for value in range(1, 9)
    ]

    assert found == list(range(1, 9))


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"Exif\0\0",
        block()[:4],
        block()[:10],
        block()[:32],
        block(value=0),
        block(value=9),
        block(kind=4, value=2**32 - 1),
        block(magic=43),
        b"XX" + block()[2:],
        block(tags=()),
        block(tags=(0x010F,)),
        b"II*\0\xff\xff\xff\xff" + block()[8:],
        block()[:8] + b"\xff\xff" + bytes(40),
    ],
)
def test_orientation_of_a_damaged_block_is_1(damaged):
    assert orientation_of(tf.constant(damaged)) == 1


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_no_damage_to_an_exif_block_is_an_error(form, decode_in_graph):
    raw = written(picture(), form, exif=exif(6))
    start = raw.index(b"II*\0")
    generator = np.random.default_rng(0)

    shapes = {
        decode_in_graph(
            raw[:start] + generator.integers(0, 256, 20, "uint8").tobytes() + raw[start + 20 :]
        ).shape
        for _ in range(100)
    }

    assert shapes == {(34, 47, 3)}
