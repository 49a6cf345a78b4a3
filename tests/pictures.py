"""Picture files made on the spot, and how Pillow sees them."""

import io
import zlib

import numpy as np
from PIL import Image, ImageOps

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


def exif(orientation, byte_order="<", maker="maker"):
    block = Image.Exif()
    block.endian = byte_order
    block[0x010F] = maker
    block[ORIENTATION] = orientation
    return block


def png_chunk(name, content):
    check = zlib.crc32(name + content).to_bytes(4, "big")
    return len(content).to_bytes(4, "big") + name + content + check
