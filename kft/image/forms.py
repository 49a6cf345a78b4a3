"""The forms of picture files: how they begin, and what their names end in."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kft.image.header import substring

if TYPE_CHECKING:
    import tensorflow as tf


class Form(NamedTuple):
    """A form of picture file.

    Attributes:
        starts: Some bytes and where they stand, of which a file has one.
        endings: Of the names of such files, in lower case.
    """

    starts: tuple[tuple[int, bytes], ...]
    endings: tuple[str, ...]


DECODED = {
    "JPEG": Form(((0, b"\xff\xd8"),), (".jpg", ".jpeg", ".jfif")),
    "PNG": Form(((0, b"\x89P"),), (".png",)),
    "GIF": Form(((0, b"GI"),), (".gif",)),
    "BMP": Form(((0, b"BM"),), (".bmp",)),
    "WebP": Form(((0, b"RI"),), (".webp",)),
}
BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
# What Python converts, since TensorFlow does not read it.
CONVERTED = {
    "TIFF": Form(
        tuple((0, start) for start in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")), (".tif", ".tiff")
    ),
    "AVIF": Form(((4, b"ftypavif"), (4, b"ftypavis")), (".avif",)),
    "HEIC": Form(tuple((4, b"ftyp" + brand) for brand in BRANDS), (".heic", ".heif", ".hif")),
    "JPEG XL": Form(((0, b"\xff\x0a"), (0, b"\0\0\0\x0cJXL \r\n\x87\n")), (".jxl",)),
}
FORMS = DECODED | CONVERTED
DECODED_ENDINGS = tuple(ending for form in DECODED.values() for ending in form.endings)
CONVERTED_ENDINGS = tuple(ending for form in CONVERTED.values() for ending in form.endings)
# After the size of the first box, its name and brand: other brands that the file keeps to.
BRANDS_AT = 16


def form_of(file: bytes) -> str | None:
    """Returns the name of the form that a `file` begins as, or None."""
    for name, form in FORMS.items():
        if any(file[at : at + len(start)] == start for at, start in form.starts):
            brands = file[BRANDS_AT : int.from_bytes(file[:4], "big")]
            # Both may name one that says nothing of how the pixels are packed.
            return "AVIF" if name == "HEIC" and b"avif" in brands else name
    return None


def form_in(raw: tf.Tensor) -> tf.Tensor:
    """Returns the number in `FORMS` of the form of a file, or of what comes after the last."""
    import tensorflow as tf

    def has(at: int, start: bytes) -> tf.Tensor:
        # Beyond the end of a shorter file `substr` would fail.
        return substring(raw, at, len(start)) == start

    begins = [
        tf.reduce_any([has(at, start) for at, start in form.starts]) for form in FORMS.values()
    ]
    return tf.argmax(tf.cast([*begins, True], tf.int32))
