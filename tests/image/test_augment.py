import time
from functools import cache

import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError

from kft.augmentation import Augmentation
from kft.image.augment import (
    Brightness,
    Contrast,
    Flip,
    Mild,
    RandomCrop,
    Rotate,
    Shift,
    Zoom,
    augmented,
)
from kft.image.chance import fold, uniform
from kft.image.rand_augment import OPERATIONS, RandAugment, autocontrast, equalize
from kft.image.warp import cut_out, matrices, rotations, warp, width_and_height
from kft.settings.catalog import CATALOG

EVERY_KIND = [
    Flip(vertical=True),
    Rotate(degrees=30),
    Shift(width=0.2, height=0.2),
    Zoom(fraction=0.3),
    RandomCrop(),
    Brightness(factor=0.3),
    Contrast(factor=0.5),
    Mild(),
    RandAugment(),
]
WITHOUT_STRENGTH = [
    Flip(horizontal=False),
    Rotate(degrees=0),
    Shift(width=0, height=0),
    Zoom(fraction=0),
    RandomCrop(area=1, aspect=1),
    Brightness(factor=0),
    Contrast(factor=0),
]


def noise(count, height=24, width=24):
    levels = np.random.default_rng(0).integers(0, 256, (count, height, width, 3))
    return tf.constant(levels, tf.float32)


def seeds(count, start=0):
    return tf.constant([[7, start + index] for index in range(count)], tf.int64)


def names(augmentations):
    return [each.kind for each in augmentations]


@cache
def traced(number):
    """The augmentation with this number in EVERY_KIND, as one graph for any batch of noise."""
    images = tf.TensorSpec([None, 24, 24, 3], tf.float32)
    signature = [images, tf.TensorSpec([None, 2], tf.int64)]
    return tf.function(EVERY_KIND[number].apply, input_signature=signature)


def test_every_kind_of_augmentation_is_tested_here():
    assert {*CATALOG["augmentation"]} - {*names(EVERY_KIND)} == set()


@pytest.mark.parametrize("each", EVERY_KIND, ids=names(EVERY_KIND))
def test_a_variant_does_not_depend_on_its_batch(each):
    images = noise(9)
    apply = traced(EVERY_KIND.index(each))

    whole = apply(images, seeds(9)).numpy()

    order = [4, 8, 0]
    some = apply(tf.gather(images, order), tf.gather(seeds(9), order))
    alone = apply(images[4:5], seeds(9)[4:5])
    np.testing.assert_array_equal(some, whole[order])
    np.testing.assert_array_equal(alone, whole[4:5])


@pytest.mark.parametrize("each", EVERY_KIND, ids=names(EVERY_KIND))
def test_seeds_give_different_variants_in_range_and_the_same_seed_the_same(each):
    images = tf.repeat(noise(1), 16, axis=0)
    apply = traced(EVERY_KIND.index(each))

    first = apply(images, seeds(16)).numpy()
    again = apply(images, seeds(16)).numpy()

    np.testing.assert_array_equal(again, first)
    assert len({variant.tobytes() for variant in first}) >= (4 if each.kind == "flip" else 14)
    assert first.min() >= 0
    assert first.max() <= 255
    assert first.shape == images.shape


@pytest.mark.parametrize("each", WITHOUT_STRENGTH, ids=names(WITHOUT_STRENGTH))
def test_an_augmentation_without_strength_changes_nothing(each):
    images = noise(5, height=17, width=30)

    varied = each.apply(images, seeds(5))

    np.testing.assert_array_equal(varied, images)


def test_a_list_without_strength_changes_nothing():
    images = noise(5, height=17, width=30)

    varied = augmented(WITHOUT_STRENGTH, images, seeds(5))

    np.testing.assert_array_equal(varied, images)


def test_flip_mirrors_about_half_of_the_pictures_left_to_right():
    images = tf.repeat(noise(1), 200, axis=0)

    varied = Flip().apply(images, seeds(200)).numpy()

    is_mirrored = (varied == images.numpy()[:, :, ::-1]).all(axis=(1, 2, 3))
    is_kept = (varied == images.numpy()).all(axis=(1, 2, 3))
    assert (is_mirrored | is_kept).all()
    assert 70 < is_mirrored.sum() < 130


