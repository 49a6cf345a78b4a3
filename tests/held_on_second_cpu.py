"""Prints where tensors of many rows lie, all made where the second of two CPUs stands for a GPU.

JSON: the shapes on the first, and those on the second.
"""

import gc
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import tensorflow as tf
from tiny import Vectors, Words, tiny_task, training
from two_devices import DEVICES

from kft.cache.decode import read
from kft.cache.unchanged import verified
from kft.data import Split
from kft.engine.parts import part_of
from kft.engine.snapshot import Snapshot
from kft.pipeline.batches import Order, evaluation_batches, training_batches
from kft.scoring.evaluate import evaluate
from kft.sources.arrays.dataset import from_datasets
from kft.sources.arrays.tensors import Tensors
from kft.sources.py_fetch import fetch_files
from kft.sources.tables.table import Table

MANY = 100  # More than a pass has in a batch, and than there are numbers in a weight.


def sets(inputs):
    """Training and validation examples, of three classes; where a dataset lies is its maker's."""
    with tf.device(DEVICES[0]):
        whole = tf.data.Dataset.from_tensor_slices((inputs, np.arange(len(inputs)) % 3))
    return whole.take(150), whole.skip(150)


def tables(folder):
    """A table of texts and one of numbers."""
    for name, cell in {"texts": "word {}", "numbers": [0.5] * 8}.items():
        cells = [cell.format(n) if name == "texts" else cell for n in range(400)]
        rows = [json.dumps({"of": each, "class": "ab"[n % 2]}) for n, each in enumerate(cells)]
        (folder / f"{name}.jsonl").write_text("\n".join(rows))
        input = Words() if name == "texts" else Tensors(shape=(8,))
        path = str(folder / f"{name}.jsonl")
        yield Table(path=path, input=input, input_column="of", class_column="class").load(0)


def everything(folder):
    """Makes all that holds rows, and returns it."""
    rows = np.random.default_rng(0).normal(size=(300, 8)).astype("float32")
    words = [f"word {number}" for number in range(300)]
    source = from_datasets(*sets(rows), None, ("a", "b", "c"), input=Vectors())
    texts = from_datasets(*sets(words), None, ("a", "b", "c"), input=Words()).load(0)
    found = source.load(0)
    found = replace(found, train=replace(found.train, weights=np.ones(150, "float32")))
    examples = read(found, "stop")
    splits, again = examples.decoded, examples.raw
    task = tiny_task(splits)
    context = training(task, splits)
    part = part_of(task, splits.train, "train", context.feature_cache)
    order = Order(0, 0, 1, 4)
    one = splits.train.fetch(tf.constant(0, "int64"))
    several = part.split.fetch(tf.range(MANY, dtype="int64"))
    batches = [
        training_batches(part.split, splits.target, order, None),
        evaluation_batches(part.split, splits.target, 4),
    ]
    return [
        [*tables(folder), texts, found, examples, part, one, several, batches],
        evaluate(task, again.train, splits.train, "train"),
        verified(again.train.fetch, splits.train.digests),
        splits.train.take(range(MANY)),
        fetch_files([__file__] * MANY),
        Snapshot.from_arrays([], [np.zeros((MANY, 3))]),
        Snapshot.from_arrays([], [np.zeros(MANY)]).towards(
            Snapshot.from_arrays([], [np.ones(MANY)]), 0.5
        ),
        Split(words, np.zeros(300, "int32"), fetch_files([__file__] * 300)).take(range(200)),
    ]


with tf.device(DEVICES[1]):
    kept = everything(Path(sys.argv[1]))
gc.collect()
found: dict[str, list[tuple[int, ...]]] = {"CPU:0": [], "CPU:1": []}
for each in gc.get_objects():
    if isinstance(each, type(tf.constant(0))) and each.shape.rank and each.shape[0] >= MANY:
        found[each.device.rpartition("device:")[2]].append(each.shape.as_list())
json.dump(list(found.values()), sys.stdout)
