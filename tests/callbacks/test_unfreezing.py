"""Unfreezing within one fit does what two fits would, and harms nothing."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from own_models import X, built, fit, moved, name_of, snapshot

from kft.callbacks import FreezeBatchNorm, GradualUnfreeze, UnfreezeBackbone
from kft.callbacks.trainable import rebuild, set_trainable
from kft.errors import ConfigError


class Diary(keras.callbacks.Callback):
    """Notes the rate of each step, and what has moved since the beginning, epoch by epoch."""

    def on_train_begin(self, logs=None):
        self.start, self.rates, self.moved = snapshot(self.model), [], []

    def on_train_batch_begin(self, batch, logs=None):
        self.rates.append(round(float(self.model.optimizer.learning_rate), 6))

    def on_epoch_end(self, epoch, logs=None):
        self.moved.append(moved(self.model, self.start))


def begin(callback, model):
    """What fit does first, without fitting."""
    callback.set_model(model)
    callback.set_params({"steps": 2, "epochs": 9})
    callback.on_train_begin()
    return callback


def test_a_backbone_moves_from_its_epoch_on_after_a_warm_up_and_its_batch_norm_never():
    model, diary = built("subclassed", keras.optimizers.SGD(0.5)), Diary()

    fit(model, UnfreezeBackbone("backbone", at_epoch=1, learning_rate=0.2), diary)

    assert diary.moved == [{"head"}, {"head", "low", "high"}, {"head", "low", "high"}]
    assert diary.rates == [0.5, 0.5, 0.1, 0.2, 0.2, 0.2]


def test_groups_are_unfrozen_one_after_another():
    model, diary = built("sequential"), Diary()

    fit(model, GradualUnfreeze({1: "high", 2: "low|norm"}), diary)

    assert diary.moved == [{"head"}, {"head", "high"}, {"head", "high", "low"}]


def test_a_later_group_may_hold_an_earlier_one():
    model = built()
    unfreeze = begin(GradualUnfreeze({0: "high", 2: "backbone"}), model)
    seen = []

    for epoch in range(3):
        unfreeze.on_epoch_begin(epoch)
        seen.append({name_of(variable) for variable in model.trainable_variables})

    assert seen == [{"high", "head"}, {"high", "head"}, {"low", "high", "head"}]


class Prepared(keras.callbacks.Callback):
    """Unfreezes under an optimizer that was built for everything before fit."""

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 1:
            self.model.get_layer("backbone").trainable = True
            self.model.make_train_function(force=True)


def test_it_ends_where_an_optimizer_built_for_everything_from_the_start_does():
    one, other, diary = built(), built(), Diary()
    other.optimizer.build(other.trainable_variables)
    other.get_layer("backbone").trainable = False

    fit(one, UnfreezeBackbone("backbone", 1, batch_norm="train", warmup_steps=0), diary)
    fit(other, Prepared())

    for variable, expected in zip(one.weights, other.weights, strict=True):
        np.testing.assert_array_equal(variable.numpy(), expected.numpy())
    assert diary.moved[0] == {"head"}
    assert {"gamma", "beta", "moving_mean", "moving_variance"} < diary.moved[1]


def test_a_fit_resumed_from_a_file_ends_as_one_that_was_not_interrupted(tmp_path):
    def callback():
        return UnfreezeBackbone("backbone", at_epoch=1, learning_rate=0.02)

    whole = built()
    fit(whole, callback(), keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras"))

    for epochs in (1, 2):
        resumed = keras.models.load_model(tmp_path / f"{epochs}.keras")
        fit(resumed, callback(), initial_epoch=epochs)
        for variable, expected in zip(resumed.weights, whole.weights, strict=True):
            np.testing.assert_allclose(variable.numpy(), expected.numpy(), rtol=0, atol=1e-6)


def test_mixed_precision_keeps_its_loss_scale():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = built("functional", keras.optimizers.SGD(0.05, momentum=0.9))
    finally:
        keras.config.set_dtype_policy("float32")
    diary = Diary()

    fit(model, UnfreezeBackbone("backbone", at_epoch=1), diary, epochs=2)

    assert diary.moved == [{"head"}, {"head", "low", "high"}]
    assert int(model.optimizer.step_counter) == 4


def test_the_model_can_be_exported_and_checkpointed_after_the_optimizer_has_grown(tmp_path):
    model = built()
    model.get_layer("backbone").trainable = False
    model.optimizer.build(model.trainable_variables)

    begin(UnfreezeBackbone("backbone", at_epoch=0), model).on_epoch_begin(0)
    model.export(tmp_path / "saved_model", verbose=False)
    path = tf.train.Checkpoint(model=model, optimizer=model.optimizer).save(tmp_path / "model")

    loaded = tf.saved_model.load(tmp_path / "saved_model")
    np.testing.assert_allclose(loaded.serve(X), model(X), atol=1e-6)
    slots = [name for name, _ in tf.train.list_variables(path) if "optimizer/_variables/" in name]
    assert len(slots) == 2 * len(model.trainable_variables)


OPTIMIZERS = {
    "sgd": lambda: keras.optimizers.SGD(0.1, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(0.1, amsgrad=True),
    "adamw": lambda: keras.optimizers.AdamW(0.1),
    "accumulating": lambda: keras.optimizers.Adam(0.1, gradient_accumulation_steps=2),
    "rmsprop": lambda: keras.optimizers.RMSprop(0.1, momentum=0.9, centered=True),
    "adagrad": lambda: keras.optimizers.Adagrad(0.1),
    "nadam": lambda: keras.optimizers.Nadam(0.1),
    "lion": lambda: keras.optimizers.Lion(0.1),
    "adafactor": lambda: keras.optimizers.Adafactor(0.1),
    "ftrl": lambda: keras.optimizers.Ftrl(0.1),
}


@pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_every_optimizer_takes_on_variables_without_forgetting_the_others(make):
    gradient = keras.ops.ones((2, 3))
    pairs = [[keras.Variable(keras.ops.ones((2, 3))) for _ in "ab"] for _ in "12"]
    grown, full = make(), make()
    grown.build(pairs[0][1:])
    full.build(pairs[1])

    for optimizer, (_, upper) in zip((grown, full), pairs, strict=True):
        for _ in range(3):
            optimizer.apply([gradient], [upper])
    rebuild(grown, pairs[0])
    for optimizer, pair in zip((grown, full), pairs, strict=True):
        for _ in range(3):
            optimizer.apply([gradient, gradient], pair)

    for variable, expected in zip(pairs[0], pairs[1], strict=True):
        np.testing.assert_array_equal(variable.numpy(), expected.numpy())
    assert len(grown.variables) == len(full.variables)


# Keras 3.15. Once an optimizer takes variables on by itself, `rebuild` is not needed.
def test_keras_still_refuses_variables_that_an_optimizer_was_not_built_with():
    optimizer, (known, new) = keras.optimizers.SGD(0.1), [keras.Variable([1.0]) for _ in "ab"]
    optimizer.build([known])

    with pytest.raises(ValueError, match="Unknown variable"):
        optimizer.apply([keras.ops.ones(1)] * 2, [known, new])


def test_layers_around_a_trained_one_open_and_those_beside_it_stay_as_they_were():
    model = built()
    backbone = model.get_layer("backbone")
    backbone.trainable = False

    set_trainable(model, [backbone.get_layer("high")], [])

    assert backbone.trainable
    assert {name_of(variable) for variable in model.trainable_variables} == {"high", "head"}


class Lazy(keras.Model):
    """Makes its weights when it is called, and layers too."""

    def __init__(self):
        super().__init__()
        self.body = keras.layers.Dense(3, name="body")
        self.late = None
        self.head = keras.layers.Dense(1, name="head")

    def call(self, inputs):
        if self.late is None:
            self.late = [keras.layers.BatchNormalization(name="late_norm")]
        return self.head(self.late[0](self.body(inputs)))


def lazy(called=False):
    model = Lazy()
    if called:
        model(X[:1])
    model.compile(keras.optimizers.SGD(0.5), keras.losses.BinaryCrossentropy(from_logits=True))
    return model


class Kernels(keras.callbacks.Callback):
    """Keeps the kernel of the body after each epoch."""

    def on_train_begin(self, logs=None):
        self.kept = []

    def on_epoch_end(self, epoch, logs=None):
        self.kept.append(self.model.body.kernel.numpy().copy())


@pytest.mark.parametrize("called", [False, True], ids=["unbuilt", "built"])
@pytest.mark.parametrize(
    "make", [lambda: UnfreezeBackbone("body", 1), lambda: GradualUnfreeze({1: "body"})]
)
def test_a_model_that_fit_builds_trains_from_the_epoch_on(make, called):
    model, kernels = lazy(called), Kernels()

    fit(model, make(), kernels, epochs=3)

    (first, second, third) = kernels.kept
    assert not np.array_equal(first, second)
    assert not np.array_equal(second, third)


def test_a_backbone_that_was_frozen_before_its_first_call_can_be_unfrozen():
    backbone = Lazy()
    backbone.trainable = False
    inputs = keras.Input((4,))
    model = keras.Model(inputs, backbone(inputs))
    model.compile(keras.optimizers.SGD(0.5), keras.losses.BinaryCrossentropy(from_logits=True))
    before = backbone.body.kernel.numpy().copy()

    fit(model, UnfreezeBackbone(backbone, 0), epochs=1)

    assert not np.array_equal(backbone.body.kernel.numpy(), before)


@pytest.mark.parametrize(
    ("callback", "message"),
    [
        (UnfreezeBackbone("body|late.*", 1), "has made '.*late_norm' since fit began"),
        (UnfreezeBackbone("late.*", 1), "matches no layer .* call it once before"),
        (FreezeBatchNorm(), "no batch normalisation there. Call it once on a batch"),
    ],
)
def test_layers_that_are_made_in_the_first_step_are_asked_for(callback, message):
    with pytest.raises(ConfigError, match=message):
        fit(lazy(), callback)


def test_an_average_of_the_weights_is_refused_with_its_reason():
    model = built(optimizer=keras.optimizers.Adam(use_ema=True))

    with pytest.raises(ConfigError, match="use_ema=True: at the end of fit Keras puts the averag"):
        begin(UnfreezeBackbone("backbone", at_epoch=1), model)


def test_batch_norm_that_is_frozen_already_changes_no_average():
    model = built(optimizer=keras.optimizers.Adam(use_ema=True))
    fit(model, FreezeBatchNorm(), epochs=1)

    fit(model, FreezeBatchNorm(), epochs=1)

    assert not model.get_layer("backbone").get_layer("norm").trainable


def test_a_rate_is_refused_beside_a_schedule_and_needed_by_nobody():
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    model = built(optimizer=keras.optimizers.Adam(schedule))

    with pytest.raises(ConfigError, match="is a schedule, which cannot be set"):
        begin(UnfreezeBackbone("backbone", at_epoch=1, learning_rate=0.1), model)
    unfreeze = begin(UnfreezeBackbone("backbone", at_epoch=1), model)
    unfreeze.on_epoch_begin(1)
    unfreeze.on_train_batch_begin(0)

    assert model.optimizer._learning_rate is schedule


def test_several_optimizers_in_one_are_refused():
    rates = {"backbone.*": keras.optimizers.SGD(0.01), "head.*": keras.optimizers.SGD(0.1)}
    model = built(optimizer=keras.optimizers.MultiOptimizer(rates))

    with pytest.raises(ConfigError, match="is a MultiOptimizer"):
        begin(UnfreezeBackbone("backbone", at_epoch=1), model)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ("backbon", "'backbon' matches no layer of the model .* Did you mean 'backbone'?"),
        ("(", "is no regular expression"),
        ([], "UnfreezeBackbone.layers: is empty"),
        (keras.layers.Dense(1, name="other"), "'other' is no layer of the model"),
    ],
)
def test_layers_that_are_not_there_are_refused(layers, message):
    with pytest.raises(ConfigError, match=message):
        begin(UnfreezeBackbone(layers, at_epoch=1), built())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"at_epoch": -1}, "UnfreezeBackbone.at_epoch: got -1. Set it to 0 or more"),
        ({"at_epoch": 1, "learning_rate": 0.0}, "learning_rate: got 0.0. Set it to more than 0"),
        ({"at_epoch": 1, "warmup_steps": -2}, "warmup_steps: got -2"),
        (
            {"at_epoch": 1, "batch_norm": "thaw"},
            "batch_norm: got 'thaw'. Set it to 'frozen' or 'train'",
        ),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        UnfreezeBackbone("backbone", **settings)


def test_groups_that_cannot_be_meant_are_refused():
    with pytest.raises(ConfigError, match="groups: got 'backbone'. Give the layers of each epoch"):
        GradualUnfreeze("backbone")
    with pytest.raises(ConfigError, match="GradualUnfreeze.groups: got -1"):
        GradualUnfreeze({2: "low", -1: "high"})


def test_an_epoch_of_unknown_length_needs_the_length_of_the_warm_up():
    unfreeze = begin(UnfreezeBackbone("backbone", at_epoch=2), built())
    unfreeze.set_params({"steps": None, "epochs": 9})

    with pytest.raises(ConfigError, match="Give warmup_steps"):
        unfreeze.on_epoch_begin(2)


def test_there_must_be_batch_norm_to_freeze():
    with pytest.raises(ConfigError, match="there is no batch normalisation there"):
        begin(FreezeBatchNorm("head"), built())


def test_a_layer_itself_will_do_as_well_as_its_name():
    model = built()

    unfreeze = begin(UnfreezeBackbone(model.get_layer("backbone"), at_epoch=1), model)
    unfreeze.on_epoch_begin(0)

    assert {name_of(variable) for variable in model.trainable_variables} == {"head"}
    assert model(X).shape == (16, 1)
