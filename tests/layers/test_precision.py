"""Mixed precision: the backbone computes in few digits, weights and answers stay float32."""

import re
from contextlib import suppress
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import (
    Ramp,
    TinyDense,
    TinyWords,
    Vectors,
    assert_same_weights,
    same,
    training,
    values,
    vector_split,
)

from kft.cache.feature_cache import FeatureCache, FeatureRequest
from kft.cache.place import CachePolicy
from kft.config.run_config import load_config
from kft.engine.cut import cut
from kft.engine.parts import SegmentEpochs, train_validation_of
from kft.engine.train import train
from kft.heads.classifier import Classifier
from kft.layers.inference_mode import InferenceMode
from kft.layers.precision import compute_dtypes, computing_in, loss_scaled, speed_note
from kft.phase import Phase
from kft.recipe.optimizer import Sgd
from kft.recipe.unfreeze import UnfreezeAll, UnfreezeTop
from kft.rounding import on_one_cpu
from kft.task import assemble, save_weights
from kft.workflows.rerun import evaluate_run, open_run
from kft.workflows.run import run

MIXED = pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])


def phase(name="only", **settings):
    defaults = {
        "epochs": 1,
        "optimizer": Sgd(learning_rate=0.05, momentum=0.9),
        "unfreeze": UnfreezeAll(),
    }
    return Phase(name=name, **{**defaults, **settings})


def mixed_task(precision, augment=False, **backbone):
    """A task and its splits, the backbone built in `precision`."""
    splits = Ramp(input=Vectors(claims_to_augment=augment)).load(0)
    with computing_in(precision):
        keras.utils.set_random_seed(0)
        loaded = TinyDense(**backbone).load(splits.input.spec)
    return assemble(loaded, Classifier(), splits.target, splits.input), splits


def test_the_policy_of_the_process_comes_back_even_after_an_error():
    before = keras.config.dtype_policy()

    with suppress(KeyError), computing_in("mixed_float16"):
        assert keras.layers.Dense(1).compute_dtype == "float16"
        raise KeyError

    assert keras.config.dtype_policy() == before
    assert keras.layers.Dense(1).compute_dtype == "float32"


@MIXED
def test_weights_and_head_are_float32_and_the_backbone_computes_in_less(precision, tmp_path):
    task, _ = mixed_task(precision)

    save_weights(task, tmp_path / "a.weights.h5")

    low = precision.removeprefix("mixed_")
    assert compute_dtypes(task.backbone.model) == {low}
    assert task.backbone.model.outputs[0].dtype == low
    assert {weight.dtype for weight in task.model.weights} == {"float32"}
    assert compute_dtypes(task.head_model) == {"float32"}
    assert task.model.outputs[0].dtype == "float32"


@MIXED
def test_inputs_come_to_the_first_layer_as_they_are(precision):
    """A layer for preprocessing may be float32; half precision would round what it is given."""
    with computing_in(precision):
        inputs = keras.Input((8,))
        whitened = keras.layers.Rescaling(1.0, -2048.0, dtype="float32")(inputs)
        model = keras.Model(inputs, whitened)

    outputs = InferenceMode(model)(tf.fill((1, 8), 2049.0))

    assert outputs.numpy().tolist() == [[1.0] * 8]


@MIXED
def test_strings_go_through_a_mixed_backbone(precision):
    with computing_in(precision):
        model = TinyWords().load(tf.TensorSpec((), tf.string)).model

    assert model(tf.constant(["low"])).dtype.name == precision.removeprefix("mixed_")


def test_kept_activations_give_what_the_whole_model_gives():
    """In float16, where the loss is scaled too; a skip connection crosses the boundary."""
    trained = []
    for augment in (False, True):
        task, splits = mixed_task("mixed_float16", augment)
        top = phase(epochs=2, unfreeze=UnfreezeTop(stages=1))
        (result,) = train(training(task, splits), [top])
        trained.append((result, values(task.model.variables)))

    assert_same_weights(*trained)
    kept, whole = (result for result, _ in trained)
    assert kept.epochs[-1]["val_loss"] == pytest.approx(whole.epochs[-1]["val_loss"], abs=1e-5)


@MIXED
def test_kept_features_have_the_dtype_that_the_backbone_gives(precision):
    task, splits = mixed_task(precision)
    task.backbone.train_only(())

    kept = FeatureCache(CachePolicy("memory"), 0, "tiny").get(
        FeatureRequest(cut(task.backbone.model).prefix, splits.train, "train")
    )

    assert kept.split.fetch(tf.constant(0)).dtype.name == precision.removeprefix("mixed_")


