import zlib

import numpy as np
import pytest
import tensorflow as tf
from pictures import exif, picture, png_chunk, seen_by_pillow, written
from PIL import Image

from kft.image.decode import decode_image

GREY, RGB, PALETTE = 0, 2, 3
PALETTE_COLOURS = np.random.default_rng(3).integers(0, 256, (256, 3), "uint8")
LEVELS = np.random.default_rng(0).integers(0, 2**16, (5, 7, 3))


def png(values, form, before=(), after=(), piece=10**6):
    """A PNG of `values`, ``(height, width, channels)``, in rows without a filter.

    `form` is bits and colour type. The pixels are in chunks of `piece` bytes, with the chunks
    `before` and `after` around them.
    """
    bits, colour_type = form
    height, width = values.shape[:2]
    places = np.unpackbits(values.astype(">u2").view("u1").reshape(height, -1, 2), axis=2)
    rows = np.packbits(places[:, :, 16 - bits :].reshape(height, -1), axis=1)
    packed = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    sides = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    chunks = [
        (b"IHDR", sides + bytes([bits, colour_type, 0, 0, 0])),
        *([(b"PLTE", PALETTE_COLOURS[: 2**bits].tobytes())] if colour_type == PALETTE else []),
        *before,
        *[(b"IDAT", packed[at : at + piece]) for at in range(0, len(packed), piece)],
        *after,
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


@pytest.mark.parametrize(
    ("colour_type", "bits"), [(GREY, bits) for bits in (1, 2, 4, 8, 16)] + [(RGB, 8), (RGB, 16)]
)
def test_a_transparent_colour_is_white(colour_type, bits, decode_in_graph):
    values = LEVELS[:, :, : 3 if colour_type == RGB else 1] % 2**bits
    one = values[2, 3]
    transparent = (b"tRNS", one.astype(">u2").tobytes())
    raw = png(values, (bits, colour_type), [(b"gAMA", bytes([0, 0, 177, 143])), transparent])

    pixels = decode_in_graph(raw)

    shown = values // 256 if bits == 16 else values * 255 // (2**bits - 1)
    expected = np.where((values == one).all(axis=2, keepdims=True), 255, shown)
    np.testing.assert_array_equal(pixels, np.broadcast_to(expected, (5, 7, 3)))
    np.testing.assert_array_equal(decode_image(raw), pixels)


def test_transparent_colours_of_a_palette_are_laid_on_white(decode_in_graph):
    values = LEVELS[:, :, :1] % 16
    raw = png(values, (4, PALETTE), [(b"tRNS", bytes(range(0, 250, 25)))])

    pixels = decode_in_graph(raw)

    np.testing.assert_allclose(pixels, seen_by_pillow(raw).astype(int), atol=1)


def test_a_colour_is_transparent_only_if_the_png_says_so_before_its_pixels(decode_in_graph):
    values = LEVELS[:, :, :1] % 256
    transparent = (b"tRNS", values[2, 3].astype(">u2").tobytes())
    text = (b"tEXt", b"Comment\0" + png_chunk(*transparent))

    for raw in [png(values, (8, GREY), [text]), png(values, (8, GREY), [], [transparent])]:
        np.testing.assert_array_equal(decode_in_graph(raw), np.tile(values, 3))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_png_is_turned_upright(orientation, mode, decode_in_graph):
    if mode == "I;16":
        image = Image.fromarray((LEVELS[:, :, 0] // 256 * 257).astype("uint16"))
        expected = Image.fromarray((LEVELS[:, :, 0] // 256).astype("uint8"))
    else:
        image = expected = picture(mode)
    raw = written(image, "PNG", exif=exif(orientation, "<>"[orientation % 2]))

    pixels = decode_in_graph(raw)

    upright = seen_by_pillow(written(expected, "PNG", exif=exif(orientation)))
    np.testing.assert_allclose(pixels, upright.astype(int), atol=1)
    np.testing.assert_array_equal(decode_image(raw), pixels)


def test_orientation_is_found_before_and_after_pixels_in_pieces_of_any_size(decode_in_graph):
    block = (b"eXIf", exif(6).tobytes()[6:])
    text = (b"tEXt", b"Comment\0eXIf")

    for piece in [1, 5, 19, 31, 32, 33, 64, 10**6]:
        for around in [([block], []), ([text, block], [text]), ([], [block]), ([], [text, block])]:
            pixels = decode_in_graph(png(LEVELS % 256, (8, RGB), *around, piece))

            np.testing.assert_array_equal(pixels, np.rot90(LEVELS % 256, -1))
        plain = decode_in_graph(png(LEVELS % 256, (8, RGB), [text], [text], piece))
        np.testing.assert_array_equal(plain, LEVELS % 256)


@pytest.mark.parametrize("default_image", [False, True])
def test_an_animated_png_is_its_first_picture(default_image, decode_in_graph):
    others = {"append_images": [picture("RGBA").rotate(180)], "default_image": default_image}
    raw = written(picture("RGBA"), "PNG", save_all=True, exif=exif(5), **others)

    pixels = decode_in_graph(raw)

    np.testing.assert_allclose(pixels, seen_by_pillow(raw).astype(int), atol=1)


def test_a_png_too_large_for_memory_is_refused_before_it_is_decoded(decode_in_graph):
    raw = png(np.zeros([1, 1, 1], int), (1, GREY))
    claims = (30_000).to_bytes(4, "big") + (4_475).to_bytes(4, "big")

    with pytest.raises(tf.errors.InvalidArgumentError, match=r"too large.*\[4475\] \[30000\]"):
        decode_in_graph(raw[:16] + claims + raw[24:])


def test_a_png_of_too_many_chunks_is_refused(decode_in_graph):
    raw = png(LEVELS % 256, (8, RGB), [(b"tEXt", b"")] * 20_000)

    with pytest.raises(tf.errors.InvalidArgumentError, match="blocks; save it again"):
        decode_in_graph(raw)
