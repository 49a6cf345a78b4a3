import pytest
import tensorflow as tf
from pictures import picture, written

from kft.image.decode import decode_image


def bmp_with_masks(masks, alpha):
    """A 32-bit BMP of 2 x 1 pixels that says where each colour stands, as GIMP writes it."""
    blue_green_red_alpha = bytes([1, 2, 3, 255, 4, 5, 6, alpha])
    information = [124, 2, 1, 1 | 32 << 16, 3, 8, 0, 0, 0, 0, *masks]
    header = b"".join(number.to_bytes(4, "little") for number in information)
    start = 14 + 124
    file = b"BM" + (start + 8).to_bytes(4, "little") + bytes(4) + start.to_bytes(4, "little")
    return file + header.ljust(124, b"\0") + blue_green_red_alpha


def test_decode_image_lays_a_bmp_with_an_alpha_mask_on_white():
    raw = bmp_with_masks([0xFF0000, 0xFF00, 0xFF, 0xFF000000], alpha=0)

    pixels = decode_image(raw)

    assert pixels.numpy().tolist() == [[[3, 2, 1], [255, 255, 255]]]


@pytest.mark.parametrize(
    "raw",
    [
        written(picture("P"), "BMP"),
        written(picture("1"), "BMP"),
        bmp_with_masks([0xFF, 0xFF00, 0xFF0000, 0xFF000000], alpha=255),
    ],
    ids=["palette", "black and white", "other order of colours"],
)
def test_decode_image_refuses_a_bmp_that_would_be_read_wrongly(raw, decode_in_graph):
    fault = "save it as PNG or as 24-bit BMP"

    with pytest.raises(tf.errors.InvalidArgumentError, match=fault):
        decode_image(raw)
    with pytest.raises(tf.errors.InvalidArgumentError, match=fault):
        decode_in_graph(raw)


@pytest.mark.parametrize("height", [11_586, 2**32 - 11_586], ids=["upwards", "downwards"])
def test_a_bmp_too_large_for_memory_is_refused(height, decode_in_graph):
    raw = written(picture(), "BMP")
    sides = (11_586).to_bytes(4, "little") + height.to_bytes(4, "little")

    with pytest.raises(tf.errors.InvalidArgumentError, match=r"too large.*\[11586\] \[11586\]"):
        decode_in_graph(raw[:18] + sides + raw[26:])
