"""What Keras leaves out or gets wrong on several devices, and what kft does about it."""

import io
from contextlib import nullcontext

import hub_modules
import keras
import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console
from tiny import Ramp, tiny_task, training
from two_devices import mirrored

from kft.backbones.tf_hub import TfHub
from kft.distribute.replicated import MADE_FOR, note_other_version, own_noise, replicated, take_sums
from kft.engine.train import train
from kft.errors import BackboneError, ConfigError, TrainingError
from kft.exporters.saved_model import SavedModelExporter
from kft.heads.classifier import Classifier
from kft.phase import Phase
from kft.progress import shown_on
from kft.recipe.optimizer import Sgd
from kft.recipe.unfreeze import UnfreezeAll
from kft.task import assemble

LARGE = [[3.0], [1.0]]
TUNE = {"name": "tune", "epochs": 1, "optimizer": Sgd(), "unfreeze": UnfreezeAll()}


def clipped(take):
    """The step of two devices whose gradients are 3 and 1, clipped to a norm of 1."""
    strategy = mirrored()
    with strategy.scope():
        variable = keras.Variable([0.0])
        optimizer = keras.optimizers.SGD(1.0, global_clipnorm=1.0)
        optimizer.build([variable])
        take(optimizer)
    rows = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(LARGE[context.replica_id_in_sync_group])
    )

    def step(gradient):
        if take is take_sums:
            gradient = tf.distribute.get_replica_context().all_reduce("sum", gradient)
        optimizer.apply([gradient], [variable])

    tf.function(lambda: strategy.run(step, args=(rows,)))()
    return float(variable.value.numpy()[0])


def test_gradients_are_clipped_after_they_are_added_up_and_keras_still_does_it_before():
    """Once Keras does it after (3.15 does not), `take_sums` is not needed."""
    assert clipped(take_sums) == pytest.approx(-1.0)
    assert clipped(lambda optimizer: None) == pytest.approx(-2.0)


def test_keras_still_cannot_fit_strings_on_two_devices():
    """Once it can (3.15 cannot), `_maybe_symbolic_build` need not be left out."""
    with mirrored().scope():
        inputs = keras.Input((), dtype="string")
        outputs = keras.layers.Embedding(10, 1)(keras.layers.Hashing(10)(inputs))
        model = keras.Model(inputs, outputs)
        model.compile("sgd", "mse")
    rows = tf.data.Dataset.from_tensors((tf.constant(["a", "b"]), tf.zeros((2, 1))))

    with pytest.raises(tf.errors.InvalidArgumentError, match="string"):
        model.fit(rows, shuffle=False, verbose=0)


def test_batch_normalisation_takes_the_statistics_of_the_whole_batch():
    """Once Keras does so by itself (3.15 does not), `synchronize` is not needed."""
    strategy = mirrored()
    with strategy.scope():
        inputs = keras.Input((1,))
        model = keras.Model(inputs, keras.layers.BatchNormalization(momentum=0.0)(inputs))
    norm = model.layers[-1]
    rows = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(LARGE) + 4.0 * context.replica_id_in_sync_group
    )

    def means():
        tf.function(lambda: strategy.run(lambda row: model(row, training=True), args=(rows,)))()
        return [float(v[0]) for v in strategy.experimental_local_results(norm.moving_mean.value)]

    assert means() == [2.0, 6.0]
    with strategy.scope():
        replicated(model)
    assert means() == [4.0, 4.0]


def masks(own):
    """What dropout leaves of ones on each of two devices, and where its seeds are then."""
    strategy = mirrored()
    with strategy.scope():
        inputs = keras.Input((8,))
        model = keras.Model(inputs, keras.layers.Dropout(0.5, seed=7)(inputs))

    def step():
        with own(model):
            return model(tf.ones((4, 8)), training=True)

    left = tf.function(lambda: strategy.run(step), autograph=False)()
    state = model.layers[-1].seed_generator.state.value
    return [
        [value.numpy().tolist() for value in strategy.experimental_local_results(each)]
        for each in (left, state)
    ]


def test_every_device_has_dropout_of_its_own_and_keras_still_has_one_for_all():
    """Once Keras tells devices apart (3.15 does not), `own_noise` is not needed."""
    (first, second), states = masks(own_noise)
    assert first != second
    assert states == [[7, 1], [7, 1]]

    (first, second), _ = masks(nullcontext)
    assert first == second


