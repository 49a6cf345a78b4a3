"""Rectangles at random, for CutMix."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kft.image.chance import uniform

if TYPE_CHECKING:
    import tensorflow as tf


def rectangles(size: tuple[int, int], shares: tf.Tensor, seeds: tf.Tensor) -> tf.Tensor:
    """Returns bool ``(batch, height, width, 1)``: true inside one rectangle for each example.

    It has `shares` ``(batch,)`` of the area and the aspect of the whole, and its centre anywhere;
    what stands out is cut off (Yun et al. 2019, arXiv 1905.04899, appendix A).
    """
    import tensorflow as tf

    draws = uniform(seeds, 2)
    down, across = (
        spans(length, tf.sqrt(shares), draws[:, number]) for number, length in enumerate(size)
    )
    return tf.logical_and(down[:, :, tf.newaxis, tf.newaxis], across[:, tf.newaxis, :, tf.newaxis])


def spans(length: int, shares: tf.Tensor, centres: tf.Tensor) -> tf.Tensor:
    """Returns bool ``(batch, length)``: true on a stretch of `shares`, centred at `centres`."""
    import tensorflow as tf

    long = tf.cast(tf.round(length * shares), tf.int32)
    start = tf.cast(tf.floor(length * centres), tf.int32) - long // 2
    places = tf.range(length)[tf.newaxis]
    return (places >= start[:, tf.newaxis]) & (places < (start + long)[:, tf.newaxis])
