import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from kft.image.resize import MOST_IN_LINE, resize_images, scaled_sides


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), "uint8")


def resized(pixels, size, how):
    return resize_images(pixels[np.newaxis], size, how)[0].numpy()


@pytest.mark.parametrize("size", [(40, 30), (90, 200)], ids=["smaller", "larger"])
def test_squash_is_pillows_bilinear_filter(size):
    pixels = noise(70, 101)

    ours = resized(pixels, size, "squash")

    pillows = np.asarray(Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BILINEAR))
    assert np.abs(ours.astype(int) - pillows).max() <= 1


@pytest.mark.parametrize("how", ["crop", "pad", "squash"])
def test_a_picture_of_the_right_size_stays_as_it_is(how):
    pixels = noise(32, 48)

    ours = resized(pixels, (32, 48), how)

    np.testing.assert_array_equal(ours, pixels)


def test_crop_cuts_the_middle_out_of_a_picture_that_fits_one_way():
    pixels = noise(32, 81)

    ours = resized(pixels, (32, 32), "crop")

    np.testing.assert_array_equal(ours, pixels[:, 24:56])


@pytest.mark.parametrize(("height", "width"), [(97, 61), (61, 97), (20, 23)])
def test_crop_is_a_resize_that_covers_and_then_a_cut(height, width):
    pixels = noise(height, width)

    ours = resized(pixels, (32, 40), "crop")

    ratio = max(32 / height, 40 / width)
    tall, wide = round(height * ratio), round(width * ratio)
    whole = tf.image.resize(pixels, (tall, wide), antialias=True).numpy()
    top, left = (tall - 32) // 2, (wide - 40) // 2
    expected = np.round(whole[top : top + 32, left : left + 40])
    np.testing.assert_allclose(ours, expected, atol=1)


def test_pad_shows_the_whole_picture_between_black_bars():
    pixels = np.full((20, 40, 3), 200, "uint8")

    ours = resized(pixels, (40, 40), "pad")

    np.testing.assert_array_equal(ours[10:30], pixels)
    assert ours[:10].max() == 0
    assert ours[30:].max() == 0


@pytest.mark.parametrize("how", ["crop", "pad", "squash"])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 5000), (5000, 1), (3, 2), (2999, 7)])
def test_any_size_and_aspect_keeps_its_colour(how, height, width):
    pixels = np.full((height, width, 3), 77, "uint8")

    ours = resized(pixels, (24, 16), how)

    assert ours.shape == (24, 16, 3)
    assert set(np.unique(ours)) - {0} == {77}
    if how != "pad":
        assert ours.min() == 77


def test_floats_are_rounded_as_the_same_bytes_are():
    pixels = noise(50, 60)

    from_bytes = resized(pixels, (32, 32), "crop")
    from_floats = resized(pixels.astype("float32"), (32, 32), "crop")

    np.testing.assert_array_equal(from_floats, from_bytes)


def test_floats_out_of_range_are_cut():
    pixels = np.stack([np.full((4, 4, 3), -9.0), np.full((4, 4, 3), 300.0)]).astype("float32")

    ours = resize_images(pixels, (4, 4), "crop").numpy()

    assert ours[0].max() == 0
    assert ours[1].min() == 255


@pytest.mark.parametrize("how", ["crop", "pad", "squash"])
def test_resize_is_the_same_in_tf_data(how):
    pictures = [noise(30, 50), noise(9, 120)]
    dataset = tf.data.Dataset.from_generator(
        lambda: pictures, output_signature=tf.TensorSpec([None, None, 3], tf.uint8)
    )

    in_graph = dataset.map(lambda x: resize_images(x[tf.newaxis], (16, 24), how)[0])

    for pixels, ours in zip(pictures, in_graph, strict=True):
        np.testing.assert_array_equal(ours, resized(pixels, (16, 24), how))


@pytest.mark.parametrize("how", ["crop", "pad", "squash"])
@pytest.mark.parametrize("size", [(40, 30), (90, 200)], ids=["smaller", "larger"])
@pytest.mark.parametrize("most", [MOST_IN_LINE, 0], ids=["in line", "in rows"])
def test_two_passes_give_the_pixels_of_one_op(how, size, most, monkeypatch):
    monkeypatch.setattr("kft.image.resize.MOST_IN_LINE", most)
    pictures = np.stack([noise(70, 101), noise(70, 101, seed=1)])
    sides = tf.constant([69.5, 100.25], tf.float64)

    ours = resize_images(pictures, size, how, sides)

    scaled = scaled_sides(sides, size, how)
    whole = tf.raw_ops.ScaleAndTranslate(
        images=pictures,
        size=size,
        scale=tf.cast(scaled / sides, tf.float32),
        translation=tf.cast(-((scaled - size) // 2), tf.float32),
        kernel_type="triangle",
        antialias=True,
    )
    np.testing.assert_array_equal(ours, tf.cast(tf.round(whole), tf.uint8))
