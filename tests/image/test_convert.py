import io
import sys
from contextlib import suppress

import numpy as np
import pytest
import tensorflow as tf
from pictures import exif, picture, seen_by_pillow, written
from PIL import Image, TiffImagePlugin

from kft.image.convert import convert
from kft.image.decode import decode_image
from kft.image.input import ImageInput
from kft.image.jpeg_xl import sides_of

PLUG_INS = {"HEIF": "pillow_heif", "JXL": "pillow_jxl"}
MODES = {
    "TIFF": ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB", "I;16"),
    "AVIF": ("L", "RGB", "RGBA"),
    "HEIF": ("L", "RGB", "RGBA"),
    "JXL": ("L", "LA", "RGB", "RGBA"),
}
CASES = [(form, mode) for form, modes in MODES.items() for mode in modes]


@pytest.fixture(autouse=True, scope="module")
def plug_ins():
    """Lets Pillow itself open and write what is here."""
    import pillow_heif
    import pillow_jxl  # noqa: F401

    pillow_heif.register_heif_opener()
    yield
    for form in PLUG_INS:
        Image.OPEN.pop(form, None)
        Image.ID[:] = [name for name in Image.ID if name != form]


@pytest.fixture(scope="module")
def decode():
    """How the input decodes in a graph, traced once."""
    source = ImageInput(size=(34, 47), resize="squash")
    return tf.function(source.decode, input_signature=[tf.TensorSpec([], tf.string)])


def sample(mode):
    if mode == "I;16":
        return Image.fromarray((np.arange(34 * 47, dtype="uint16") * 41).reshape(34, 47))
    return picture(mode) if mode in ("LA", "RGBA") else picture().convert(mode)


def as_png(raw):
    """What Pillow makes of a file, as a PNG."""
    image = Image.open(io.BytesIO(raw))
    image.load()
    kept = image.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
    return written(image if kept else image.convert("RGB"), "PNG", icc_profile=None)


@pytest.mark.parametrize(("form", "mode"), CASES)
def test_a_converted_file_is_read_as_the_png_that_pillow_makes_of_it(form, mode, decode):
    raw = written(sample(mode), form)
    png = as_png(raw)

    pixels = decode_image(convert(raw))

    np.testing.assert_array_equal(pixels, decode_image(png))
    np.testing.assert_array_equal(decode(raw), decode(png))
    np.testing.assert_array_equal(ImageInput(size=(34, 47), resize="squash").decode(raw), pixels)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["TIFF", "AVIF", "HEIF"])
def test_a_converted_picture_is_upright(form, orientation):
    raw = written(picture(), form, exif=exif(orientation).tobytes())

    pixels = decode_image(convert(raw))

    np.testing.assert_array_equal(pixels, seen_by_pillow(raw))
    assert pixels.shape[:2] == ((34, 47) if orientation < 5 else (47, 34))


def test_the_exif_orientation_of_a_jpeg_xl_counts_only_if_it_is_a_packed_jpeg(tmp_path):
    path = tmp_path / "turned.jpg"
    path.write_bytes(written(picture(), "JPEG", quality=95, exif=exif(6)))
    with pytest.warns(UserWarning, match="lossless"), Image.open(path) as jpeg:
        packed = written(jpeg, "JXL")
    lossless = written(picture(), "JXL", lossless=True, exif=exif(6).tobytes())

    np.testing.assert_array_equal(decode_image(convert(packed)), seen_by_pillow(path.read_bytes()))
    np.testing.assert_array_equal(decode_image(convert(lossless)), np.asarray(picture()))


def test_the_first_page_of_a_tiff_is_read():
    pages = {"save_all": True, "append_images": [picture().rotate(180)]}

    pixels = decode_image(convert(written(picture(), "TIFF", **pages)))

    np.testing.assert_array_equal(pixels, np.asarray(picture()))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
def test_what_a_server_takes_is_not_converted(form):
    raw = written(picture(), form)

    assert ImageInput.convert(raw) is raw


