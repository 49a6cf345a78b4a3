import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import Shaken, vector_split

from kft.cache.cached_rows import RowCache
from kft.cache.feature_rows import FeatureRows, fetch_features
from kft.cache.views import View, views_of

pytestmark = pytest.mark.usefixtures("own_cache")

ROW = np.dtype([("0", "f2", (3,))])


@pytest.fixture(scope="module")
def model():
    inputs = keras.Input((8,))
    return keras.Model(inputs, keras.layers.Dense(3, kernel_initializer="ones")(inputs))


def rows_of(model, view, key):
    return FeatureRows(vector_split(5), ROW, key * 40, "Computing", {}, model, view)


@pytest.mark.parametrize("in_memory", [True, False], ids=["in memory", "on disk"])
@pytest.mark.parametrize("count", [1, 2], ids=["one view", "two views"])
def test_features_are_fetched_in_the_dtype_of_the_model(model, in_memory, count):
    views = views_of(Shaken(), 0, 2, range(2)).variants[:count]
    sets = [RowCache().get(rows_of(model, view, f"{n}"), in_memory) for n, view in enumerate(views)]

    fetch = fetch_features(sets, model)

    last = 5 * count - 1
    one, many = fetch(tf.constant(last, tf.int64)), fetch(tf.constant([0, last], tf.int64))
    assert one.dtype == many.dtype == tf.float32
    index = tf.constant([4], tf.int64)
    varied = views[-1].vary(index, vector_split(5).fetch(4)[None])
    np.testing.assert_allclose(one, model(varied)[0], rtol=1e-3)
    np.testing.assert_array_equal(many[1], one)
    assert many.shape == (2, 3)


def test_a_model_agrees_with_its_first_row_up_to_rounding(model):
    rows = rows_of(model, View(), "a")
    stored = RowCache().get(rows, False)
    other = keras.Sequential([keras.Input((8,)), model, keras.layers.Rescaling(1.1)])

    assert rows.agrees(stored)
    assert not rows_of(other, View(), "a").agrees(stored)
