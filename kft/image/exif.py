"""Which way up a picture is, as its EXIF block says.

The block is a TIFF file: https://www.cipa.jp/std/documents/e/DC-008-2012_E.pdf.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kft.image.header import number, substring

if TYPE_CHECKING:
    import tensorflow as tf

PREFIX = b"Exif\0\0"
LITTLE, BIG = b"II*\0", b"MM\0*"
DIRECTORY, COUNT_BYTES, ENTRY_BYTES = 4, 2, 12
ORIENTATION = 0x0112
# The type of a value of four bytes.
LONG = 4


def orientation_of(block: tf.Tensor) -> tf.Tensor:
    """Returns the orientation that an EXIF `block` gives, int64 from 1 to 8; 1 if it is damaged.

    The block is empty where a file has none, and may have `PREFIX` before it.
    """
    import tensorflow as tf

    # Programs that expect it before a block, and those that do not, put it there twice.
    for _ in range(2):
        has_prefix = substring(block, 0, len(PREFIX)) == PREFIX
        start = tf.where(has_prefix, len(PREFIX), 0)
        block = substring(block, start, tf.strings.length(block))
    order = substring(block, 0, len(LITTLE))
    little = order == LITTLE
    directory = number(block, DIRECTORY, 4, little)
    count = number(block, directory, COUNT_BYTES, little)
    table = substring(block, directory + COUNT_BYTES, ENTRY_BYTES * count)
    is_orientation = tags_of(table, little) == ORIENTATION
    entry = ENTRY_BYTES * tf.argmax(is_orientation)
    # Two bytes by the standard; some programs write four, and Pillow takes them.
    is_long = number(table, entry + 2, 2, little) == LONG
    short, long = (number(table, entry + 8, size, little) for size in (2, 4))
    value = tf.where(is_long, long, short)
    is_given = (little | (order == BIG)) & tf.reduce_any(is_orientation)
    return tf.where(is_given & (value >= 1) & (value <= 8), value, 1)


def tags_of(table: tf.Tensor, little: tf.Tensor) -> tf.Tensor:
    """Returns the tag of each entry of a directory, uint16 ``(n,)``; there is at least one."""
    import tensorflow as tf

    size = ENTRY_BYTES * tf.maximum(tf.strings.length(table) // ENTRY_BYTES, 1)

    def words(little_endian: bool) -> tf.Tensor:
        return tf.io.decode_raw(table, tf.uint16, little_endian, fixed_length=size)

    return tf.reshape(tf.where(little, words(True), words(False)), [-1, ENTRY_BYTES // 2])[:, 0]
