"""Many steps in one call are the steps of Keras, one after another."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import TARGET, same, values, vector_split

from kft.callbacks import GradualUnfreeze
from kft.engine.callbacks.user_callback import UserCallbackAdapter, ValidationHooks
from kft.engine.loop import Evaluation, Training


class Seen(keras.callbacks.Callback):
    """Writes down what it is called with."""

    def __init__(self):
        super().__init__()
        self.calls, self.losses = [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.calls.append(("epoch", epoch))

    def on_train_batch_begin(self, batch, logs=None):
        self.calls.append(("begin", batch))

    def on_train_batch_end(self, batch, logs=None):
        self.calls.append(("end", batch))
        self.losses.append(logs["loss"])

    def on_test_batch_end(self, batch, logs=None):
        self.calls.append(("tested", batch))

    def batches(self, what):
        return [number for name, number in self.calls if name == what]


class EachBatch(Seen):
    by_batch = True


def small_model():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8,))
    x = keras.layers.Dropout(0.3, seed=1)(keras.layers.Dense(16, activation="relu")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(x))
    loss = keras.losses.CategoricalCrossentropy()
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=["accuracy"], jit_compile=False)
    return model


def data(size=200):
    split = vector_split(size)
    x = np.stack([split.fetch(tf.constant(number)) for number in range(size)])
    return x, np.eye(3, dtype="float32")[split.labels]


def batches(x, y):
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(4).repeat()


def test_the_steps_are_those_of_keras():
    x, y = data()
    model, other = small_model(), small_model()

    Training(model, batches(x, y), 50, []).run(range(3))
    history = other.fit(x, y, batch_size=4, epochs=3, shuffle=False, verbose=0).history

    for mine, theirs in zip(model.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=1e-6)
    assert model.history.history["loss"] == pytest.approx(history["loss"], rel=1e-5)
    assert model.history.history["accuracy"] == history["accuracy"]


def test_how_many_are_taken_together_changes_no_bit():
    x, y = data()
    model, other = small_model(), small_model()
    together, apart = Seen(), EachBatch()

    Training(model, batches(x, y), 50, [together]).run(range(3))
    Training(other, batches(x, y), 50, [apart]).run(range(3))

    assert all(same(model.variables, values(other.variables)))
    assert all(same(model.optimizer.variables, values(other.optimizer.variables)))
    assert len(together.calls) < len(apart.calls) / 2
    assert apart.batches("end") == 3 * list(range(50))


def test_the_first_step_of_an_epoch_is_alone_and_the_last_call_ends_with_it():
    x, y = data()
    seen = Seen()

    Training(small_model(), batches(x, y), 50, [seen]).run(range(5, 7))

    assert seen.batches("epoch") == [5, 6]
    begins, ends = seen.batches("begin"), seen.batches("end")
    assert begins.count(0) == ends.count(0) == ends.count(49) == 2
    follows = [begin for begin, end in zip(begins[1:], ends, strict=False) if begin != end + 1]
    assert follows == [0]


def test_a_loss_that_is_no_number_is_shown_at_its_step():
    x, y = data()
    y[4 * 37] = np.nan  # of the 38th step
    seen = Seen()

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = not np.isfinite(logs["loss"])

    Training(small_model(), batches(x, y), 50, [seen, Stop()]).run(range(1))

    assert seen.batches("end")[-1] == 37
    assert np.isfinite(seen.losses[:-1]).all()


def test_what_is_to_run_after_each_step_does():
    x, y = data()
    counted = tf.Variable(0)

    class Counts(keras.callbacks.Callback):
        def after_step(self):
            counted.assign_add(1)

    Training(small_model(), batches(x, y), 50, [Counts()]).run(range(2))

    assert int(counted.numpy()) == 100


def test_a_layer_that_is_unfrozen_meanwhile_trains():
    x, y = data()
    model = small_model()
    hidden = model.layers[1]
    ends = []

    class Witness(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            ends.append(hidden.kernel.numpy())

    before = hidden.kernel.numpy()
    unfreeze = GradualUnfreeze({1: hidden.name}, warmup_steps=1)
    Training(model, batches(x, y), 50, [unfreeze, Witness()]).run(range(3))

    assert [np.array_equal(end, before) for end in ends] == [True, False, False]


def test_a_model_can_be_fitted_by_keras_afterwards():
    x, y = data()
    model = small_model()

    Training(model, batches(x, y), 50, []).run(range(1))
    history = model.fit(x, y, batch_size=4, epochs=2, verbose=0).history

    assert len(history["loss"]) == 2


def test_an_evaluation_gives_the_scores_of_keras_each_time():
    x, y = data(30)
    model = small_model()
    evaluation = Evaluation(model, vector_split(30), TARGET, 4)
    expected = model.evaluate(x, y, batch_size=4, verbose=0, return_dict=True)

    for _ in range(3):
        found = evaluation.scores()
        assert found == pytest.approx(expected, rel=1e-5)


def test_an_evaluation_that_was_broken_off_begins_anew():
    model = small_model()
    evaluation = Evaluation(model, vector_split(30), TARGET, 4)
    expected = evaluation.scores()

    class BreaksOff(keras.callbacks.Callback):
        by_batch = True

        def on_test_batch_end(self, batch, logs=None):
            if batch == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluation.scores([BreaksOff()])

    assert evaluation.scores() == expected


@pytest.mark.parametrize(
    ("hook", "trains", "validates"),
    [
        ("on_epoch_end", False, False),
        ("on_train_batch_end", True, False),
        ("on_batch_begin", True, False),
        ("on_test_batch_end", False, True),
    ],
)
def test_a_users_callback_is_called_for_each_batch_if_it_asks_for_one(hook, trains, validates):
    callback = type("Theirs", (keras.callbacks.Callback,), {hook: lambda *_, **__: None})()

    adapter = UserCallbackAdapter(callback, small_model(), 1)

    assert (adapter.by_batch, ValidationHooks(adapter).by_batch) == (trains, validates)


def test_a_hook_that_is_given_to_a_lambda_callback_counts_too():
    callback = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)

    assert UserCallbackAdapter(callback, small_model(), 1).by_batch
