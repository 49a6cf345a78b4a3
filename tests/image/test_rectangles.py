import numpy as np
import pytest
import tensorflow as tf

from kft.image.input import ImageInput
from kft.image.rectangles import rectangles


def seeds_of(size):
    return tf.cast(tf.stack([tf.fill([size], 7), tf.range(size)], axis=1), tf.int64)


def drawn(share, size=(20, 40), count=300):
    return rectangles(size, tf.fill([count], share), seeds_of(count)).numpy()[..., 0]


def test_a_rectangle_has_its_share_of_each_side_and_is_cut_off_at_the_edges():
    masks = drawn(0.25)

    heights, widths = masks.any(axis=2).sum(axis=1), masks.any(axis=1).sum(axis=1)
    np.testing.assert_array_equal(masks.sum(axis=(1, 2)), heights * widths)
    assert (heights.max(), widths.max()) == (10, 20)
    assert (heights.min(), widths.min()) == (5, 10)


def test_its_centre_is_anywhere():
    assert drawn(0.01).any(axis=0).mean() > 0.9


@pytest.mark.parametrize(("share", "least"), [(0.0, 0.0), (1.0, 0.25)])
def test_nothing_is_cut_at_a_share_of_nothing_and_a_quarter_at_least_at_one_of_all(share, least):
    areas = drawn(share).mean(axis=(1, 2))

    assert areas.min() >= least
    assert (areas.max() == 0) == (share == 0)


def test_regions_of_a_picture_depend_on_their_own_seed_alone():
    input, seeds = ImageInput(size=(8, 8)), seeds_of(4)

    together = input.regions(tf.fill([4], 0.5), seeds)
    alone = input.regions(tf.fill([1], 0.5), seeds[2:3])

    assert together.shape == (4, 8, 8, 1)
    np.testing.assert_array_equal(alone[0], together[2])
