"""Nothing in a training step falls back from a GPU to the CPU.

TensorFlow for Linux lists the kernels that it has for GPUs on a machine without one, too.
"""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import types_pb2
from tensorflow.python.framework import kernels
from tiny import TARGET, training

from kft.data import Split, Splits
from kft.engine.prepare import before_training, prepare
from kft.engine.segments import segments_of
from kft.heads.classifier import Classifier
from kft.image.applications import KerasApplication
from kft.image.input import ImageInput
from kft.layers.precision import computing_in
from kft.phase import Phase
from kft.pipeline.batches import training_batches
from kft.recipe.optimizer import Adam
from kft.recipe.unfreeze import UnfreezeAll
from kft.task import assemble

STEPS = [
    ("MobileNetV2", "float32", "frozen"),
    ("MobileNetV2", "mixed_float16", "train"),
    *(
        pytest.param(*step, marks=pytest.mark.slow)
        for step in (
            ("ResNet50V2", "mixed_bfloat16", "recalibrate"),
            ("EfficientNetV2B0", "mixed_float16", "inference"),
            ("ConvNeXtTiny", "mixed_bfloat16", "frozen"),
            ("DenseNet121", "float32", "train"),
        )
    ),
]

needs_cuda = pytest.mark.skipif(
    not tf.test.is_built_with_cuda(), reason="this TensorFlow has no kernels for GPUs"
)


def pictures():
    """Three splits of tiny pictures in three classes."""
    labels = (np.arange(6) % 3).astype("int32")
    held = tf.zeros((6, 32, 32, 3), "uint8")
    split = Split([f"{n}.png" for n in range(6)], labels, lambda index: tf.gather(held, index))
    return Splits(split, split, None, TARGET, ImageInput(size=(32, 32)))


def traced_step(name, precision, batch_norm):
    """The graph of one step that trains everything, from the next batch on."""
    splits = pictures()
    source = KerasApplication(name=name, weights=None, batch_norm=batch_norm)
    with computing_in(precision):
        backbone = source.load(splits.input.spec)
    task = assemble(backbone, Classifier(), splits.target, splits.input)
    phase = Phase(
        name="all", epochs=1, optimizer=Adam(), unfreeze=UnfreezeAll(), ema=0.99, layer_decay=0.9
    )
    context = before_training(training(task, splits), [phase])
    with prepare(context, phase, segments_of(task, phase, 0)[0], 0) as ready:
        train = ready.parts.train
        batches = training_batches(train.split, splits.target, ready.order, None)
        step = tf.function(lambda iterator: train.model.train_step(next(iterator)))
        return step.get_concrete_function(iter(batches)).graph


def nodes_of(graph):
    """Every op of `graph` and of the functions that it calls."""
    definition = graph.as_graph_def()
    yield from definition.node
    for function in definition.library.function:
        yield from function.node_def


def has_gpu_kernel(node):
    """Says whether TensorFlow registers a kernel for a GPU and the dtypes of `node`."""
    return any(
        kernel.device_type in ("GPU", "DEFAULT")
        and all(
            not limit.HasField("allowed_values")
            or node.attr[limit.name].type in limit.allowed_values.list.type
            for limit in kernel.constraint
        )
        for kernel in kernels.get_registered_kernels_for_op(node.op).kernel
    )


def dtypes(node):
    """The dtypes of `node`, for a message."""
    return {name: types_pb2.DataType.Name(a.type) for name, a in node.attr.items() if a.type}


def lacking_kernels(graph):
    """The ops of `graph` that a GPU cannot run, with their dtypes."""
    return {f"{node.op} {dtypes(node)}" for node in nodes_of(graph) if not has_gpu_kernel(node)}


@needs_cuda
@pytest.mark.parametrize(("name", "precision", "batch_norm"), STEPS)
def test_every_op_of_a_training_step_has_a_kernel_for_gpus(name, precision, batch_norm):
    graph = traced_step(name, precision, batch_norm)

    assert lacking_kernels(graph) == set()


@needs_cuda
def test_an_op_without_a_kernel_is_found_however_deep():
    @tf.function
    def inner(x):
        zero = tf.zeros((1,), "int32")
        return tf.cond(x[0] > 0, lambda: tf.strings.length(tf.strings.as_string(x)), lambda: zero)

    step = tf.function(lambda x: inner(x))

    found = lacking_kernels(step.get_concrete_function(tf.TensorSpec((1,))).graph)

    assert {each.split()[0] for each in found} == {"AsString", "StringLength"}