def test_what_is_no_picture_is_not_converted():
    assert [convert(raw) for raw in (b"", b"a,b\n1,2\n")] == [b"", b"a,b\n1,2\n"]


def tiff(image, **tags):
    """A TIFF with some tags as given."""
    directory = TiffImagePlugin.ImageFileDirectory_v2()
    for number, value in tags.items():
        directory[int(number[1:])] = value
    return written(image, "TIFF", tiffinfo=directory)


def retagged(raw, tag, value):
    """A little-endian TIFF with another value of a tag that has one number, of 2 or 4 bytes."""
    starts = [tag.to_bytes(2, "little") + bytes([kind, 0, 1, 0, 0, 0]) for kind in (3, 4)]
    at = max(map(raw.find, starts))
    return raw[: at + 8] + value.to_bytes(2, "little") + raw[at + 10 :]


FLOATS = written(Image.fromarray(np.zeros((3, 4), "float32")), "TIFF")
GREY_16 = written(Image.fromarray(np.zeros((3, 4), "uint16")), "TIFF")
WIDE = retagged(retagged(written(picture(), "TIFF"), 256, 60_000), 257, 60_000)
BOX = b"\0\0\0\0jxlc"
REFUSED = {
    "floats": (FLOATS, "this TIFF has pixels of 32 bits, signed or floats"),
    "signed": (tiff(picture("L"), t339=2), "this TIFF has pixels of 32 bits, signed or floats"),
    "white is 0": (retagged(GREY_16, 262, 0), "grey levels of 16 bits from white to black"),
    "preview": (tiff(picture(), t254=1), "a preview as its first page, as raw photos have"),
    "too large": (WIDE, "this picture is too large, its height and width are 60000 60000"),
    "cut off": (written(picture(), "TIFF")[:100], "this TIFF cannot be read"),
    "AVIF without content": (b"\0\0\0\x1cftypavif" + bytes(16), "this AVIF cannot be read"),
    "HEIC without content": (b"\0\0\0\x18ftypheic" + bytes(16), "this HEIC cannot be read"),
    "JPEG XL without content": (b"\0\0\0\x0cJXL \r\n\x87\n" + BOX, "it has no pixels"),
    "JPEG XL too large": (b"\xff\x0a\xfe" + b"\xff" * 20, "this picture is too large"),
}


@pytest.mark.parametrize(("raw", "message"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_converted_is_refused_with_the_reason(raw, message, decode):
    with pytest.raises(ValueError, match=message):
        convert(raw)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        decode(raw)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        ImageInput().decode(raw)


@pytest.mark.parametrize(
    ("form", "module", "package"),
    [("HEIF", "pillow_heif", "pillow-heif"), ("JXL", "pillow_jxl", "pillow-jxl-plugin")],
)
def test_a_missing_plug_in_is_named_with_the_command_that_installs_it(
    form, module, package, monkeypatch
):
    raw = written(picture(), form)
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.setitem(sys.modules, name, None)

    with pytest.raises(ValueError, match=f"not installed: pip install {package}"):
        convert(raw)


@pytest.mark.parametrize("form", MODES)
def test_damaged_files_are_converted_or_refused(form):
    generator = np.random.default_rng(2)
    raw = written(picture(), form)

    for _ in range(60):
        damaged = bytearray(raw[: generator.integers(12, len(raw) + 1)])
        for place in generator.integers(12, len(damaged), 4):
            damaged[place] = int(generator.integers(0, 256))
        with suppress(ValueError):
            assert convert(bytes(damaged)).startswith(b"\x89PNG")


@pytest.mark.parametrize("container", [False, True])
@pytest.mark.parametrize("sides", [(8, 8), (34, 47), (256, 128), (1000, 1500), (2000, 3)])
def test_the_sides_that_a_jpeg_xl_claims_are_known_before_it_is_decoded(sides, container):
    raw = written(Image.new("L", sides[::-1]), "JXL", use_container=container)

    assert sides_of(raw) == sides
