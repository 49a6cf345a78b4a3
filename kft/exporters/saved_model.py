"""TensorFlow SavedModel, for TF Serving and `tf.saved_model.load`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from kft.errors import ExportError
from kft.exporter import Exporter, difference_of
from kft.input import Signature
from kft.precision import compute_dtypes
from kft.task import Task

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

    from kft.evaluate import Answers

ASKED = 64
TOLERANCE = 1e-5
# Of a model with layers that compute in these.
LOOSER = {"float16": 5e-3, "bfloat16": 5e-2}


class SavedModelExporter(Exporter):
    """Writes the whole path from raw example to answer; a server needs TensorFlow alone.

    The signatures are those of the `Input`, the names in an answer those of the `Head`. The
    labels stand in ``assets/labels.txt`` too.
    """

    def export(self, task: Task, directory: Path) -> Path:
        path = directory / "saved_model"
        if path.exists():
            raise ExportError(str(path), "is there already", "Move it away, or export elsewhere")
        partial = directory / "saved_model.partial"
        shutil.rmtree(partial, ignore_errors=True)
        write(task, partial)
        labels = "".join(f"{name}\n" for name in task.target.names)
        (partial / "assets").mkdir(exist_ok=True)
        (partial / "assets" / "labels.txt").write_text(labels, encoding="utf-8")
        partial.rename(path)
        return path

    def verify(self, path: Path, task: Task, answers: Answers) -> float:
        """Asks `path` for up to 64 examples in a clean process that imports TensorFlow alone.

        Its answers may differ by 1e-5, in mixed precision by 0.005 (float16) or 0.05 (bfloat16):
        in few digits, another size of batch or fusion of kernels rounds otherwise.
        """
        served = ask(path, task, answers)
        expected = answers.outputs[: len(served)]
        difference = difference_of(served, expected, task.target)
        # Written so that a NaN counts as a mismatch.
        tolerance = tolerance_of(task)
        if not difference <= tolerance:
            raise ExportError(
                where=str(path),
                problem=f"answers differ from the run's own by up to {difference:.2g}, more than "
                f"the {tolerance:.0e} that rounding explains",
                fix="Do not serve it; report how it was made",
            )
        return difference


def tolerance_of(task: Task) -> float:
    """Returns by how much rounding may change a probability."""
    return max(LOOSER.get(dtype, TOLERANCE) for dtype in compute_dtypes(task.model))


def first_served(task: Task, answers: Answers) -> str:
    """Returns the name under which the model serves its outputs as they are."""
    import tensorflow as tf

    return next(iter(task.head.served(tf.constant(answers.outputs[:1]), task.target)))


def write(task: Task, path: Path) -> None:
    """Writes the SavedModel. The model is traced once, and each signature calls that trace."""
    import keras
    import tensorflow as tf

    spec = tf.TensorSpec((None, *task.input.spec.shape), task.input.spec.dtype, name="inputs")
    model = tf.function(lambda inputs: task.model(inputs, training=False), input_signature=[spec])
    traced = model.get_concrete_function()
    archive = keras.export.ExportArchive()
    archive.track(task.model)
    for signature in task.input.signatures():
        serve = endpoint(task, traced, signature)
        archive.add_endpoint(signature.name, serve, input_signature=[signature.spec])
    archive.write_out(str(path), verbose=False)


def endpoint(
    task: Task, model: Callable[[tf.Tensor], tf.Tensor], signature: Signature
) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
    """Returns the function behind one signature."""

    def serve(raw: tf.Tensor) -> dict[str, tf.Tensor]:
        return dict(task.head.served(model(signature.prepare(raw)), task.target))

    return serve


def ask(path: Path, task: Task, answers: Answers) -> np.ndarray:
    """Returns the outputs ``(asked, k)`` of the SavedModel for the first raw examples."""
    import tensorflow as tf

    raw = [answers.split.fetch(tf.constant(i)) for i in range(min(ASKED, answers.split.size))]
    with tempfile.TemporaryDirectory() as folder:
        question, answer = Path(folder, "raw"), Path(folder, "outputs")
        question.write_bytes(tf.io.serialize_tensor(tf.stack(raw)).numpy())
        script = Path(__file__).with_name("ask_saved_model.py")
        key = first_served(task, answers)
        command = [sys.executable, "-P", script, path, question, raw[0].dtype.name, key, answer]
        quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        done = subprocess.run(command, env=quiet, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ExportError(
                where=str(path),
                problem=f"a clean process cannot load and ask it: {done.stderr.strip()[-800:]}",
                fix="Do not serve it",
            )
        outputs: np.ndarray = tf.io.parse_tensor(answer.read_bytes(), tf.float32).numpy()
        return outputs
