import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sklearn.datasets import load_digits

from kft.image.digits import Digits
from kft.sources.splitting.split_rule import SplitRule


@pytest.fixture(scope="module")
def splits():
    return Digits().load(0)


def picture(split, index):
    raw = split.fetch(tf.constant(index, "int64")).numpy()
    return np.asarray(Image.open(io.BytesIO(raw)))


def test_digits_are_all_there_once(splits):
    names = [name for split in splits.by_name().values() for name in split.names]

    assert sorted(names) == [f"digits/{number:04}.png" for number in range(1797)]
    assert splits.target.names == tuple("0123456789")


def test_each_split_has_its_share_of_each_digit(splits):
    counts = {name: np.bincount(split.labels) for name, split in splits.by_name().items()}

    everything = sum(counts.values())
    assert np.all(abs(counts["train"] - 0.7 * everything) < 1)
    assert np.all(abs(counts["validation"] - 0.15 * everything) < 1)
    assert np.all(abs(counts["test"] - 0.15 * everything) < 1)


def test_names_labels_and_pictures_agree(splits):
    scans, labels = load_digits(return_X_y=True)

    for split in splits.by_name().values():
        number = int(split.names[7].removeprefix("digits/").removesuffix(".png"))
        small = Image.fromarray(picture(split, 7)).resize((8, 8), Image.Resampling.BOX)
        ink = 16 - np.asarray(small) / (255 / 16)
        assert split.labels[7] == labels[number]
        assert np.corrcoef(ink.ravel(), scans[number])[0, 1] > 0.95


def test_strokes_are_dark_on_white_paper_of_96_pixels(splits):
    pictures = np.stack([picture(splits.test, index) for index in range(20)])

    assert pictures.shape == (20, 96, 96)
    assert pictures.dtype == np.uint8
    assert pictures[:, :, 0].mean() > 240
    assert pictures[:, 40:56, 40:56].min() < 60


def test_without_a_test_share_there_is_no_test_split():
    splits = Digits(split=SplitRule(validation=0.5, test=0)).load(0)

    assert splits.test is None
    assert splits.train.size + splits.validation.size == 1797


def test_the_default_input_resizes_nothing():
    source = Digits()

    assert source.input.kind == "image"
    assert source.input.spec.shape[:2] == (96, 96)
