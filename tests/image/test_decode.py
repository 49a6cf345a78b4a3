import numpy as np
import pytest
import tensorflow as tf
from pictures import exif, picture, seen_by_pillow, written
from PIL import Image

from kft.image.decode import decode_image, decode_other
from kft.image.jpeg import exif_orientation
from kft.image.one_op import one_op


def decoded_in_tf_data(raws):
    dataset = tf.data.Dataset.from_tensor_slices(raws).map(decode_image)
    return list(dataset.as_numpy_iterator())


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


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "Input is empty"),
        (b"a,b,c\n1,2,3\n", "this is no JPEG, PNG, GIF, BMP or WebP file"),
        (b"\xff\x0a" + bytes(50), r"WebP file but JPEG XL; convert it: magick IN OUT\.png"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(50), "WebP file but JPEG XL; convert it"),
        (written(picture(), "TIFF"), "WebP file but TIFF; convert it"),
        (written(picture(), "AVIF"), "WebP file but AVIF; convert it"),
        (b"\0\0\0\x18ftypheic" + bytes(50), "WebP file but HEIC; convert it"),
    ],
    ids=["empty", "text", "JPEG XL", "JPEG XL in a container", "TIFF", "AVIF", "HEIC"],
)
def test_decode_image_refuses_what_is_no_picture_of_a_form_read_here(raw, message, decode_in_graph):
    for decode in (decode_image, decode_in_graph):
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            decode(tf.constant(raw))


def test_decode_image_gives_the_same_pixels_in_a_saved_model(tmp_path):
    class Decoder(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def decode(self, raws):
            spec = tf.TensorSpec([None, None, 3], tf.uint8)
            return tf.map_fn(decode_image, raws, fn_output_signature=spec)

    raws = [written(picture("RGB"), form) for form in ["JPEG", "PNG", "GIF", "BMP", "WEBP"]]
    raws += [written(picture("RGB"), form, exif=exif(3)) for form in ["JPEG", "PNG", "WEBP"]]
    raws += [written(picture("P"), "GIF", transparency=7)]
    raws += [written(picture(mode), "PNG", transparency=7) for mode in ("L", "P")]
    tf.saved_model.save(Decoder(), str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))

    served = loaded.decode(tf.constant(raws))

    np.testing.assert_array_equal(served, [decode_image(raw) for raw in raws])
    with pytest.raises(tf.errors.InvalidArgumentError, match="this picture is too large"):
        loaded.decode(tf.constant([raws[1][:16] + b"\0\1\0\0" * 2 + raws[1][24:]]))


def test_the_rare_cases_are_traced_once_for_all_graphs():
    spec = tf.TensorSpec([], tf.string)
    rare = [one_op(exif_orientation), one_op(decode_other)]
    counts = []

    for _ in range(2):
        tf.function(decode_image, autograph=False).get_concrete_function(spec)
        counts.append([each.experimental_get_tracing_count() for each in rare])

    assert counts[0] == counts[1]