def test_flip_mirrors_top_to_bottom_on_request():
    images = tf.repeat(noise(1), 50, axis=0)

    varied = Flip(horizontal=False, vertical=True).apply(images, seeds(50)).numpy()

    is_mirrored = (varied == images.numpy()[:, ::-1]).all(axis=(1, 2, 3))
    assert 10 < is_mirrored.sum() < 40


def test_a_rotation_by_a_right_angle_is_rot90():
    images = noise(2)

    turned = warp(images, rotations(tf.constant([np.pi / 2, -np.pi / 2], tf.float32)))

    np.testing.assert_allclose(turned[0], tf.image.rot90(images[0]), atol=0.01)
    np.testing.assert_allclose(turned[1], tf.image.rot90(images[1], k=3), atol=0.01)


def test_rotate_turns_either_way_and_no_further_than_its_degrees():
    transforms = Rotate(degrees=40).transforms(seeds(500), tf.constant([24.0, 24.0])).numpy()

    degrees = np.degrees(np.arctan2(transforms[:, 1, 0], transforms[:, 0, 0]))

    assert 38 < degrees.max() <= 40
    assert -40 <= degrees.min() < -38
    assert abs(degrees.mean()) < 4


def middle_of_a_dot(augmentation, count=60):
    """Returns how far, to the right and down, each variant of a dot in the middle moved."""
    dot = np.zeros((1, 41, 61, 3), "float32")
    dot[:, 19:22, 29:32] = 255
    varied = augmentation.apply(tf.repeat(dot, count, axis=0), seeds(count)).numpy()[..., 0]
    weights = varied / varied.sum(axis=(1, 2), keepdims=True)
    right = (weights * np.arange(61)).sum(axis=(1, 2)) - 30
    down = (weights * np.arange(41)[:, np.newaxis]).sum(axis=(1, 2)) - 20
    return right, down


def test_shift_moves_by_shares_of_its_own_side():
    right, down = middle_of_a_dot(Shift(width=0.2, height=0))

    assert 11 < right.max() <= 12.2
    assert -12.2 <= right.min() < -11
    np.testing.assert_allclose(down, 0, atol=0.01)


def test_shift_moves_the_way_its_draw_says():
    right, down = middle_of_a_dot(Shift(width=0.2, height=0.3))

    draws = 2 * uniform(seeds(60), 2).numpy() - 1
    np.testing.assert_allclose(right, draws[:, 0] * 0.2 * 61, atol=0.01)
    np.testing.assert_allclose(down, draws[:, 1] * 0.3 * 41, atol=0.01)


def test_zoom_scales_about_the_middle():
    square = np.zeros((1, 41, 41, 3), "float32")
    square[:, 10:31, 10:31] = 255

    varied = Zoom(fraction=0.3).apply(tf.repeat(square, 80, axis=0), seeds(80)).numpy()

    sides = np.sqrt(varied[..., 0].sum(axis=(1, 2)) / 255)
    scales = 1 + 0.3 * (2 * uniform(seeds(80), 1).numpy()[:, 0] - 1)
    np.testing.assert_allclose(sides, 21 * scales, atol=0.7)


def test_random_crop_stays_inside_and_keeps_its_area_and_aspect():
    crop = RandomCrop(area=0.4, aspect=2)

    transforms = crop.transforms(seeds(1000), tf.constant([60.0, 40.0])).numpy()

    width, height = transforms[:, 0, 0], transforms[:, 1, 1]
    assert (np.abs(transforms[:, 0, 2]) <= 60 * (1 - width) / 2 + 1e-4).all()
    assert (np.abs(transforms[:, 1, 2]) <= 40 * (1 - height) / 2 + 1e-4).all()
    assert max(width.max(), height.max()) <= 1
    assert 0.5 - 1e-4 <= (width / height).min() < 0.55
    assert 1.8 < (width / height).max() <= 2 + 1e-4
    assert 0.4 - 1e-4 <= (width * height).min() < 0.45
    assert (width * height).max() > 0.9


@pytest.mark.parametrize("sides", [(24, 24), (17, 30), (1, 9)])
def test_a_mirrored_crop_is_cut_out_as_it_would_be_warped(sides):
    images = noise(200, *sides)
    widths, crop = width_and_height(images), RandomCrop(area=0.3)
    mirrored = Flip().transforms(seeds(200), widths) @ crop.transforms(seeds(200, 1), widths)

    found, expected = cut_out(images, mirrored), warp(images, mirrored)

    # But where it would reach half a pixel beyond the edge.
    is_same = np.abs(found - expected).max(axis=(1, 2, 3)) < 0.1
    assert is_same.mean() > 0.7


