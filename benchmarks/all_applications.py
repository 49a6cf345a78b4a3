"""Builds every model of keras.applications as a backbone, without weights, and checks it.

    python benchmarks/all_applications.py [NAME …] [--export]

Run it after an upgrade of Keras (about 10 minutes, 4 GB), or with the names of some models; a slow
test does for one of each family. It compares the table with what Keras builds and would download,
and plans both phases of the default recipe. With ``--export`` the smallest model of each family is
exported too, and a clean process has to give the same answers (10 more minutes).
"""

from __future__ import annotations

import argparse
import gc
import math
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.utils import file_utils

import kft
from kft.data import Split, Target
from kft.errors import KftError
from kft.exporters.saved_model import SavedModelExporter
from kft.heads.classifier import Classifier
from kft.image.applications import Application, KerasApplication, applications
from kft.image.input import ImageInput
from kft.scoring.evaluate import evaluate
from kft.task import assemble


class Asked(Exception):
    """Carries the file that Keras would download."""


def ask(file: str, url: str, file_hash: str | None = None, **_: Any) -> str:
    """Stands in for ``get_file``."""
    raise Asked(file, url, file_hash)


# 32 divides it, so that the table is exact, and no model needs larger images.
SIDE = 352
MULTIPLIES = (keras.layers.Dense, keras.layers.Conv2D, keras.layers.DepthwiseConv2D)


def multiply_adds(model: keras.Model) -> int:
    """Returns those of the convolutions and dense layers of a flat model, for one image."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, (*MULTIPLIES, keras.layers.SeparableConv2D)):
            places = math.prod(layer.output.shape[1:-1])
            kernels = [weight for weight in layer.weights if "kernel" in weight.name]
            total += places * sum(math.prod(kernel.shape) for kernel in kernels)
    return total


def faults(published: Application) -> list[str]:
    """Returns what is wrong with one model."""
    height, width = published.minimum_size, published.minimum_size + 13
    source = KerasApplication(name=published.name)
    backbone = source.load(tf.TensorSpec((height, width, 3), "uint8"), pretrained=False)
    may_train = {id(variable) for variable in backbone.model.trainable_variables}
    staged = [id(variable) for stage in backbone.stages for variable in stage.variables]
    names = [stage.name for stage in backbone.stages]
    backbone.train_only(())
    pixels = np.random.default_rng(0).integers(0, 256, (1, height, width, 3)).astype("uint8")
    square = source.load(tf.TensorSpec((SIDE, SIDE, 3), "uint8"), pretrained=False)
    checks = {
        "has other multiply-adds": multiply_adds(square.model) == published.multiply_adds_at(SIDE),
        "has other parameters": backbone.model.count_params() == published.parameters,
        "has a variable in two stages": len(staged) == len(set(staged)),
        "has a variable in no stage": may_train <= set(staged),
        "has two stages of one name": len(names) == len(set(names)),
        "cannot be frozen": not backbone.model.trainable_variables,
        "gives features that are not finite": np.isfinite(backbone.model(pixels)).all(),
    }
    return [fault for fault, passed in checks.items() if not passed]


def plan_fault(published: Application) -> Iterator[str]:
    """Yields why the default recipe cannot be planned."""
    side = published.minimum_size
    config = {
        "data": {"kind": "digits", "input": {"kind": "image", "size": [side, side]}},
        "backbone": {"kind": "keras_application", "name": published.name, "weights": None},
    }
    try:
        stages = [len(phase.stages) for phase in kft.plan(kft.load_config(config)).phases]
    except KftError as error:
        yield f"cannot be planned: {error}"
        return
    if stages[0] or not stages[1]:
        yield f"is planned with {stages} stages of the backbone trained"


def export_fault(published: Application) -> Iterator[str]:
    """Yields why an export does not answer as the model does."""
    side = published.minimum_size
    input = ImageInput(size=(side, side))
    backbone = KerasApplication(name=published.name).load(input.spec, pretrained=False)
    target = Target("class", ("a", "b", "c"))
    task = assemble(backbone, Classifier(), target, input)
    pixels = np.random.default_rng(1).integers(0, 256, (4, side, side + 9, 3)).astype("uint8")
    files = tf.stack([tf.io.encode_png(each) for each in pixels])
    raw = Split(list("abcd"), np.array([0, 1, 2, 0], "int32"), lambda index: files[index])
    decoded = Split(raw.names, raw.labels, lambda index: input.decode(files[index]))
    answers = evaluate(task, raw, decoded, "test")
    exporter = SavedModelExporter()
    with tempfile.TemporaryDirectory() as directory:
        try:
            exporter.export(task, answers, Path(directory))
        except KftError as error:
            yield f"is not exported as it is: {error}"


def smallest_of_each_family() -> set[str]:
    """Returns the name of the model with the fewest parameters of each module of Keras."""
    found = sorted(applications().items(), key=lambda item: -item[1].parameters)
    return set({model.module: name for name, model in found}.values())


def weights_fault(published: Application) -> Iterator[str]:
    """Yields whether Keras would download another file than the table names."""
    size = published.default_size
    named = (published.weights_file, published.weights_url, published.weights_hash)
    expected = tuple(part and part.format(size=size) for part in named)
    side = size if published.weights_sizes else published.minimum_size
    try:
        build = getattr(keras.applications, published.name)
        build(include_top=False, input_shape=(side, side, 3))
    except Asked as asked:
        if asked.args != expected:
            yield f"would be downloaded as {asked.args}"


def main() -> int:
    """Prints a line for each model; returns how many are at fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--export", action="store_true")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    file_utils.get_file = ask
    exported = smallest_of_each_family() if chosen.export else set()
    bad = 0
    for name in chosen.names or applications():
        start = time.perf_counter()
        published = applications()[name]
        found = [*faults(published), *plan_fault(published), *weights_fault(published)]
        if name in exported:
            found += export_fault(published)
        seconds = time.perf_counter() - start
        bad += bool(found)
        print(f"{name:20} {seconds:6.1f} s  {'; '.join(found) or 'ok'}", flush=True)
        keras.utils.clear_session()
        gc.collect()
    return bad


if __name__ == "__main__":
    sys.exit(main())
