from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from shown import shown_lines
from tiny import Ramp, Shaken, TinyDense, Vectors, vector_split

from kft.cache import inference as passes
from kft.cache import store
from kft.cache.decode import read
from kft.cache.feature_cache import FeatureCache, FeatureRequest
from kft.cache.place import CachePolicy
from kft.cache.store import entries
from kft.cache.views import views_of
from kft.errors import ConfigError

pytestmark = pytest.mark.usefixtures("own_cache")


@pytest.fixture(scope="module")
def model():
    """Two tensors at the boundary, as where a skip connection crosses it."""
    whole = TinyDense().load(Vectors().spec).model
    norm = whole.get_layer("norm").output
    return keras.Model(whole.input, [norm, keras.layers.Reshape((2, 3))(norm)])


@pytest.fixture
def split():
    return vector_split(passes.PASS_SIZE + 6)


def keep(model, split, mode="auto", dtype="float32", **wanted):
    feature_cache = FeatureCache(CachePolicy(mode, 0, dtype), 0, "tiny")
    return feature_cache.get(FeatureRequest(model, split, "train", **wanted))


def fetched(kept, indices):
    return [output.numpy() for output in kept.split.fetch(tf.constant(indices, tf.int64))]


def expected(model, split, indices):
    inputs = tf.stack([split.fetch(index) for index in indices])
    return [output.numpy() for output in model(inputs, training=False)]


@pytest.mark.parametrize("mode", ["memory", "auto", "disk"])
def test_features_are_those_of_the_model_wherever_they_are(model, split, mode):
    kept = keep(model, split, mode)

    many = [5, 69, 0, 5]
    for indices in (many, 69):
        for found, wanted in zip(
            fetched(kept, indices), expected(model, split, np.atleast_1d(indices)), strict=True
        ):
            np.testing.assert_allclose(found.reshape(wanted.shape), wanted, atol=1e-6)
    assert kept.split.fetches_many
    assert kept.split.labels is split.labels
    assert kept.split.names is split.names
    assert len(entries()) == (0 if mode == "memory" else 1)


def test_features_on_disk_have_a_known_shape_in_a_pipeline(model, split):
    kept = keep(model, split, "disk")

    indices = tf.data.Dataset.range(8).batch(4)

    assert [spec.shape for spec in kept.split.fetched(indices, 4).element_spec[1]] == [
        (None, 6),
        (None, 2, 3),
    ]


def told_by(do):
    with shown_lines() as lines:
        return do(), lines