@pytest.mark.parametrize("side", [-1, 1])
def test_crops_up_to_an_edge_have_none_that_is_black(side):
    images = tf.fill([1000, 1, 100, 3], 255.0)
    shares = tf.linspace(0.1, 1.0, 1000)
    at_the_edge = matrices(shares, [[shares, 0, side * (1 - shares) * 99 / 2], [0, 1, 0]])

    found = cut_out(images, at_the_edge).numpy()

    assert found.min() == 255


def test_brightness_adds_the_same_everywhere():
    images = tf.fill([50, 4, 4, 3], 128.0)

    varied = Brightness(factor=0.2).apply(images, seeds(50)).numpy()

    added = varied[:, 0, 0, 0] - 128
    np.testing.assert_array_equal(varied, np.broadcast_to(varied[:, :1, :1, :1], varied.shape))
    assert 45 < added.max() <= 51
    assert -51 <= added.min() < -45


def test_contrast_scales_the_distance_from_the_mean():
    images = tf.repeat(tf.constant([100.0, 140.0])[tf.newaxis, :, tf.newaxis, tf.newaxis], 50, 0)
    images = tf.tile(images, [1, 1, 1, 3])

    varied = Contrast(factor=0.5).apply(images, seeds(50)).numpy()

    reach = varied[:, 1, 0, 0] - varied[:, 0, 0, 0]
    np.testing.assert_allclose(varied.mean(axis=(1, 2, 3)), 120, atol=1e-3)
    assert 55 < reach.max() <= 60
    assert 20 <= reach.min() < 25


def test_geometric_augmentations_of_a_list_resample_once():
    images = noise(3)
    both = [Rotate(degrees=30), Brightness(factor=0), Shift(width=0.3)]

    graph = tf.function(lambda x: augmented(both, x, seeds(3))).get_concrete_function(images).graph

    types = [operation.type for operation in graph.get_operations()]
    assert types.count("ImageProjectiveTransformV3") == 1


def test_geometric_augmentations_of_a_list_apply_in_its_order():
    class ToTheRight(Shift):
        def transforms(self, seeds, sides):
            return matrices(seeds, [[1, 0, -5], [0, 1, 0]])

    class Turned(Rotate):
        def transforms(self, seeds, sides):
            return rotations(tf.fill(tf.shape(seeds)[:1], np.float32(np.pi / 2)))

    dot = np.zeros((1, 25, 25, 3), "float32")
    dot[:, 12, 12] = 255

    shifted_then_turned = augmented([ToTheRight(), Turned()], tf.constant(dot), seeds(1))
    turned_then_shifted = augmented([Turned(), ToTheRight()], tf.constant(dot), seeds(1))

    assert shifted_then_turned[0, 7, 12, 0] > 254
    assert turned_then_shifted[0, 12, 17, 0] > 254


def test_two_augmentations_of_a_list_draw_different_numbers():
    images = tf.fill([100, 2, 2, 3], 128.0)

    twice = augmented([Brightness(factor=0.1), Brightness(factor=0.1)], images, seeds(100))

    once = Brightness(factor=0.2).apply(images, seeds(100))
    first = uniform(seeds(100), 1).numpy()[:, 0]
    second = uniform(fold(seeds(100), 1), 1).numpy()[:, 0]
    assert np.abs(twice - once).max() > 5
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.3


def test_mild_shows_most_of_a_picture_unmirrored_and_little_changed():
    ramp = tf.broadcast_to(
        tf.linspace(60.0, 190.0, 24)[tf.newaxis, tf.newaxis, :, tf.newaxis], [200, 24, 24, 3]
    )

    varied = Mild().apply(ramp, seeds(200)).numpy()

    reach = varied[:, 12, -1, 0] - varied[:, 12, 0, 0]
    assert 130 * 0.6 < reach.min() < reach.max() <= 130 * 1.1
    assert 10 < np.abs(varied.mean(axis=(1, 2, 3)) - 125).max() < 50


