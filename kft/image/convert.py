"""Pictures of the forms that TensorFlow does not read, as PNGs, by Pillow.

So they are read where Python is at hand, and not by a model on a server.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kft.image import jpeg_xl
from kft.image.forms import DECODED, form_of
from kft.image.header import MOST_PIXELS
from kft.messages import one_line

if TYPE_CHECKING:
    from PIL.Image import Image

NAMES = [*DECODED]
UNKNOWN = f"this is no {', '.join(NAMES[:-1])} or {NAMES[-1]} file"
# What a PNG holds as it is. All else becomes RGB, or has alpha and keeps it.
IN_PNG = {"1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I;16B"}
WITH_ALPHA = {"La": "LA", "PA": "RGBA", "RGBa": "RGBA"}
# Tags of TIFF, and the bit in the first that says that a page is a small copy of another.
SUBFILE, BITS, PHOTOMETRIC, SAMPLE_FORMAT, DNG = 254, 258, 262, 339, 50706
IS_REDUCED, WHITE_IS_ZERO, UNSIGNED = 1, 0, 1
# Fast; a picture is unpacked again at once.
COMPRESSION = 1


def convert(file: bytes) -> bytes:
    """Returns a PNG with the pixels of a TIFF, HEIC, AVIF or JPEG XL; any other `file` as it is.

    Of several pages or frames it has the first, or of a HEIC what that calls its primary one. It
    is upright, and colour profiles are ignored as they are elsewhere.

    Raises:
        ValueError: It is damaged, too large, its pixels cannot be shown as 8-bit RGB, or what
            reads it is not installed.
    """
    form = form_of(file)
    if form is None or form in DECODED:
        return file
    if form == "JPEG XL":  # whose reader decodes it at once
        with faults_of(form):
            sides = jpeg_xl.sides_of(file)
        refuse_large(*sides)
    picture = opened(form, file)
    refuse_large(picture.height, picture.width)
    with faults_of(form):
        fault = fault_in(picture)
    if fault is not None:
        raise ValueError(f"this {form} has {fault}; convert it as it is meant: magick IN OUT.png")
    with faults_of(form):
        return png_of(picture)


@contextmanager
def faults_of(form: str) -> Iterator[None]:
    """Makes a ValueError of whatever Pillow or a plug-in of it raises of a damaged file."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        # What follows the first sentence is for who builds the library.
        reason = one_line(error).partition(". ")[0]
        raise ValueError(f"this {form} cannot be read: {reason}") from error


def refuse_large(height: int, width: int) -> None:
    """Raises ValueError of a picture of more than `MOST_PIXELS`."""
    if height * width > MOST_PIXELS:
        raise ValueError(
            f"this picture is too large, its height and width are {height} {width} and no more "
            f"than {MOST_PIXELS} pixels are decoded; scale it: magick IN -resize 25% OUT"
        )


def fault_in(picture: Image) -> str | None:
    """What `picture`, of which only the header is read, holds that no PNG says alike; or None."""
    tags = getattr(picture, "tag_v2", {})
    if tags.get(SUBFILE, 0) & IS_REDUCED or DNG in tags:
        return "a preview as its first page, as raw photos have"
    signed = any(sample != UNSIGNED for sample in tags.get(SAMPLE_FORMAT, ()))
    if picture.mode in ("I", "F") or signed:
        return "pixels of 32 bits, signed or floats, which do not say what is black and white"
    if 12 in tags.get(BITS, ()):
        return "pixels of 12 bits, whose white is no white of 16"
    if picture.mode.startswith("I;16") and tags.get(PHOTOMETRIC) == WHITE_IS_ZERO:
        return "grey levels of 16 bits from white to black"
    return None


def png_of(picture: Image) -> bytes:
    """Returns `picture` as a PNG, upright."""
    from PIL import ImageOps

    picture.load()
    # The pixels of a JPEG XL are upright, whatever its EXIF says, but for those of a packed JPEG.
    if getattr(picture, "jpeg", True):
        ImageOps.exif_transpose(picture, in_place=True)
    if picture.mode not in IN_PNG:
        picture = picture.convert(WITH_ALPHA.get(picture.mode, "RGB"))
    file = io.BytesIO()
    picture.save(file, "PNG", compress_level=COMPRESSION, icc_profile=None)
    return file.getvalue()


def open_tiff(file: bytes) -> Image:
    """Opens a TIFF."""
    from PIL.TiffImagePlugin import TiffImageFile

    return TiffImageFile(io.BytesIO(file))


def open_heic(file: bytes) -> Image:
    """Opens a HEIC."""
    from pillow_heif import HeifImageFile

    picture: Image = HeifImageFile(io.BytesIO(file))
    return picture


def open_avif(file: bytes) -> Image:
    """Opens an AVIF."""
    from PIL.AvifImagePlugin import AvifImageFile

    return AvifImageFile(io.BytesIO(file))


def open_jpeg_xl(file: bytes) -> Image:
    """Opens a JPEG XL."""
    from pillow_jxl.JpegXLImagePlugin import JXLImageFile

    picture: Image = JXLImageFile(io.BytesIO(file))
    return picture


# By form: what opens it by reading its header, without Pillow's own limit of pixels, which warns
# below kft's; and what to install where that cannot be imported.
READERS: dict[str, tuple[Callable[[bytes], Image], str]] = {
    "TIFF": (open_tiff, "pillow"),
    "HEIC": (open_heic, "pillow-heif"),
    "AVIF": (open_avif, "pillow>=11.3"),
    "JPEG XL": (open_jpeg_xl, "pillow-jxl-plugin"),
}


def opened(form: str, file: bytes) -> Image:
    """Opens a picture.

    Raises:
        ValueError: It is damaged, or what reads it is not installed.
    """
    open_picture, package = READERS[form]
    with faults_of(form):
        try:
            return open_picture(file)
        except ImportError:
            problem = f"this is {form}, which is read by a package that is not installed"
    raise ValueError(f"{problem}: pip install {package}")
