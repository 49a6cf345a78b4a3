"""What was frozen before its first call can be trained."""

import keras
import numpy as np
from tiny import Ramp, training, values
from two_devices import mirrored

from kft.backbone import Backbone, layer_stages
from kft.engine.train import train
from kft.heads.classifier import Classifier
from kft.layers.gradients import record_gradients
from kft.phase import Phase
from kft.recipe.optimizer import Sgd
from kft.recipe.unfreeze import UnfreezeAll
from kft.task import assemble


class Body(keras.layers.Layer):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = keras.layers.Dense(6, name="inner")

    def call(self, inputs):
        return self.dense(inputs)


def frozen_first():
    body = Body()
    body.trainable = False
    body(np.zeros((1, 8), "float32"))
    body.trainable = True
    return body.dense.kernel


def test_a_phase_trains_a_backbone_that_was_frozen_before_its_first_call():
    splits = Ramp().load(0)
    inputs, body = keras.Input((8,)), Body()
    body.trainable = False
    model = keras.Model(inputs, body(inputs))
    backbone = Backbone("frozen first", model, layer_stages(model))
    task = assemble(backbone, Classifier(), splits.target, splits.input)
    before = values(model.variables)
    phase = Phase(name="all", epochs=1, optimizer=Sgd(learning_rate=0.1), unfreeze=UnfreezeAll())

    train(training(task, splits), [phase])

    after = values(model.variables)
    assert not any(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_gradients_are_recorded_on_every_replica():
    with mirrored().scope():
        kernel = frozen_first()

        record_gradients([kernel])

    assert kernel.value.trainable
    assert all(value.trainable for value in kernel.value.values)


# Keras 3.15. Once these gradients are recorded, `record_gradients` is not needed.
def test_keras_still_records_no_gradients_of_what_was_frozen_before_its_first_call():
    kernel = frozen_first()

    assert kernel.trainable
    assert not kernel.value.trainable
