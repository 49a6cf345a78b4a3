"""The export contract: write the trained model for somebody else's program."""

from __future__ import annotations

import inspect
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from kft.errors import ExportError
from kft.input import Input
from kft.rounding import on_one_cpu
from kft.scoring.difference import difference_of
from kft.settings.component import Component
from kft.storage.atomic import remove
from kft.task import Task

if TYPE_CHECKING:
    import numpy as np

    from kft.scoring.evaluate import Answers

# How many examples an export is verified with.
VERIFIED = 64
PARTIAL = ".{output}.kft-partial"
# What a GPU holds is the parent's; CUDA's variable, and ROCm's.
NO_GPU = {"CUDA_VISIBLE_DEVICES": "-1", "HIP_VISIBLE_DEVICES": "-1"}
# Gets a file with pickled arguments and one to write the answer to.
CLEAN_PROCESS = """\
from __future__ import annotations

{source}

import pickle
import sys

import numpy

with open(sys.argv[1], "rb") as file:
    arguments = pickle.load(file)
with open(sys.argv[2], "wb") as file:
    numpy.save(file, numpy.asarray({function}(*arguments), "float32"), allow_pickle=False)
"""


class Exporter(Component):
    """Writes a task in one format.

    A kind says how to write the model and how to get answers from it; the rest is done here.

    Example:
        >>> import keras
        >>> from kft import Exporter
        >>> from kft.exporter import in_clean_process
        >>> class KerasFile(Exporter):
        ...     @property
        ...     def output(self):
        ...         return "model.keras"
        ...
        ...     def write(self, task, path):
        ...         inputs = keras.Input(task.input.spec.shape, dtype=task.input.spec.dtype.name)
        ...         features = task.backbone.model(inputs, training=False)
        ...         keras.Model(inputs, task.head_model(features)).save(path)
        ...
        ...     def ask(self, path, task, raw):
        ...         inputs = task.input.signatures()[0].prepare(raw)
        ...         return in_clean_process(predict, path, inputs.numpy())
        >>> def predict(path, inputs):
        ...     import keras
        ...
        ...     return keras.saving.load_model(path).predict(inputs, verbose=0)
        >>> KerasFile().kind, KerasFile().output
        ('kft.exporter:KerasFile', 'model.keras')
    """

    role: ClassVar[str] = "exporter"

    @property
    @abstractmethod
    def output(self) -> str:
        """The name of the file or folder that it writes, such as ``saved_model``."""

    @abstractmethod
    def write(self, task: Task, path: Path) -> None:
        """Writes the model to `path`, where nothing is yet and whose last part is `output`."""

    @abstractmethod
    def ask(self, path: Path, task: Task, raw: np.ndarray) -> np.ndarray:
        """What the model at `path` answers to `raw` examples, as the head's outputs ``(size, k)``.

        It is called as its users will call it, without kft: by `in_clean_process`. `raw` has one
        example a row, as `Input.convert` gives them; strings are bytes. A format whose model takes
        decoded examples passes ``task.input.signatures()[0].prepare(raw)`` on.

        Raises:
            ExportError: It cannot be loaded or called.
        """

    def tolerance(self, task: Task) -> float:
        """The largest difference between its answers and those of the run that rounding explains.

        Both are of a CPU: 1e-5, in mixed precision 0.005 (float16) or 0.05 (bfloat16).
        """
        return on_one_cpu(task.model)

    def export(
        self, task: Task, answers: Answers, directory: Path, replace: bool = False
    ) -> tuple[Path, float]:
        """Writes into `directory` what answers as the run does, or nothing.

        `answers` are of the CPU, as those are that they are compared with: `scoring.on_cpu`. It is
        written beside its place, verified, and then put there, in place of what is there if it is
        to `replace` that. The result is the path and the difference, as `verify` finds it.

        Raises:
            ExportError: Something is there already, or the model answers otherwise.
        """
        path = directory / self.output
        if not replace:
            self.refuse_existing(directory)
        partial = directory / PARTIAL.format(output=self.output)
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            self.write(task, partial / self.output)
            difference = self.verify(partial / self.output, task, answers)
            remove(path)
            (partial / self.output).rename(path)
        except ExportError as error:
            raise ExportError(str(path), error.problem, error.fix) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return path, difference

    def refuse_existing(self, directory: Path) -> None:
        """Raises ExportError if something is where `export` would write."""
        path = directory / self.output
        if path.exists():
            raise ExportError(
                where=str(path),
                problem="already exists",
                fix="Move it away, or let `kft export` write to another folder with --to",
            )

    def verify(self, path: Path, task: Task, answers: Answers) -> float:
        """The largest difference between the run's `answers` and those of the model at `path`.

        Up to 64 examples are compared.

        Raises:
            ExportError: It is more than the `tolerance`.
        """
        import tensorflow as tf

        numbers = range(min(VERIFIED, answers.split.size))
        fetched = [answers.split.fetch(tf.constant(number)) for number in numbers]
        raw = as_served(tf.stack(fetched).numpy(), task.input)
        served, expected = self.ask(path, task, raw), answers.outputs[: len(raw)]
        if served.shape != expected.shape:
            raise ExportError(
                where=str(path),
                problem=f"answers with the shape {served.shape}, not {expected.shape} as the run",
                fix=f"Correct `write` or `ask` of the exporter {self.kind!r}",
            )
        difference, tolerance = difference_of(served, expected, task.target), self.tolerance(task)
        # Written so that a NaN counts as a mismatch.
        if not difference <= tolerance:
            raise ExportError(
                where=str(path),
                problem=f"answers differ from the run's own by up to {difference:.2g}, more than "
                f"the {tolerance:.0e} that rounding explains",
                fix="The export was removed; report this with the config of the run",
            )
        return difference


def as_served(raw: np.ndarray, input: Input) -> np.ndarray:
    """Returns `raw` examples as a served model takes them, of those that the `input` decodes."""
    import numpy as np

    if not input.converted_endings:
        return raw
    return np.array([input.convert(file) for file in raw], object)


def in_clean_process(ask: Callable[..., np.ndarray], path: Path, *arguments: object) -> np.ndarray:
    """What ``ask(path, *arguments)`` answers in a process that has not imported kft.

    The process gets the source of the function `ask` and nothing that stands around it, so what it
    uses it imports itself. `arguments` are pickled; the answer is float32. It sees no GPU.

    Raises:
        ExportError: It failed.
    """
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        script, given, answer = (Path(folder, name) for name in ("ask.py", "arguments", "answer"))
        source = textwrap.dedent(inspect.getsource(ask))
        program = CLEAN_PROCESS.format(source=source, function=ask.__name__)
        script.write_text(program, encoding="utf-8")
        given.write_bytes(pickle.dumps((str(path), *arguments)))
        run_script(script, given, answer, path=path)
        outputs: np.ndarray = np.load(answer, allow_pickle=False)
        return outputs


def run_script(script: Path, *arguments: Path, path: Path) -> None:
    """Runs a Python `script`, which calls the model at `path`, in a process of its own.

    Raises:
        ExportError: It failed.
    """
    quiet = {**os.environ, **NO_GPU, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-P", script, *arguments],
        env=quiet,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )
    if done.returncode > 0:
        raise ExportError(
            where=str(path),
            problem=f"a clean process cannot load and call it: {done.stderr.strip()[-800:]}",
            fix="Report this with the config of the run",
        )
    if done.returncode:
        raise ExportError(
            where=str(path),
            problem="the clean process that was to load and call it was ended by "
            f"{signal.Signals(-done.returncode).name}",
            fix="Free memory, where that is why, then `kft export` the run: its weights are kept",
        )
