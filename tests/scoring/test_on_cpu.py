"""What the CPU answers in place of a GPU, which a second logical CPU stands for."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf
from exported import DATA, Pixels, task_of
from tf32 import multiplying_in_tf32
from two_devices import DEVICES

from kft.cache.decode import read
from kft.exporters.saved_model import SavedModelExporter
from kft.heads.classifier import Classifier
from kft.image.digits import Digits
from kft.scoring.evaluate import evaluate
from kft.scoring.on_cpu import on_cpu
from kft.task import assemble

CPU, GPU = DEVICES


class Grouped(Pixels):
    """Begins with a grouped convolution, which Keras compiles by XLA."""

    def load(self, input_spec, pretrained=True):
        backbone = super().load(tf.TensorSpec((14, 14, 3), tf.float32))
        inputs = keras.Input(input_spec.shape, dtype=input_spec.dtype.name)
        values = keras.layers.Rescaling(1.0, dtype="float32")(inputs)
        convolved = keras.layers.Conv2D(3, 3, groups=3)(values)
        return replace(backbone, model=keras.Model(inputs, backbone.model(convolved)))


def answers_of(task, found):
    reading = read(replace(found, train=found.train.take(range(6))), "stop")
    return evaluate(task, reading.raw.test, reading.decoded.test, "test")


def grouped():
    keras.utils.set_random_seed(0)
    found = Digits(input={"kind": "image", "size": [16, 16]}).load(0)
    backbone = Grouped().load(found.input.spec)
    return assemble(backbone, Classifier(), found.target, found.input), found


def test_answers_of_the_cpu_are_taken_as_they_are():
    task, found = task_of("vectors")
    answers = answers_of(task, found)

    assert on_cpu(task, answers, 4) == (answers, None)


@pytest.mark.parametrize("data", DATA)
def test_every_kind_of_model_is_computed_again_where_it_is_not(data):
    with tf.device(GPU):
        task, found = task_of(data)
        answers = answers_of(task, found)

    first, difference = on_cpu(task, answers, 4)

    assert len(first.outputs) == len(first.losses) == first.split.size == 4
    assert difference < 1e-6


def test_what_xla_compiles_is_computed_on_the_cpu_too():
    with tf.device(GPU):
        task, found = grouped()
        answers = answers_of(task, found)

    _, difference = on_cpu(task, answers, 4)

    assert difference < 1e-5


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_is_verified_on_the_cpu_as_on_a_gpu(precision, tmp_path):
    keras.config.set_dtype_policy(precision)
    try:
        with tf.device(GPU):
            task, found = task_of("pictures")
            answers = answers_of(task, found)
    finally:
        keras.config.set_dtype_policy("float32")
    exporter = SavedModelExporter()

    first, _ = on_cpu(task, answers, 16)
    _, difference = exporter.export(task, first, tmp_path)

    assert difference <= exporter.tolerance(task) in (5e-3, 5e-2)


def test_an_export_is_verified_to_the_bit_of_float32_though_the_run_had_tf32(tmp_path):
    with tf.device(GPU), multiplying_in_tf32():
        task, found = task_of("vectors")
        # Far from 0, so that ten bits of mantissa are seen in the answers.
        task.head_model.set_weights([3 * each for each in task.head_model.get_weights()])
        answers = answers_of(task, found)

    first, across = on_cpu(task, answers, 16)
    _, difference = SavedModelExporter().export(task, first, tmp_path)

    assert 1e-5 < across < 5e-3
    assert difference <= 1e-5


def test_more_than_rounding_explains_is_a_warning_and_loses_no_export():
    with tf.device(GPU):
        task, found = task_of("vectors")
        answers = answers_of(task, found)
    wrong = replace(answers, outputs=answers.outputs + np.float32(0.1))

    with pytest.warns(UserWarning, match="differ by up to 1.0e-01, more than the 2e-02 that"):
        first, difference = on_cpu(task, wrong, 4)

    assert difference == pytest.approx(0.1)
    np.testing.assert_allclose(first.outputs, answers.outputs[:4], atol=1e-6)
