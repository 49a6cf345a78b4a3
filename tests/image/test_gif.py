import numpy as np
import pytest
import tensorflow as tf
from pictures import picture, seen_by_pillow, written

from kft.image.decode import decode_image

PALETTE = np.random.default_rng(3).integers(0, 256, (256, 3), "uint8")
PALETTE_BYTES = PALETTE.tobytes()
GENERATOR = np.random.default_rng(0)


def number(value):
    return value.to_bytes(2, "little")


def control(transparent, disposal=0):
    return b"\x21\xf9\x04" + bytes([1 | disposal << 2, 0, 0, transparent, 0])


def frame(indices, place=(0, 0), palette=b"", interlaced=False, piece=255):
    """An image without compression, in blocks of `piece` bytes."""
    height, width = indices.shape
    flags = (0x40 if interlaced else 0) | (0x87 if palette else 0)
    passes = [(0, 8), (4, 8), (2, 4), (1, 2)] if interlaced else [(0, 1)]
    order = [row for start, step in passes for row in range(start, height, step)]
    codes = [code for row in order for index in indices[row] for code in (256, index)]
    bits = sum(int(code) << 9 * place for place, code in enumerate([*codes, 257]))
    packed = bits.to_bytes((9 * (len(codes) + 1) + 7) // 8, "little")
    blocks = [packed[at : at + piece] for at in range(0, len(packed), piece)]
    sides = number(place[1]) + number(place[0]) + number(width) + number(height)
    content = b"".join(bytes([len(block)]) + block for block in blocks)
    return b"," + sides + bytes([flags]) + palette + b"\x08" + content + b"\0"


def gif(*blocks, sides=(13, 19), palette=PALETTE_BYTES):
    flags = 0x80 | (len(palette) // 3).bit_length() - 2 if palette else 0
    screen = number(sides[1]) + number(sides[0]) + bytes([flags, 0, 0])
    return b"GIF89a" + screen + palette + b"".join(blocks) + b";"


INDICES = GENERATOR.integers(0, 256, (13, 19))
SMALL = GENERATOR.integers(0, 256, (6, 8))
OTHER_PALETTE = PALETTE[::-1].tobytes()
COMMENT = b"\x21\xfe\x04" + b"\x21\xf9\x04\x01" + b"\x02\x00\x00" + b"\0"
LOOP = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\0\0\0"
WHOLE = frame(np.zeros([13, 19], int))

SEEN_AS_PILLOW_DOES = {
    "opaque": [frame(INDICES)],
    "transparent": [control(INDICES[3, 4]), frame(INDICES)],
    "own palette": [control(INDICES[3, 4]), frame(INDICES, palette=OTHER_PALETTE)],
    "interlaced": [control(INDICES[3, 4]), frame(INDICES, interlaced=True)],
    "extensions": [LOOP, COMMENT, control(INDICES[3, 4]), COMMENT, frame(INDICES)],
    "what looks like an extension": [COMMENT, frame(INDICES)],
    "short blocks": [control(INDICES[3, 4]), frame(INDICES, piece=3)],
    "frames": [LOOP, control(INDICES[3, 4], disposal=2), frame(INDICES), control(0), WHOLE],
    "small frame": [control(SMALL[3, 4]), frame(SMALL, (2, 5)), WHOLE],
    "frame beyond the screen": [control(SMALL[3, 4]), frame(SMALL, (9, 15)), WHOLE],
    "two controls": [control(INDICES[0, 0]), control(INDICES[3, 4]), frame(INDICES)],
}


@pytest.mark.parametrize("blocks", SEEN_AS_PILLOW_DOES.values(), ids=SEEN_AS_PILLOW_DOES)
def test_transparent_pixels_of_a_gif_are_white(blocks, decode_in_graph):
    raw = gif(*blocks)

    pixels = decode_in_graph(raw)

    np.testing.assert_array_equal(pixels, seen_by_pillow(raw))
    np.testing.assert_array_equal(decode_image(raw), pixels)


def test_a_transparent_colour_may_be_beyond_the_palette(decode_in_graph):
    indices = INDICES % 4
    indices[3, 4] = 200
    raw = gif(control(200), frame(indices), palette=PALETTE[:4].tobytes())

    pixels = decode_in_graph(raw)

    np.testing.assert_array_equal(pixels, seen_by_pillow(raw))
    assert pixels[3, 4].numpy().tolist() == [255, 255, 255]


def test_what_an_opaque_first_frame_leaves_free_is_white(decode_in_graph):
    pixels = decode_in_graph(gif(frame(SMALL, (2, 5)), WHOLE))

    expected = np.full([13, 19, 3], 255)
    expected[2:8, 5:13] = PALETTE[SMALL]
    np.testing.assert_array_equal(pixels, expected)


def test_later_frames_are_not_read(decode_in_graph):
    damaged = frame(np.zeros([1, 1], int))[:12]

    pixels = decode_in_graph(gif(frame(INDICES), damaged))

    np.testing.assert_array_equal(pixels, PALETTE[INDICES])


def test_a_gif_that_pillow_writes_is_read(decode_in_graph):
    image = picture("P")
    raw = written(image, "GIF", transparency=image.getpixel((5, 5)))

    pixels = decode_in_graph(raw)

    np.testing.assert_array_equal(pixels, seen_by_pillow(raw))
    assert pixels[5, 5].numpy().tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("raw", "fault"),
    [
        (gif(), "no frame"),
        (gif(frame(INDICES), palette=b""), "no palette"),
        (gif(frame(INDICES), sides=(40_000, 40_000)), r"too large.*\[40000\] \[40000\]"),
        (gif(frame(INDICES, (60_000, 60_000))), r"too large.*\[60013\] \[60019\]"),
        (gif(frame(INDICES)[:100]), "Invalid GIF"),
        (gif(*[b"\x21\xfe\0"] * 20_000, frame(INDICES)), "blocks; save it again"),
    ],
    ids=["no frame", "no palette", "large screen", "far frame", "torn", "many blocks"],
)
def test_a_gif_that_cannot_be_read_is_refused(raw, fault, decode_in_graph):
    with pytest.raises(tf.errors.InvalidArgumentError, match=fault):
        decode_in_graph(raw)
