"""By how much rounding may change what is computed again: which tolerance holds where, and why.

- An export answers on a CPU and is compared with answers of the same CPU: `on_one_cpu`.
- A run that is opened again is compared with what it answered at its end: `opened_again`.
- A GPU's answers are compared with those of the CPU, and what exceeds this is told:
  `between_devices`.
- Features on disk are compared with what their model gives for one example now: `SAME_MODEL`.
- Weights, examples and the state of a run are compared by digests, to the bit.

The first three are of probabilities, or of values as a share of the largest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from kft.devices import gpus
from kft.layers.precision import compute_dtypes

if TYPE_CHECKING:
    import keras

Arithmetic = Literal["CPU", "GPU", "GPU with TF32"]

# By the dtype that layers compute in, of up to 64 answers: other sizes of batch, fusions and orders
# of summation make 1e-6 and less in float32.
ON_ONE_CPU = {"float32": 1e-5, "float16": 5e-3, "bfloat16": 5e-2}
# The same of all answers. TF32 rounds the factors of products to 11 bits, as float16 does: features
# of MobileNetV2 differ by 2e-3 from those of float32, 270 probabilities by up to 4e-3.
BETWEEN_DEVICES = {"float32": 2e-2, "float16": 2e-2, "bfloat16": 1e-1}
# A GPU without TF32 may pick another algorithm each time, such as of a convolution.
GPU = 1e-4
# A loss grows faster than the probabilities that it is made of.
LOSS = 100
# How far the features of one example, computed alone, may be from those on disk, as a share of
# their length. All of the above makes less; another model makes more.
SAME_MODEL = 0.05


def on_one_cpu(model: keras.Model) -> float:
    """Between two computations of a model by a CPU, whatever the graph and the size of batch."""
    return loosest(ON_ONE_CPU, model)


def between_devices(model: keras.Model) -> float:
    """Between two computations on devices, or by versions, that may be of any kind."""
    return loosest(BETWEEN_DEVICES, model)


def loosest(tolerances: Mapping[str, float], model: keras.Model) -> float:
    """The largest of the `tolerances` of the dtypes that `model` computes in."""
    return max(tolerances.get(dtype, 0.0) for dtype in ("float32", *compute_dtypes(model)))


def opened_again(model: keras.Model, elsewhere: bool) -> float:
    """Between the answers of a run at its end and now.

    `elsewhere` says that devices or versions are others than then.
    """
    rounds, tight = arithmetic(), on_one_cpu(model)
    is_short = rounds == "GPU with TF32" or tight > ON_ONE_CPU["float32"]
    if elsewhere or (rounds != "CPU" and is_short):
        return between_devices(model)
    return tight if rounds == "CPU" else GPU


def arithmetic() -> Arithmetic:
    """What rounds here: a CPU, a GPU, or one that multiplies float32 in TF32.

    GPUs do from compute capability 8.0 (Ampere) on, unless it is switched off in TensorFlow.
    """
    import tensorflow as tf

    found = gpus()
    if not found:
        return "CPU"
    has_tf32 = any(gpu.capability is not None and gpu.capability >= (8, 0) for gpu in found)
    if has_tf32 and tf.config.experimental.tensor_float_32_execution_enabled():
        return "GPU with TF32"
    return "GPU"