def test_what_follows_mild_in_a_list_draws_other_numbers_than_its_parts():
    grey = tf.fill([100, 8, 8, 3], 128.0)
    alone = Mild().apply(grey, seeds(100)).numpy() - 128
    both = augmented([Mild(), Brightness(factor=0.1)], grey, seeds(100)).numpy() - 128

    first, second = alone[:, 0, 0, 0], (both - alone)[:, 0, 0, 0]

    assert abs(np.corrcoef(first, second)[0, 1]) < 0.3


def test_numbers_are_uniform_and_independent_between_neighbouring_seeds():
    draws = uniform(seeds(20000), 2).numpy()

    counts, _ = np.histogram(draws, bins=20, range=(0, 1))
    assert draws.min() >= 0
    assert draws.max() < 1
    assert np.abs(counts / counts.mean() - 1).max() < 0.08
    assert abs(np.corrcoef(draws[:-1, 0], draws[1:, 0])[0, 1]) < 0.03
    assert abs(np.corrcoef(draws[:, 0], draws[:, 1])[0, 1]) < 0.03


def split_mix(state):
    """The published generator, in Python integers."""
    word = (state ^ (state >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB % 2**64
    return word ^ (word >> 31)


def test_numbers_of_a_seed_are_those_of_split_mix_on_every_machine():
    pairs = [[0, 0], [1, -1], [-(2**63), 2**63 - 1], [12345, 67890]]

    draws = uniform(tf.constant(pairs, tf.int64), 3).numpy()

    for (first, second), drawn in zip(pairs, draws, strict=True):
        state = split_mix(split_mix(first % 2**64) + second % 2**64 & 2**64 - 1)
        words = [split_mix((state + n * 0x9E3779B97F4A7C15) % 2**64) for n in (1, 2, 3)]
        np.testing.assert_array_equal(drawn, [(word >> 40) * 2.0**-24 for word in words])


def test_augmentations_of_a_batch_are_quick():
    listed = [Flip(), Rotate(), Shift(), Zoom()]
    images = tf.random.uniform((32, 160, 160, 3), maxval=255)
    apply = tf.function(lambda x, s: augmented(listed, x, s))
    apply(images, seeds(32))

    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        apply(images, seeds(32))
        seconds.append(time.perf_counter() - start)

    assert min(seconds) < 0.3


SPREADING = (autocontrast, equalize)


def test_rand_augment_without_strength_only_spreads_levels():
    image = noise(1)[0]
    others = [operation for operation in OPERATIONS if operation not in SPREADING]

    varied = [operation(image, tf.zeros([])) for operation in others]

    for each in varied:
        np.testing.assert_array_equal(each, image)


@pytest.mark.parametrize("operation", OPERATIONS[1:], ids=lambda operation: operation.__name__)
@pytest.mark.parametrize("strength", [-1.0, 1.0])
def test_every_operation_of_rand_augment_changes_a_picture(operation, strength):
    levels = np.random.default_rng(0).integers(60, 170, (16, 20, 3)).astype("float32")

    varied = operation(tf.constant(levels), tf.constant(strength)).numpy()

    assert varied.shape == levels.shape
    assert np.isfinite(varied).all()
    assert np.abs(varied - levels).mean() > 1


def test_equalize_and_autocontrast_leave_a_plain_picture_as_it_is():
    plain = tf.fill([8, 8, 3], 90.0)

    varied = [operation(plain, tf.ones([])) for operation in SPREADING]

    for each in varied:
        np.testing.assert_array_equal(each, plain)


def test_rand_augment_goes_further_at_a_larger_magnitude():
    images = noise(32)

    weak = RandAugment(magnitude=0.1).apply(images, seeds(32))
    strong = RandAugment(magnitude=0.9).apply(images, seeds(32))

    assert np.abs(strong - images).mean() > 1.5 * np.abs(weak - images).mean()


@pytest.mark.parametrize(
    "setting",
    [
        {"kind": "rotate", "degrees": -1},
        {"kind": "shift", "width": 1.5},
        {"kind": "zoom", "fraction": 1},
        {"kind": "random_crop", "area": 0},
        {"kind": "rand_augment", "magnitude": 2},
        {"kind": "rand_augment", "operations": 0},
    ],
)
def test_a_setting_out_of_range_is_refused(setting):
    with pytest.raises(ValidationError, match="Input should be"):
        Augmentation.model_validate(setting)
