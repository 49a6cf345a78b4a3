import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from kft.image.decode import decode_image, decode_other, one_op
from kft.image.header import exif_orientation, is_bare

ORIENTATION = 0x0112


def picture(mode="RGB", height=34, width=47):
    """A smooth picture with all levels, so that a lossy format keeps it close."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    levels = np.stack([255 * x, 255 * y, 255 * (1 - x) * y], axis=-1)
    if mode in ("LA", "RGBA"):
        opaque = Image.fromarray(levels.astype("uint8")).convert(mode)
        opaque.putalpha(Image.fromarray((255 * (x + y) / 2).astype("uint8")))
        return opaque
    return Image.fromarray(levels.astype("uint8")).convert(mode)


def written(image, form, **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def seen_by_pillow(raw):
    image = ImageOps.exif_transpose(Image.open(io.BytesIO(raw)))
    if image.mode in ("LA", "RGBA") or "transparency" in image.info:
        paper = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(paper, image.convert("RGBA"))
    return np.asarray(image.convert("RGB"))


def decoded_in_tf_data(raws):
    dataset = tf.data.Dataset.from_tensor_slices(raws).map(decode_image)
    return list(dataset.as_numpy_iterator())


@pytest.fixture(scope="module")
def decode_in_graph():
    """Traced once, since tracing takes longer than a hundred pictures do."""
    return tf.function(decode_image, input_signature=[tf.TensorSpec([], tf.string)])


LOSSLESS = {
    "png black and white": (picture("1"), "PNG", {}),
    "png grey": (picture("L"), "PNG", {}),
    "png palette": (picture("P"), "PNG", {}),
    "png palette with alpha": (picture("P"), "PNG", {"transparency": 17}),
    "png rgb": (picture("RGB"), "PNG", {}),
    "gif": (picture("RGB"), "GIF", {}),
    "gif of two frames": (
        picture("RGB"),
        "GIF",
        {"save_all": True, "append_images": [picture().rotate(180)]},
    ),
    "bmp grey": (picture("L"), "BMP", {}),
    "bmp rgb": (picture("RGB"), "BMP", {}),
    "bmp with a padding channel": (picture("RGBA"), "BMP", {}),
    "webp": (picture("RGB"), "WEBP", {"lossless": True}),
    # TensorFlow by itself overwrites memory for this one.
    "webp of two frames": (
        picture("RGB"),
        "WEBP",
        {"lossless": True, "save_all": True, "append_images": [picture().rotate(180)]},
    ),
}
WITH_ALPHA = {
    "png grey with alpha": (picture("LA"), "PNG", {}),
    "png rgba": (picture("RGBA"), "PNG", {}),
    "webp with alpha": (picture("RGBA"), "WEBP", {"lossless": True, "exact": True}),
}
LOSSY = {
    "jpeg": (picture("RGB"), "JPEG", {"quality": 90}),
    "jpeg full colour": (picture("RGB"), "JPEG", {"quality": 90, "subsampling": 0}),
    "jpeg progressive": (picture("RGB"), "JPEG", {"progressive": True}),
    "jpeg grey": (picture("L"), "JPEG", {}),
    "jpeg cmyk": (picture("CMYK"), "JPEG", {"quality": 90}),
    "webp lossy": (picture("RGB"), "WEBP", {"quality": 90}),
}


@pytest.mark.parametrize("case", LOSSLESS.values(), ids=LOSSLESS)
def test_decode_image_gives_the_pixels_of_a_lossless_file(case):
    image, form, options = case
    raw = written(image, form, **options)

    pixels = decode_image(raw)

    np.testing.assert_array_equal(pixels, seen_by_pillow(raw))


@pytest.mark.parametrize("case", WITH_ALPHA.values(), ids=WITH_ALPHA)
def test_decode_image_lays_alpha_on_white(case):
    image, form, options = case
    raw = written(image, form, **options)

    pixels = decode_image(raw)

    np.testing.assert_allclose(pixels, seen_by_pillow(raw).astype(int), atol=1)


@pytest.mark.parametrize("case", LOSSY.values(), ids=LOSSY)
def test_decode_image_is_near_to_pillow_for_a_lossy_file(case):
    image, form, options = case
    raw = written(image, form, **options)

    pixels = decode_image(raw)

    difference = np.abs(pixels.numpy().astype(int) - seen_by_pillow(raw))
    assert difference.mean() < 0.5
    assert difference.max() <= 3


def test_decode_image_is_the_same_in_tf_data():
    cases = [*LOSSLESS.values(), *WITH_ALPHA.values(), *LOSSY.values()]
    raws = [written(image, form, **options) for image, form, options in cases]

    in_graph = decoded_in_tf_data(raws)

    for raw, pixels in zip(raws, in_graph, strict=True):
        np.testing.assert_array_equal(pixels, decode_image(raw))


def test_decode_image_keeps_the_high_byte_of_a_16_bit_png():
    levels = (np.arange(34 * 47, dtype="uint16") * 41).reshape(34, 47)

    pixels = decode_image(written(Image.fromarray(levels), "PNG"))

    expected = np.round(levels / 257)[..., np.newaxis]
    np.testing.assert_allclose(pixels, np.tile(expected, 3), atol=1)


def test_decode_image_shows_transparent_pixels_of_a_gif_black():
    image = picture("P")
    raw = written(image, "GIF", transparency=image.getpixel((5, 5)))

    pixels = decode_image(raw)

    assert pixels[5, 5].numpy().tolist() == [0, 0, 0]


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


@pytest.mark.parametrize("byte_order", ["<", ">"], ids=["intel", "motorola"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_decode_image_turns_a_jpeg_upright(orientation, byte_order, decode_in_graph):
    exif = Image.Exif()
    exif.endian = byte_order
    exif[0x010F] = "maker"
    exif[ORIENTATION] = orientation
    raw = written(picture(), "JPEG", quality=95, exif=exif, comment=b"after the EXIF block")

    eager = decode_image(raw)
    in_graph = decode_in_graph(raw)

    expected = seen_by_pillow(raw)
    assert eager.shape == expected.shape
    assert np.abs(eager.numpy().astype(int) - expected).mean() < 0.5
    np.testing.assert_array_equal(in_graph, eager)


def test_decode_image_finds_the_orientation_after_other_segments():
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    raw = written(picture(), "JPEG", exif=exif)
    profile = b"\xff\xe2" + (1002).to_bytes(2, "big") + bytes(1000)

    pixels = decode_image(raw[:2] + profile + b"\xff\xff" + raw[2:])

    assert pixels.shape == (47, 34, 3)


@pytest.mark.parametrize("options", [{}, {"dpi": (300, 300)}, {"comment": b"Exif"}])
def test_only_a_jpeg_with_nothing_between_jfif_and_its_tables_is_bare(options):
    raw = written(picture(), "JPEG", **options)

    assert is_bare(raw).numpy() == ("comment" not in options)
    assert not is_bare(raw[:2] + b"\xff\xfe\x00\x04Ex" + raw[2:])
    assert not is_bare(raw[:10])


def test_decode_image_reads_a_jpeg_with_a_damaged_exif_block_as_it_lies():
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    raw = written(picture(), "JPEG", exif=exif)
    start = raw.index(b"Exif") + 6
    generator = np.random.default_rng(0)
    damaged = [
        raw[:start] + generator.integers(0, 256, 26, "uint8").tobytes() + raw[start + 26 :]
        for _ in range(100)
    ]

    shapes = {pixels.shape for pixels in decoded_in_tf_data(damaged)}

    assert shapes == {(34, 47, 3)}


def damaged_files():
    generator = np.random.default_rng(1)
    forms = [
        written(picture(mode), form)
        for mode, form in [
            ("RGB", "JPEG"),
            ("RGBA", "PNG"),
            ("RGB", "GIF"),
            ("L", "BMP"),
        ]
    ]
    frames = {"save_all": True, "append_images": [picture().rotate(180)]}
    forms.append(written(picture(), "WEBP", **frames))
    for raw in forms * 20:
        yield raw[: generator.integers(1, len(raw))]
        flipped = bytearray(raw)
        for place in generator.integers(0, len(raw), 8):
            flipped[place] ^= int(generator.integers(1, 256))
        yield bytes(flipped)


def test_decode_image_reads_or_refuses_damaged_files(decode_in_graph):
    refused = 0

    for raw in damaged_files():
        try:
            pixels = decode_in_graph(raw)
        except tf.errors.InvalidArgumentError:
            refused += 1
        else:
            assert pixels.dtype == tf.uint8
            assert pixels.shape[2] == 3

    assert 100 <= refused < 200


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_decode_image_refuses_a_file_cut_in_half(form):
    raw = written(picture(), form)

    with pytest.raises(tf.errors.InvalidArgumentError, match=r"Invalid|differ|Failed"):
        decode_image(raw[: len(raw) // 2])


def test_decode_image_refuses_a_picture_too_large_for_memory(monkeypatch):
    monkeypatch.setattr("kft.image.header.MOST_PIXELS", 34 * 47 - 1)

    with pytest.raises(tf.errors.InvalidArgumentError, match="this picture is too large"):
        decode_image(written(picture(), "PNG"))


def test_decode_image_refuses_an_empty_file_and_one_that_is_no_picture():
    with pytest.raises(tf.errors.InvalidArgumentError, match="empty"):
        decode_image(b"")
    with pytest.raises(tf.errors.InvalidArgumentError, match="Unknown image file format"):
        decode_image(b"a,b,c\n1,2,3\n")


def test_decode_image_gives_the_same_pixels_in_a_saved_model(tmp_path):
    class Decoder(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def decode(self, raws):
            spec = tf.TensorSpec([None, None, 3], tf.uint8)
            return tf.map_fn(decode_image, raws, fn_output_signature=spec)

    raws = [written(picture("RGB"), form) for form in ["JPEG", "PNG", "BMP", "WEBP"]]
    tf.saved_model.save(Decoder(), str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))

    served = loaded.decode(tf.constant(raws))

    np.testing.assert_array_equal(served, [decode_image(raw) for raw in raws])


def test_the_rare_cases_are_traced_once_for_all_graphs():
    spec = tf.TensorSpec([], tf.string)
    rare = [one_op(exif_orientation), one_op(decode_other)]
    counts = []

    for _ in range(2):
        tf.function(decode_image, autograph=False).get_concrete_function(spec)
        counts.append([each.experimental_get_tracing_count() for each in rare])

    assert counts[0] == counts[1]
