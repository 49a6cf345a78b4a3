"""Runs a model with each batch normalisation folded into the convolution before it.

Where a normalisation uses its moving averages, ``gamma * (conv(x) - mean) / sqrt(variance) + beta``
is a convolution with other weights and a bias (Jacob et al. 2018, arXiv 1712.05877, section 3.2):
two passes fewer over the activations, and TensorFlow's CPU kernels take the bias and the activation
along. Weights are read at every call and gradients reach them, so the model may train meanwhile.

Reached from functions only, since it imports Keras.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import keras
import tensorflow as tf
from keras.src.models.functional import Functional, operation_fn

Pair = tuple[keras.layers.Layer, keras.layers.BatchNormalization]


def infer(
    model: keras.Model, inputs: Any, apart: Collection[keras.layers.BatchNormalization] = ()
) -> Any:
    """The output of `model` for `inputs` in inference mode, as of ``model(inputs)``.

    Normalisations `apart` are called as they are.
    """
    folded = folded_calls(model, apart)
    if not folded:
        return model(inputs, training=False)

    def call_of(operation: keras.Operation) -> Callable[..., Any]:
        return folded.get(operation) or operation_fn(operation, training=False)

    outputs = model._run_through_graph(model._standardize_inputs(inputs), call_of)
    return tf.nest.flatten(outputs)[0] if len(model.outputs) == 1 else outputs


def folded_calls(
    model: keras.Model, apart: Collection[keras.layers.BatchNormalization]
) -> dict[keras.Operation, Callable[..., tf.Tensor]]:
    """The calls that replace each convolution and normalisation that is folded."""
    calls: dict[keras.Operation, Callable[..., tf.Tensor]] = {}
    for convolution, norm in foldable(model):
        if norm not in apart:
            calls |= {convolution: partial(convolved, convolution, norm), norm: as_it_is}
    return calls


def foldable(model: keras.Model) -> list[Pair]:
    """Returns the convolutions of a Functional model that feed a normalisation and nothing else."""
    if not isinstance(model, Functional) or model.__class__.call is not Functional.call:
        return []
    nodes = [node for depth in model._nodes_by_depth.values() for node in depth]
    uses = Counter(id(tensor) for node in nodes for tensor in node.input_tensors)
    uses.update(id(tensor) for tensor in model.outputs)
    calls = Counter(node.operation for node in nodes)
    made_by = {id(tensor): node.operation for node in nodes for tensor in node.outputs}
    pairs = []
    for node in nodes:
        if not is_plain_norm(node.operation) or calls[node.operation] > 1:
            continue
        before = id(node.input_tensors[0])
        convolution = made_by.get(before)
        once = uses[before] == 1 and calls[convolution] == 1
        if (
            once
            and is_plain_convolution(convolution)
            and compute_alike(convolution, node.operation)
        ):
            pairs.append((convolution, node.operation))
    return pairs


def is_plain_norm(layer: Any) -> bool:
    """Says whether `layer` normalises the last of four axes, whatever it computes in."""
    return (
        type(layer) is keras.layers.BatchNormalization
        and layer.axis in (-1, 3)
        and not getattr(layer, "renorm", False)
    )


def is_plain_convolution(layer: Any) -> bool:
    """Says whether `layer` is a convolution with float32 weights and nothing more."""
    return (
        type(layer) in (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
        and layer.activation is keras.activations.linear
        and layer.activity_regularizer is None
        and layer.data_format == "channels_last"
        and layer.dtype_policy.name in ("float32", "mixed_bfloat16", "mixed_float16")
    )


def compute_alike(layer: keras.layers.Layer, other: keras.layers.Layer) -> bool:
    """Says whether two layers compute in the same dtype, and keep their weights in the same."""
    return bool(layer.dtype_policy == other.dtype_policy)


def convolved(
    layer: Any, norm: keras.layers.BatchNormalization, inputs: tf.Tensor, **_: Any
) -> tf.Tensor:
    """The output of `norm` for that of a convolution `layer` for `inputs`.

    In half precision the weights are multiplied in float32 and then rounded, once.
    """
    dtype = layer.compute_dtype
    inputs = tf.cast(inputs, dtype)
    scale = tf.math.rsqrt(norm.moving_variance.value + norm.epsilon)
    if norm.scale:
        scale *= norm.gamma.value
    shift = (layer.bias.value if layer.use_bias else 0.0) - norm.moving_mean.value
    bias = shift * scale + (norm.beta.value if norm.center else 0.0)
    if type(layer) is keras.layers.Conv2D:
        outputs = layer.convolution_op(inputs, tf.cast(layer.kernel.value * scale, dtype))
    else:
        kernel = layer.kernel.value * tf.reshape(scale, layer.kernel.shape[2:])
        outputs = keras.ops.depthwise_conv(
            inputs,
            tf.cast(kernel, dtype),
            strides=layer.strides,
            padding=layer.padding,
            dilation_rate=layer.dilation_rate,
            data_format=layer.data_format,
        )
    return tf.nn.bias_add(outputs, tf.cast(bias, dtype))


def as_it_is(inputs: tf.Tensor, **_: Any) -> tf.Tensor:
    """Returns `inputs`: the normalisation was folded into the convolution before."""
    return inputs