def overflown(take):
    """A weight after a step in which the second of two devices overflows, and what scales losses.

    That is as a share of what it was.
    """
    strategy = mirrored()
    with strategy.scope():
        variable = keras.Variable([0.0])
        optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(1.0))
        optimizer.build([variable])
        take(optimizer)
    rows = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant([1.0, np.inf])[context.replica_id_in_sync_group, None]
    )
    scale = float(optimizer.dynamic_scale.value.numpy())

    def step(gradient):
        if take is take_sums:
            gradient = tf.distribute.get_replica_context().all_reduce("sum", gradient)
        optimizer.apply([gradient], [variable])

    tf.function(lambda: strategy.run(step, args=(rows,)))()
    return float(variable.value.numpy()[0]), float(optimizer.dynamic_scale.value.numpy()) / scale


def test_a_loss_scale_sees_an_overflow_on_any_device_and_keras_still_asks_the_first_alone():
    """Once Keras asks them all (3.15 does not), sums are needed for clipping only."""
    assert overflown(take_sums) == (0.0, 0.5)
    assert overflown(lambda optimizer: None) == (-np.inf, 1.0)


def test_tensorflow_still_cannot_save_what_is_of_a_savedmodel_in_the_scope_of_devices(tmp_path):
    """Once it can (2.21 cannot), `on_one_device` is needed for the scores alone."""
    module = TfHub(handle=hub_modules.save_reusable(tmp_path))
    splits = Ramp().load(0)

    with mirrored().scope():
        backbone = module.load(splits.input.spec)
        task = assemble(backbone, Classifier(), splits.target, splits.input)
        with pytest.raises(ValueError, match="not supported to save"):
            SavedModelExporter().write(task, tmp_path / "saved_model")


def test_statistics_inside_a_savedmodel_cannot_be_shared_and_are_refused(tmp_path):
    module = TfHub(handle=hub_modules.save_reusable(tmp_path), batch_norm="train")

    with mirrored().scope(), pytest.raises(BackboneError, match="of its own examples"):
        module.load(tf.TensorSpec((8,), tf.float32))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 1}, "a batch of 1 cannot be shared by 2 devices"),
        ({"accumulate_steps": 2}, "needs a batch at once on several devices"),
    ],
)
def test_what_cannot_be_shared_out_is_refused(settings, message):
    with mirrored().scope():
        splits = Ramp().load(0)
        task = tiny_task(splits, batch_norm="train")

        with pytest.raises(ConfigError, match=message):
            train(training(task, splits), [Phase(**TUNE, **settings)])


def test_several_devices_do_not_augment_by_themselves():
    with mirrored().scope():
        splits = Ramp().load(0)
        how = training(tiny_task(splits), splits, augment_on_device=True)

        with pytest.raises(ConfigError, match="2 devices share each batch") as caught:
            train(how, [Phase(**TUNE)])

    assert caught.value.where == "distribute.augment_on"


def test_another_keras_is_told_once():
    console = Console(file=io.StringIO(), width=200)

    with shown_on(console):
        for version in (f"{MADE_FOR}.1", "3.99.0", "3.99.0"):
            note_other_version(version)

    told = console.file.getvalue()
    assert told.count("has been tried with Keras") == 1
    assert "this is 3.99.0" in told


def test_a_keras_that_adds_up_in_another_way_is_refused():
    with mirrored().scope(), pytest.raises(TrainingError, match="in a way that kft does not"):
        take_sums(object())


def test_the_loss_of_answers_that_are_sure_is_exact_on_two_devices():
    splits = Ramp().load(0)
    with mirrored().scope():
        task = tiny_task(splits, Classifier(dropout=0.0, label_smoothing=0.0))
        kernel, bias = task.head_model.trainable_variables
        kernel.assign(np.zeros((6, 3)))
        bias.assign([50.0, -50.0, -60.0])
        slow = Phase(
            name="head", epochs=1, optimizer=Sgd(learning_rate=1e-4), unfreeze=UnfreezeAll()
        )

        (result,) = train(training(task, splits), [slow])

    # A third of the examples is of each class; of the 22 to train on, 8, 7 and 7.
    assert result.before["val_loss"] == pytest.approx((0 + 100 + 110) / 3, rel=1e-5)
    assert result.best["loss"] == pytest.approx((7 * 100 + 7 * 110) / 22, rel=1e-3)
