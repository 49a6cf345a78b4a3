"""A head on features that are kept trains on the first of several devices."""

import keras
import numpy as np
import pytest
from tiny import Ramp, tiny_task, training, values
from two_devices import mirrored

from kft.cache.place import CachePolicy
from kft.distribute.cluster import replicas
from kft.distribute.one_device import can_leave, devices_of, on_first_device
from kft.engine.train import train
from kft.heads.classifier import Classifier
from kft.phase import Phase
from kft.recipe.optimizer import AdamW, Sgd
from kft.recipe.unfreeze import UnfreezeAll, UnfreezeNone

OFF = CachePolicy("off")
HEAD = Phase(name="head", epochs=2, optimizer=AdamW(learning_rate=0.01), unfreeze=UnfreezeNone())
TUNE = Phase(
    name="tune",
    epochs=1,
    optimizer=Sgd(learning_rate=0.05, momentum=0.9),
    unfreeze=UnfreezeAll(),
    carry_optimizer=True,
)


class Counted(keras.callbacks.Callback):
    """How many devices take each epoch; asks the whole model, as a callback may."""

    def __init__(self, seen, inputs):
        super().__init__()
        self.seen, self.inputs = seen, inputs

    def on_epoch_end(self, epoch, logs=None):
        answers = self.model.predict(self.inputs, verbose=0)
        self.seen.append((replicas(), answers))


def trained(phases, strategy=None, **settings):
    """The records, the weights and what a callback saw after `phases`."""
    splits, seen = Ramp().load(0), []
    inputs = np.linspace(-1, 1, 32).reshape(4, 8).astype("float32")
    if strategy is None:
        task = tiny_task(splits, Classifier(dropout=0.0))
        callbacks = lambda: [Counted(seen, inputs)]  # noqa: E731
        results = train(training(task, splits, callbacks=callbacks, **settings), phases)
        return results, values(task.model.variables), seen, task.model.predict(inputs, verbose=0)
    with devices_of(strategy):
        return trained(phases, None, **settings)


def test_variables_are_of_the_first_device_for_a_while_and_then_equal_on_all():
    strategy = mirrored()
    with devices_of(strategy):
        variable = keras.Variable([1.0, 2.0])
        of_all = variable.value
        with on_first_device([variable]):
            assert replicas() == 1
            variable.assign([3.0, 4.0])
            assert of_all.values[1].numpy().tolist() == [1.0, 2.0]
        assert replicas() == 2
        assert variable.value is of_all
    assert [value.numpy().tolist() for value in of_all.values] == [[3.0, 4.0]] * 2


def test_all_devices_are_back_after_an_error():
    with devices_of(mirrored()):
        variable = keras.Variable([1.0])
        with pytest.raises(ValueError, match="gone"), on_first_device([variable]):
            raise ValueError("gone")
        assert replicas() == 2
        assert can_leave()
    assert not can_leave()


def test_the_head_trains_on_one_device_to_the_bit():
    one = trained([HEAD])
    both = trained([HEAD], mirrored())

    assert [count for count, _ in both[2]] == [1, 1]
    assert all(map(np.array_equal, both[1], one[1]))
    np.testing.assert_allclose(both[2][-1][1], one[2][-1][1], atol=1e-6)
    np.testing.assert_allclose(both[3], one[3], atol=1e-6)


def test_fine_tuning_takes_over_on_all_devices():
    phases = [HEAD.model_copy(update={"optimizer": TUNE.optimizer}), TUNE]

    one = trained(phases, monitor="loss")
    both = trained(phases, mirrored(), monitor="loss")

    assert [count for count, _ in both[2]] == [1, 1, 2]
    for mine, others in zip(both[1], one[1], strict=True):
        np.testing.assert_allclose(mine, others, atol=2e-5)


def test_features_that_are_computed_anew_are_computed_by_all_devices():
    seen = trained([HEAD.model_copy(update={"optimizer": Sgd()})], mirrored(), cache_policy=OFF)[2]

    assert [count for count, _ in seen] == [2, 2]
