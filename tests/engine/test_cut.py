import keras
import numpy as np
import pytest
from tiny import Ramp, tiny_task

from kft.engine.cut import boundary_tensors, cut
from kft.image.applications import KerasApplication
from kft.recipe.unfreeze import UnfreezeAll, UnfreezeFrom, UnfreezeNone, UnfreezeTop


@pytest.fixture
def backbone():
    return tiny_task(Ramp().load(0)).backbone


def test_both_parts_together_give_what_the_whole_gives(backbone):
    """Two tensors cross the boundary: the dropout's output and the skip connection around it."""
    backbone.train_only(UnfreezeTop(stages=1).choose(backbone))
    inputs = np.random.default_rng(0).normal(size=(5, 8)).astype("float32")

    found = cut(backbone.model)

    assert len(found.suffix.inputs) == 2
    np.testing.assert_array_equal(
        found.suffix(found.prefix(inputs)), backbone.model(inputs, training=False)
    )


def test_all_that_trains_lies_in_the_suffix_and_shares_its_variables(backbone):
    stages = UnfreezeTop(stages=1).choose(backbone)
    backbone.train_only(stages)

    found = cut(backbone.model)

    assert not found.prefix.trainable_variables
    assert {id(v) for v in found.suffix.trainable_variables} == {id(v) for v in stages[0].variables}


def test_a_frozen_backbone_is_all_prefix(backbone):
    backbone.train_only(UnfreezeNone().choose(backbone))

    found = cut(backbone.model)

    assert found.prefix is backbone.model
    assert found.suffix is None


def test_a_backbone_that_trains_from_its_first_weights_is_not_cut(backbone):
    backbone.train_only(UnfreezeAll().choose(backbone))

    assert cut(backbone.model) is None


def test_a_layer_used_twice_trains_wherever_it_is_used():
    shared = keras.layers.Dense(3)
    between = keras.layers.Dense(3, trainable=False)
    inputs = keras.Input((3,))
    model = keras.Model(inputs, shared(between(shared(inputs))))

    assert [tensor.name for tensor in boundary_tensors(model)] == [inputs.name]


@pytest.mark.parametrize("stage", ["block_13_expand", "block_9_depthwise", "Conv_1"])
def test_a_real_backbone_is_cut_at_any_stage(stage):
    source = KerasApplication(name="MobileNetV2", weights=None)
    import tensorflow as tf

    backbone = source.load(tf.TensorSpec((32, 32, 3), tf.uint8), pretrained=False)
    backbone.train_only(UnfreezeFrom(stage=stage).choose(backbone))
    pixels = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype("uint8")

    found = cut(backbone.model)

    np.testing.assert_allclose(
        found.suffix(found.prefix(pixels)), backbone.model(pixels, training=False), atol=1e-6
    )
    assert not found.prefix.trainable_variables
