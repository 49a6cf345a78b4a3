"""TensorFlow SavedModel, for TF Serving and `tf.saved_model.load`."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
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

    def ask(self, path: Path, task: Task, raw: Sequence[tf.Tensor]) -> np.ndarray:
        """In a process that imports TensorFlow alone, by the default signature."""
        import tensorflow as tf

        with tempfile.TemporaryDirectory() as folder:
            question, answer = Path(folder, "raw"), Path(folder, "outputs")
            question.write_bytes(tf.io.serialize_tensor(tf.stack(raw)).numpy())
            script = Path(__file__).with_name("ask_saved_model.py")
            key = first_served(task)
            in_clean_process(script, [path, question, raw[0].dtype.name, key, answer], path)
            outputs: np.ndarray = tf.io.parse_tensor(answer.read_bytes(), tf.float32).numpy()
            return outputs


def first_served(task: Task) -> str:
    """The name under which the model serves its outputs as they are."""
    import tensorflow as tf

    return next(iter(task.head.served(tf.zeros((1, len(task.target.names))), task.target)))


def write(task: Task, path: Path) -> None:
    """Writes the SavedModel. The model is traced once, and each signature calls that trace."""
    import keras
    import tensorflow as tf

    spec = tf.TensorSpec((None, *task.input.spec.shape), task.input.spec.dtype, name="inputs")
    model = tf.function(lambda inputs: task.model(inputs, training=False), input_signature=[spec])
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
