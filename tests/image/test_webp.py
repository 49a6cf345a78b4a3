import numpy as np
import pytest
import tensorflow as tf
from pictures import exif, picture, seen_by_pillow, written

from kft.image.decode import decode_image

ANIMATED = {"save_all": True, "append_images": [picture().rotate(180)]}


@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0", b"Exif\0\0Exif\0\0"])
@pytest.mark.parametrize("options", [{}, ANIMATED], ids=["still", "animated"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_webp_is_turned_upright(orientation, mode, options, prefix, decode_in_graph):
    block = prefix + exif(orientation, "<>"[orientation % 2], maker="odd").tobytes()[6:]
    more = {"icc_profile": b"a profile", "xmp": b"EXIF", **options}
    raw = written(picture(mode), "WEBP", lossless=True, exact=True, exif=block, **more)

    pixels = decode_in_graph(raw)

    np.testing.assert_allclose(pixels, seen_by_pillow(raw).astype(int), atol=1)


def number(value, size):
    return value.to_bytes(size, "little")


def chunk(name, content):
    return name + number(len(content), 4) + content + bytes(len(content) % 2)


def webp(*chunks):
    content = b"WEBP" + b"".join(chunks)
    return b"RIFF" + number(len(content), 4) + content


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_what_the_first_frame_of_a_webp_leaves_free_is_white(mode, decode_in_graph):
    frame = picture(mode, 6, 8)
    content = written(frame, "WEBP", lossless=True, exact=True)[12:]
    place = number(2, 3) + number(1, 3) + number(7, 3) + number(5, 3) + number(100, 3) + b"\x02"
    flags = 2 | (16 if mode == "RGBA" else 0)
    canvas = chunk(b"VP8X", bytes([flags, 0, 0, 0]) + number(18, 3) + number(12, 3))
    raw = webp(canvas, chunk(b"ANIM", bytes(6)), chunk(b"ANMF", place + content))

    pixels = decode_in_graph(raw)

    expected = np.full([13, 19, 3], 255)
    expected[2:8, 4:12] = seen_by_pillow(written(frame, "PNG"))
    np.testing.assert_allclose(pixels, expected, atol=1)


def one_colour(sides):
    """A lossless WebP of one colour, ``(width, height)``, in as few bytes as there may be."""
    bits, place = 0x2F, 8
    one_symbol = [(1, 1), (0, 3)]
    fields = [(sides[0] - 1, 14), (sides[1] - 1, 14), (0, 4), (0, 3), *one_symbol * 5]
    for value, size in fields:
        bits |= value << place
        place += size
    return webp(chunk(b"VP8L", number(bits, 16)))


def lossy(sides):
    return webp(chunk(b"VP8 ", b"\x10\0\0\x9d\x01\x2a" + b"".join(number(n, 2) for n in sides)))


def extended(sides):
    width, height = (number(side - 1, 3) for side in sides)
    return webp(chunk(b"VP8X", bytes(4) + width + height))


def test_a_webp_of_one_colour_is_read():
    assert decode_image(one_colour((50, 40))).shape == (40, 50, 3)


@pytest.mark.parametrize("claiming", [one_colour, lossy, extended])
def test_a_webp_too_large_for_memory_is_refused_before_it_is_decoded(claiming, decode_in_graph):
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"too large.*\[16382\] \[16383\]"):
        decode_in_graph(claiming((16383, 16382)))


def test_a_webp_without_a_first_chunk_is_refused(decode_in_graph):
    raw = one_colour((16383, 16383))

    with pytest.raises(tf.errors.InvalidArgumentError, match="Invalid WebP"):
        decode_in_graph(raw[:12] + raw[20:])


def test_a_webp_with_a_flag_for_exif_but_none_is_read_as_it_lies(decode_in_graph):
    raw = written(picture(), "WEBP", lossless=True, exif=exif(6))

    pixels = decode_in_graph(raw.replace(b"EXIF", b"OTHE"))

    np.testing.assert_array_equal(pixels, np.asarray(picture()))


def test_an_exif_chunk_without_its_flag_does_not_count_as_for_libwebp(decode_in_graph):
    raw = written(picture(), "WEBP", lossless=True, exif=exif(6))
    unflagged = raw[:20] + bytes([raw[20] & ~0x08]) + raw[21:]

    pixels = decode_in_graph(unflagged)

    np.testing.assert_array_equal(pixels, seen_by_pillow(unflagged))
    np.testing.assert_array_equal(pixels, np.asarray(picture()))
