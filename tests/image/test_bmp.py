import numpy as np
import pytest
import tensorflow as tf
from pictures import picture, seen_by_pillow, written

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


def from_the_top(raw):
    """A BMP whose rows go from the top down, of one that goes upwards."""
    height = 2**32 - int.from_bytes(raw[22:26], "little")
    return raw[:22] + height.to_bytes(4, "little") + raw[26:]


def bmp_of_16_colours(height, width):
    """A BMP of 4 bits a pixel."""
    numbers = np.arange(height * width).reshape(height, width) * 7 % 16
    row_bytes = (4 * width + 31) // 32 * 4
    padded = np.zeros((height, 2 * row_bytes), "uint8")
    padded[:, :width] = numbers
    rows = (padded[:, ::2] << 4 | padded[:, 1::2]).tobytes()
    palette = np.random.default_rng(0).integers(0, 256, (16, 4), "uint8").tobytes()
    information = [40, width, height, 1 | 4 << 16, 0, len(rows), 0, 0, 0, 0]
    header = b"".join(number.to_bytes(4, "little") for number in information)
    start = 14 + 40 + len(palette)
    file = (
        b"BM" + (start + len(rows)).to_bytes(4, "little") + bytes(4) + start.to_bytes(4, "little")
    )
    return file + header + palette + rows


PALETTES = {
    "black and white": written(picture("1"), "BMP"),
    "black and white, 8 pixels wide": written(picture("1", 3, 8), "BMP"),
    "16 colours": bmp_of_16_colours(5, 7),
    "16 colours, 8 pixels wide": bmp_of_16_colours(3, 8),
    "256 colours": written(picture("P"), "BMP"),
    "7 colours": written(picture().quantize(7), "BMP"),
    "grey": written(picture("L"), "BMP"),
    "one pixel": written(picture("P", 1, 1), "BMP"),
}


@pytest.mark.parametrize("turn", [bytes, from_the_top], ids=["upwards", "downwards"])
@pytest.mark.parametrize("raw", PALETTES.values(), ids=PALETTES)
def test_decode_image_reads_a_bmp_with_a_palette(raw, turn, decode_in_graph):
    raw = turn(raw)

    pixels = decode_in_graph(raw)

    np.testing.assert_array_equal(pixels, seen_by_pillow(raw))
    np.testing.assert_array_equal(decode_image(raw), pixels)


@pytest.mark.parametrize("raw", PALETTES.values(), ids=PALETTES)
def test_a_bmp_with_a_palette_that_is_cut_off_is_refused(raw, decode_in_graph):
    with pytest.raises(tf.errors.InvalidArgumentError, match="Invalid BMP: it is cut off"):
        decode_in_graph(raw[:-1])


def run_length_coded():
    raw = bytearray(written(picture("P"), "BMP"))
    raw[30] = 1
    return bytes(raw)


@pytest.mark.parametrize(
    "raw",
    [run_length_coded(), bmp_with_masks([0xFF, 0xFF00, 0xFF0000, 0xFF000000], alpha=255)],
    ids=["run-length pixels", "other order of colours"],
)
def test_decode_image_refuses_a_bmp_that_would_be_read_wrongly(raw, decode_in_graph):
    fault = "packed or compressed pixels, which cannot be read; save it as PNG"

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
