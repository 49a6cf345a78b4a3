"""TensorFlow SavedModel, for TF Serving and `tf.saved_model.load`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kft.exporter import Exporter, in_clean_process
from kft.input import Signature
from kft.storage.run_files import SAVED_MODEL
from kft.task import Task

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf


class SavedModelExporter(Exporter):
    """Writes the whole path from raw example to answer; a server needs TensorFlow alone.

    The signatures are those of the `Input`, the names in an answer those of the `Head`. The
    labels stand in ``assets/labels.txt`` too.
    """

    @property
    def output(self) -> str:
        return Path(SAVED_MODEL).name

    def write(self, task: Task, path: Path) -> None:
        write(task, path)
        labels = "".join(f"{name}\n" for name in task.target.names)
        (path / "assets").mkdir(exist_ok=True)
        (path / "assets" / "labels.txt").write_text(labels, encoding="utf-8", newline="\n")

    def ask(self, path: Path, task: Task, raw: np.ndarray) -> np.ndarray:
        """In a process that imports TensorFlow alone, by the default signature."""
        return in_clean_process(ask_as_server, path, raw, first_served(task))


def ask_as_server(path: str, raw: np.ndarray, key: str) -> np.ndarray:
    """What the default signature answers under `key`. It runs in a process without kft."""
    import sys

    # A server has no Keras. Without it TensorFlow is imported in two thirds of the time, too.
    sys.modules["keras"] = None  # type: ignore[assignment]

    import tensorflow as tf

    model = tf.saved_model.load(path)
    serve = model.signatures["serving_default"]
    (name,) = serve.structured_input_signature[1]
    answer: np.ndarray = serve(**{name: tf.constant(raw)})[key].numpy()
    return answer


def first_served(task: Task) -> str:
    """The name under which the model serves its outputs as they are."""
    import tensorflow as tf

    return next(iter(task.head.served(tf.zeros((1, len(task.target.names))), task.target)))


def write(task: Task, path: Path) -> None:
    """Writes the SavedModel. The model is traced once, and each signature calls that trace."""
    import keras
    import tensorflow as tf

    from kft.layers.without_cudnn import without_cudnn

    spec = tf.TensorSpec((None, *task.input.spec.shape), task.input.spec.dtype, name="inputs")
    model = tf.function(lambda inputs: task.model(inputs, training=False), input_signature=[spec])
    with without_cudnn(task.model):
        traced = model.get_concrete_function()
    archive = keras.export.ExportArchive()
    # For its lookup tables alone. The variables that endpoints use are tracked anyway, and those of
    # a layer that is given to track() are written a second time (Keras 3.15).
    tables = tf.Module()
    tables.model = task.model
    archive.track(tables)
    for signature in task.input.signatures():
        serve = endpoint(task, traced, signature)
        archive.add_endpoint(signature.name, serve, input_signature=[signature.spec])
    archive.write_out(str(path), verbose=False)


def endpoint(
    task: Task, model: Callable[[tf.Tensor], tf.Tensor], signature: Signature
) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """The function behind one signature."""

    def serve(raw: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(task.head.served(model(signature.prepare(raw)), task.target))

    return serve
