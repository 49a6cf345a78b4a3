import numpy as np
import pytest
import tensorflow as tf
from pictures import exif, picture, seen_by_pillow, written

from kft.image.decode import decode_image, decode_to_scale
from kft.image.jpeg import is_bare


@pytest.mark.parametrize("byte_order", ["<", ">"], ids=["intel", "motorola"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_decode_image_turns_a_jpeg_upright(orientation, byte_order, decode_in_graph):
    block = exif(orientation, byte_order)
    raw = written(picture(), "JPEG", quality=95, exif=block, comment=b"after the EXIF block")

    eager = decode_image(raw)
    in_graph = decode_in_graph(raw)

    expected = seen_by_pillow(raw)
    assert eager.shape == expected.shape
    assert np.abs(eager.numpy().astype(int) - expected).mean() < 0.5
    np.testing.assert_array_equal(in_graph, eager)


def test_decode_image_finds_the_orientation_after_other_segments(decode_in_graph):
    raw = written(picture(), "JPEG", exif=exif(6))
    profile = b"\xff\xe2" + (60_002).to_bytes(2, "big") + bytes(60_000)

    pixels = decode_in_graph(raw[:2] + 9 * profile + b"\xff\xff" + raw[2:])

    assert pixels.shape == (47, 34, 3)


@pytest.mark.parametrize("options", [{}, {"dpi": (300, 300)}, {"comment": b"Exif"}])
def test_only_a_jpeg_with_nothing_between_jfif_and_its_tables_is_bare(options):
    raw = written(picture(), "JPEG", **options)

    assert is_bare(raw).numpy() == ("comment" not in options)
    assert not is_bare(raw[:2] + b"\xff\xfe\x00\x04Ex" + raw[2:])
    assert not is_bare(raw[:10])


def cmyk(transform=0, before=b"", **options):
    """A JPEG of four inks; without an Adobe segment if `transform` is None."""
    raw = written(picture("CMYK"), "JPEG", quality=95, **options)
    start = raw.index(b"\xff\xee\x00\x0eAdobe")
    adobe = b"" if transform is None else raw[start : start + 15] + bytes([transform])
    return raw[:start] + before + adobe + raw[start + 16 :]


JFIF = b"\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"


@pytest.mark.parametrize(
    "raw",
    [
        cmyk(),
        cmyk(transform=2),
        cmyk(transform=None),
        cmyk(transform=None, before=JFIF),
        cmyk(transform=None, exif=exif(8)),
        cmyk(transform=None, progressive=True),
    ],
    ids=["adobe", "ycck", "no adobe", "jfif", "turned", "progressive"],
)
def test_decode_image_takes_the_inks_of_a_cmyk_jpeg_as_pillow_does(raw, decode_in_graph):
    pixels = decode_in_graph(raw)

    difference = np.abs(pixels.numpy().astype(int) - seen_by_pillow(raw))
    assert difference.max() <= 1
    np.testing.assert_array_equal(decode_image(raw), pixels)


def claiming(raw, height, width):
    """A JPEG `raw` with other sides in its header."""
    start = raw.index(b"\xff\xc0" if b"\xff\xc0" in raw else b"\xff\xc2") + 5
    sides = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return raw[:start] + sides + raw[start + 4 :]


def test_a_jpeg_too_large_for_memory_is_refused_before_it_is_decoded(decode_in_graph):
    raw = claiming(written(picture(), "JPEG", progressive=True), 11_586, 11_586)

    with pytest.raises(tf.errors.InvalidArgumentError, match=r"too large.*\[11586\] \[11586\]"):
        decode_in_graph(raw)


def test_a_jpeg_may_be_twice_as_large_if_it_is_decoded_at_a_fraction(monkeypatch):
    raw = written(picture(height=100, width=120), "JPEG")

    def to_eighth():
        return decode_to_scale(raw, lambda sides: sides / 16)[0].shape

    monkeypatch.setattr("kft.image.header.MOST_PIXELS", 6000)
    assert to_eighth() == (13, 15, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="too large"):
        decode_image(raw)
    monkeypatch.setattr("kft.image.header.MOST_PIXELS", 5999)
    with pytest.raises(tf.errors.InvalidArgumentError, match="too large"):
        to_eighth()
