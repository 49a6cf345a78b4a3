"""Random numbers of which each example draws its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import tensorflow as tf

# The odd number nearest to 2**64 over the golden ratio, which spreads counters over all bits.
GOLDEN = 0x9E3779B97F4A7C15


def uniform(seeds: tf.Tensor, count: int) -> tf.Tensor:
    """Returns `count` float32 numbers in [0, 1) for each of int64 `seeds`, ``(batch, count)``.

    SplitMix64 (Steele et al. 2014) over the seed, since TensorFlow's stateless generators take
    one seed for the whole batch. Integers only, so the numbers are the same on every machine.
    """
    import tensorflow as tf

    words = tf.bitcast(seeds, tf.uint64)
    steps = tf.cast(tf.range(1, count + 1), tf.uint64) * tf.constant(GOLDEN, tf.uint64)
    mixed = mix(mix(mix(words[:, :1]) + words[:, 1:]) + steps)
    bits = tf.bitwise.right_shift(mixed, tf.constant(40, tf.uint64))
    return tf.cast(bits, tf.float32) * 2.0**-24


def mix(words: tf.Tensor) -> tf.Tensor:
    """Returns uint64 `words` with every bit of the input in every bit of the output."""
    import tensorflow as tf

    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        high = tf.bitwise.right_shift(words, tf.constant(shift, tf.uint64))
        words = tf.bitwise.bitwise_xor(words, high) * tf.constant(factor, tf.uint64)
    return words


def fold(seeds: tf.Tensor, number: int) -> tf.Tensor:
    """Returns other seeds for the augmentation with this `number` in a list."""
    import tensorflow as tf

    step = tf.bitcast(tf.constant(GOLDEN, tf.uint64), tf.int64) * number
    return seeds + tf.stack([tf.zeros_like(step), step])


def signed(draws: tf.Tensor) -> tf.Tensor:
    """Returns `draws` from [0, 1) spread over [-1, 1)."""
    return 2 * draws - 1