@pytest.mark.parametrize(
    ("precision", "stages", "scaled"),
    [
        ("float32", 2, False),
        ("mixed_bfloat16", 2, False),
        ("mixed_float16", 0, False),
        ("mixed_float16", 1, True),
    ],
)
def test_the_loss_is_scaled_where_float16_layers_train(precision, stages, scaled):
    task, splits = mixed_task(precision)
    chosen = task.backbone.stages[2 - stages :]
    task.backbone.train_only(chosen)
    model = train_validation_of(training(task, splits), SegmentEpochs(range(1))).train.model

    optimizer = loss_scaled(keras.optimizers.SGD(), model)

    assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer) is scaled


class Steps(keras.callbacks.Callback):
    """Notes how many steps the optimizer took, out of how many, and the scale of the loss."""

    def __init__(self, seen):
        super().__init__()
        self.seen = seen

    def on_train_end(self, logs=None):
        optimizer = self.model.optimizer
        self.seen += [int(optimizer.iterations), float(optimizer.dynamic_scale)]


def test_a_step_left_out_for_its_gradients_is_no_divergence():
    """Inputs in the hundreds make the first scale too high."""
    task, splits = mixed_task("mixed_float16")
    split = splits.train
    loud = replace(split, fetch=lambda index: 300 * split.fetch(index))
    seen = []
    how = training(task, replace(splits, train=loud), callbacks=lambda: [Steps(seen)])
    kernel = task.backbone.stages[0].variables[:1]
    before = values(kernel)

    (result,) = train(how, [phase(epochs=2)])

    steps, scale = seen
    assert 0 < steps < 12
    assert scale < 2**15
    assert np.isfinite(result.epochs[-1]["loss"])
    assert result.epochs[-1]["learning_rate"] == pytest.approx(0.05)
    assert same(kernel, before) == [False]


def test_the_norm_is_clipped_after_the_scale_is_taken_off():
    task, _ = mixed_task("mixed_float16")
    weights = task.model.trainable_variables
    before = values(weights)
    optimizer = loss_scaled(keras.optimizers.SGD(0.5, global_clipnorm=1e3), task.model)
    scale = optimizer.scale_loss(1.0)

    optimizer.apply([tf.ones(weight.shape) * scale for weight in weights], weights)

    assert float(scale) > 1e3
    for now, old in zip(values(weights), before, strict=True):
        np.testing.assert_allclose(now, old - 0.5, atol=1e-6)


def config(directory, precision, **settings):
    return load_config(
        {
            "output_dir": str(directory),
            "data": {"kind": "tiny:Ramp"},
            "backbone": {"kind": "tiny:TinyDense", "batch_norm": "recalibrate"},
            "phases": [phase(epochs=2).model_dump(mode="json")],
            "precision": precision,
            **settings,
        }
    )


def test_a_mixed_run_can_be_opened_and_scored_again(tmp_path):
    precision = "mixed_bfloat16"
    result = run(config(tmp_path / "run", precision, exporters=[]))

    opened, task = open_run(tmp_path / "run")
    again = evaluate_run(tmp_path / "run")

    assert opened.precision == precision
    assert precision.removeprefix("mixed_") in compute_dtypes(task.model)
    assert again["test"]["loss"] == pytest.approx(result.scores["test"]["loss"], abs=1e-6)
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.slow
@MIXED
def test_a_mixed_run_is_exported_and_verified(precision, tmp_path):
    result = run(config(tmp_path / "run", precision))

    (path,), (difference,) = result.exports.keys(), result.exports.values()
    served = tf.saved_model.load(str(path)).signatures["serving_default"]
    named = served(vectors=vector_split(3).fetch(tf.range(3)))
    assert named["probabilities"].dtype == tf.float32
    assert difference <= on_one_cpu(open_run(tmp_path / "run")[1].model)


@pytest.mark.parametrize(
    ("precision", "capability", "note"),
    [
        ("mixed_bfloat16", (7, 5), "T has no units for 'mixed_bfloat16', .* Use 'mixed_float16'"),
        ("mixed_bfloat16", (6, 1), "T has no units for 'mixed_bfloat16', .* Use 'float32'"),
        ("mixed_float16", (6, 1), "T has no units for 'mixed_float16', .* Use 'float32'"),
        ("float32", (7, 0), "precision 'mixed_float16' is faster on T"),
        ("float32", (9, 0), "precision 'mixed_bfloat16' is faster on T"),
    ],
)
def test_a_precision_that_a_gpu_is_slow_at_is_noted(precision, capability, note):
    assert re.match(note, speed_note(precision, "T", capability))


@pytest.mark.parametrize(
    ("precision", "capability"),
    [
        ("mixed_bfloat16", (8, 0)),
        ("mixed_float16", (9, 0)),
        ("float32", (6, 1)),
        ("float32", None),
    ],
)
def test_a_precision_that_suits_a_gpu_is_not_noted(precision, capability):
    assert speed_note(precision, "T", capability) is None