@pytest.mark.parametrize("mode", ["auto", "disk"])
def test_the_next_run_finds_them_and_computes_nothing(model, split, mode):
    first = keep(model, split, mode)

    again, told = told_by(lambda: keep(model, split, mode))

    assert told == ["Computing the features of train: found on disk, from an earlier run"]
    for a, b in zip(fetched(first, [3, 69]), fetched(again, [3, 69]), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_run_that_wants_others_does_not_find_them(model, split):
    keep(model, split)
    keep(model, vector_split(70, seed=1))
    keep(model, split, dtype="float16")
    for variable in model.variables[:1]:
        before = variable.numpy()
        variable.assign(before + 0.1)
        keep(model, split)
        variable.assign(before)

    assert len(entries()) == 4


def test_features_in_tf32_are_not_those_of_a_cpu(model, split, monkeypatch):
    keep(model, split)
    monkeypatch.setattr(tf.config, "get_visible_devices", lambda kind: ["GPU:0"])
    monkeypatch.setattr(
        tf.config.experimental, "get_device_details", lambda _: {"compute_capability": (9, 0)}
    )
    keep(model, split)

    assert len(entries()) == 2


def test_damaged_features_are_computed_again_and_a_person_is_told(model, split):
    first = keep(model, split)
    path = entries()[0].path
    path.write_bytes(path.read_bytes()[:-20])

    again, told = told_by(lambda: keep(model, split))

    assert "cannot be used, since it is cut off: computing it again" in told[0]
    assert told[1:] == ["Computing the features of train"]
    for a, b in zip(fetched(first, [3, 69]), fetched(again, [3, 69]), strict=True):
        np.testing.assert_array_equal(a, b)
    assert entries()[0].metadata["backbone"] == "tiny"


class Scaled(keras.layers.Layer):
    """A layer of a user's, whose code can change while its config does not."""

    factor = 1.0

    def call(self, inputs):
        return self.factor * inputs


def scaled():
    inputs = keras.Input((8,))
    return keras.Model(inputs, Scaled()(keras.layers.Dense(3, kernel_initializer="ones")(inputs)))


def test_features_of_other_code_are_computed_again(split, monkeypatch):
    keep(scaled(), split)
    monkeypatch.setattr(Scaled, "factor", 2.0)
    model = scaled()

    kept, told = told_by(lambda: keep(model, split))

    assert "cannot be used, since the code now gives others" in told[0]
    row = kept.split.fetch(tf.constant([1], tf.int64))
    np.testing.assert_allclose(row, model(split.fetch(1)[None]), atol=1e-6)


class Opaque(keras.Model):
    """Not Functional: its graph cannot be seen."""

    def __init__(self, units, **keywords):
        super().__init__(**keywords)
        self.units = units
        self.dense = keras.layers.Dense(units, kernel_initializer="ones")

    def call(self, inputs):
        return self.dense(inputs)

    def get_config(self):
        return {"units": self.units}


def test_an_opaque_model_is_kept_whole_and_told_by_class_config_and_weights(split):
    models = [Opaque(3), Opaque(4), Opaque(3)]
    for model in models:
        model(keras.Input((8,)))
    for model in models:
        keep(model, split)
    models[2].dense.bias.assign([1.0, 0.0, 0.0])
    keep(models[2], split)

    assert len(entries()) == 3


def test_half_floats_are_off_by_what_is_promised_and_come_back_as_the_model_gives_them(
    model, split
):
    exact, short = keep(model, split, "memory"), keep(model, split, "memory", "float16")

    everything = list(range(split.size))
    for a, b in zip(fetched(exact, everything), fetched(short, everything), strict=True):
        assert a.dtype == b.dtype == np.float32
        assert not np.array_equal(a, b)
        assert (np.abs(a - b) <= np.maximum(np.abs(a) / 2**11, 2.0**-25)).all()


def test_features_too_large_for_half_floats_are_refused(split):
    inputs = keras.Input((8,))
    model = keras.Model(inputs, keras.layers.Rescaling(1e6)(inputs))

    with pytest.raises(ConfigError, match=r"cache_dtype: float16 holds .* 65504, .* reach \d"):
        keep(model, split, "memory", "float16")


def test_what_fits_neither_memory_nor_disk_is_not_kept(model, split, monkeypatch):
    monkeypatch.setattr(passes, "memory_budget", lambda: 0)
    monkeypatch.setattr(store, "free_bytes", lambda: 0)

    kept = keep(model, split)

    assert kept.split is None
    assert kept.message.startswith("computed anew: 3.4 kB are more than the 0 bytes of memory")


def test_what_is_too_large_for_memory_goes_to_disk(model, split, monkeypatch):
    monkeypatch.setattr(passes, "memory_budget", lambda: 0)

    kept = keep(model, split)

    assert kept.message == "3.4 kB on disk"
    np.testing.assert_allclose(fetched(kept, [3])[0], expected(model, split, [3])[0], atol=1e-6)


@pytest.mark.parametrize("memory", [2**30, 0], ids=["kept in memory", "computed anew"])
def test_a_disk_that_fills_up_does_not_end_the_run(model, split, monkeypatch, memory):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(passes, "memory_budget", lambda: memory)
    monkeypatch.setattr(store.os, "fsync", full)

    kept, told = told_by(lambda: keep(model, split))

    assert [line for line in told if "No space left on device" in line] == [told[-1]]
    assert (kept.split is not None) == bool(memory)
    assert entries() == []


def test_a_phase_takes_over_what_the_one_before_kept(model, split):
    feature_cache = FeatureCache(CachePolicy("memory"), 0, "tiny")
    wanted = FeatureRequest(model, split, "train")
    first = feature_cache.get(wanted)

    assert feature_cache.get(replace(wanted, model=keras.Model(model.input, model.output))) is first
    assert feature_cache.get(replace(wanted, split=vector_split(3))) is not first


@pytest.mark.parametrize("mode", ["memory", "disk"])
def test_views_are_kept_one_after_another(model, split, mode):
    views = views_of(Shaken(), 0, 2, range(2))

    kept = keep(model, split, mode, views=views)

    rows = [3, 69 + 70, 3 + 70]
    found = fetched(kept, rows)[0]
    for place, (view, index) in enumerate([(0, 3), (1, 69), (1, 3)]):
        indices = tf.constant([index], tf.int64)
        varied = views.variants[view].vary(indices, split.fetch(index)[None])
        np.testing.assert_allclose(found[place], model(varied)[0][0], atol=1e-5)


def test_a_cache_that_is_off_keeps_nothing(model, split):
    kept = keep(model, split, "off")

    assert kept.split is None
    assert kept.message == "computed anew: cache is off"
    assert entries() == []


def test_a_ramp_is_read_with_what_tells_its_examples_apart():
    reading = read(Ramp().load(0), "stop")

    assert reading.decoded.train.digests.shape == (22, 16)
    assert reading.decoded.train.fetches_many
