"""Writes the bundled MobileNetV2 weights for torchvision, so that `peers.py` starts all alike.

    python benchmarks/weights_for_torch.py OUT.pkl

OUT is a pickled dict of NumPy arrays with the names of ``torchvision.models.mobilenet_v2()
.features``. This undoes what NOTICE says of the weights: Keras reads pixels from -1 to 1 where
torchvision normalises them by mean and deviation, and their epsilons of batch normalisation differ.
PyTorch is not needed here.
"""

from __future__ import annotations

import argparse
import pickle
from pathlib import Path

import keras
import numpy as np

import kft

WEIGHTS = Path(kft.__file__).parent / "weights/mobilenet_v2_1.0_224_imagenet_notop.weights.h5"
MEAN = np.array([0.485, 0.456, 0.406])
DEVIATION = np.array([0.229, 0.224, 0.225])
KERAS_EPSILON, TORCH_EPSILON = 1e-3, 1e-5
BLOCKS = 17


def layer_names() -> dict[str, tuple[str, str]]:
    """Returns the names of each convolution and its norm in torchvision, by its name in Keras."""
    names = {"Conv1": ("0.0", "0.1"), "Conv_1": ("18.0", "18.1")}
    for number in range(BLOCKS):
        block = f"block_{number}" if number else "expanded_conv"
        parts = ["expand", "depthwise", "project"] if number else ["depthwise", "project"]
        for at, part in enumerate(parts):
            inside = f"{number + 1}.conv.{at}"
            last = (inside, f"{number + 1}.conv.{at + 1}")
            names[f"{block}_{part}"] = last if part == "project" else (f"{inside}.0", f"{inside}.1")
    return names


def norm_of(convolution: str) -> str:
    """Returns the name in Keras of the batch normalisation after a convolution."""
    special = {"Conv1": "bn_Conv1", "Conv_1": "Conv_1_bn"}
    return special.get(convolution, f"{convolution}_BN")


def torch_state(model: keras.Model) -> dict[str, np.ndarray]:
    """Returns the weights of a Keras MobileNetV2 by their names in torchvision, float32."""
    state: dict[str, np.ndarray] = {}
    for name, (convolution, norm) in layer_names().items():
        layer = model.get_layer(name)
        # (height, width, in, out), and of a depthwise one (height, width, out, 1).
        order = (2, 3, 0, 1) if isinstance(layer, keras.layers.DepthwiseConv2D) else (3, 2, 0, 1)
        kernel = layer.get_weights()[0].astype("float64").transpose(order)
        moved = np.zeros(())
        if name == "Conv1":
            # A pixel of -1 to 1 is p * (2 * deviation) + (2 * mean - 1) of a normalised p.
            moved = (kernel * (2 * MEAN - 1)[:, None, None]).sum(axis=(1, 2, 3))
            kernel = kernel * (2 * DEVIATION)[:, None, None]
        gamma, beta, mean, variance = (
            weight.astype("float64") for weight in model.get_layer(norm_of(name)).get_weights()
        )
        gamma = gamma * np.sqrt((variance + TORCH_EPSILON) / (variance + KERAS_EPSILON))
        state |= {
            f"{convolution}.weight": kernel,
            f"{norm}.weight": gamma,
            f"{norm}.bias": beta,
            f"{norm}.running_mean": mean - moved,
            f"{norm}.running_var": variance,
        }
    return {name: weight.astype("float32") for name, weight in state.items()}


def main() -> None:
    """Writes the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    chosen = parser.parse_args()
    model = keras.applications.MobileNetV2(include_top=False, weights=str(WEIGHTS))
    chosen.out.write_bytes(pickle.dumps(torch_state(model)))


if __name__ == "__main__":
    main()
