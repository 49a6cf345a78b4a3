"""What can be done with a run afterwards: score it again, export it again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from kft.cache.decode import decode_all, notes_of, read, refuse_bad
from kft.config.run_config import RunConfig, load_config
from kft.data import DataSource, Target
from kft.errors import ConfigError
from kft.exporter import VERIFIED, Exporter
from kft.progress import say
from kft.results.agreement import refuse_other_answers, refuse_other_data
from kft.scoring.evaluate import Answers, evaluate, with_intervals
from kft.scoring.on_cpu import on_cpu
from kft.settings.component import Settings, absolute
from kft.sources.exclude import drop_excluded
from kft.sources.folders.folder import Folder
from kft.sources.tables.table import Table
from kft.storage.digests import add_export, refuse_changed_model
from kft.storage.run_files import BEST_WEIGHTS, CONFIG, EXPORT, SCORES, TARGET
from kft.task import Task
from kft.workflows.ending import held_out
from kft.workflows.setup import build_task, say_devices


def open_run(directory: str | Path) -> tuple[RunConfig, Task]:
    """Opens an earlier run: its config, and its task with the weights that it selected.

    Raises:
        ConfigError: `directory` is not that of a finished run, or what its model depends on is no
            longer as it was.
    """
    directory = Path(directory)
    if not (directory / BEST_WEIGHTS).is_file():
        raise ConfigError(
            where=str(directory),
            problem=f"is not the directory of a run that has been trained: it has no "
            f"{BEST_WEIGHTS}",
            fix="Give the directory that `kft run` named at its end",
        )
    config = load_config(directory / CONFIG).reading_assets_in(directory)
    refuse_changed_model(directory, config.model_parts)
    say_devices(config.precision)
    target = Target.from_json((directory / TARGET).read_text(encoding="utf-8"))
    task = build_task(config, target, config.data.input)
    task.model.load_weights(directory / BEST_WEIGHTS)
    return config, task


def evaluate_run(directory: str | Path, data: str | Path | None = None) -> Mapping[str, Any]:
    """Returns the scores of an earlier run, by split, as in ``scores.json``.

    Without `data`, its own validation and test examples are scored again, and have to be answered
    as they were. With it, all files below the class folders of `data`, or if the run's own data is
    a table, all examples of another with the same columns; under the name ``data``.

    Raises:
        ConfigError: `directory` is not that of a finished run, or its model has changed.
        DataError: `data` has other classes than the run, or examples that cannot be read; or the
            run's own data has changed.
        ExportError: The run does not answer as it did.
    """
    config, task = open_run(directory)
    if data is None:
        answers = not_trained_on(config, own_answers(Path(directory), config, task))
        if not answers:
            raise ConfigError(
                where=str(directory),
                problem="has no test examples, and the refit trained on those of validation",
                fix=f"Score others:  kft evaluate {directory} DATA; {SCORES} has the validation "
                "scores of the weights before the refit",
            )
        return {
            name: dict(with_intervals(answer, task.target).scores)
            for name, answer in answers.items()
        }
    whole, left_out = other_data(config.data, str(data)).whole(task.target)
    found = decode_all(whole, task.input, f"Reading {data}")
    refuse_bad(found.bad, config.data.on_bad_input)
    for note in filter(None, (left_out, *notes_of(found.bad))):
        say(f"note: {note}")
    answer = evaluate(task, found.raw, found.decoded, str(data))
    return {"data": dict(with_intervals(answer, task.target).scores)}


def own_answers(directory: Path, config: RunConfig, task: Task) -> dict[str, Answers]:
    """What a run answers to its own examples, by split, having compared that with what it did.

    Raises:
        DataError: The data has changed.
        ExportError: The run does not answer as it did.
    """
    whole = config.data.load(config.seed)
    refuse_other_data(directory, whole)
    found = drop_excluded(whole, config.data.exclude)
    reading = read(found, config.data.on_bad_input, config.cache)
    raw, decoded = reading.raw.by_name(), reading.decoded.by_name()
    answers = {name: evaluate(task, raw[name], decoded[name], name) for name in held_out(reading)}
    refuse_other_answers(directory, not_trained_on(config, answers), task)
    return answers


def not_trained_on(config: RunConfig, answers: Mapping[str, Answers]) -> dict[str, Answers]:
    """The `answers` to splits that no phase trained on: a refit trains on validation too."""
    trained = {"validation"} if config.refit else set()
    return {name: answer for name, answer in answers.items() if name not in trained}


def other_data(own: DataSource, path: str) -> Table | Folder:
    """Returns the source of the examples at `path`, for a run whose `own` data is another."""
    if isinstance(own, Table) or (isinstance(own, Folder) and not Path(path).is_file()):
        return own.model_copy(update={"path": absolute(path)})
    if Path(path).is_file():
        problem = "is a file, expected class folders; a table is for a run whose own data is one"
        raise ConfigError(path, problem, "Put its examples into a folder for each class")
    return Folder(path=path, input=own.input)


class Export(Settings):
    """Names an exporter, so that pydantic finds it as it does in a config."""

    exporter: Exporter


def export_run(
    directory: str | Path, kind: str = "saved_model", to: str | Path | None = None
) -> tuple[Path, float]:
    """Writes an earlier run in another format, or again, into its ``export`` directory or `to`.

    Returns what was written, and the largest difference between its answers and the run's own, both
    of the CPU. How far those of a GPU are from these is told.

    Raises:
        ConfigError: `directory` is not that of a finished run, its model has changed, or there is
            no such exporter.
        DataError: The run's data has changed.
        ExportError: It is there already, or does not answer as the run does.
    """
    try:
        exporter = Export.model_validate({"exporter": {"kind": kind}}).exporter
    except ValidationError as error:
        fix = "Give a kind of exporter, such as 'saved_model', or module:Class"
        raise ConfigError("format", str(error.errors()[0]["msg"]), fix) from error
    directory = Path(directory)
    folder = directory / EXPORT if to is None else Path(to)
    exporter.refuse_existing(folder)
    config, task = open_run(directory)
    answers = own_answers(directory, config, task)
    asked = answers.get("test", answers["validation"])
    expected, _ = on_cpu(task, asked, VERIFIED)
    path, difference = exporter.export(task, expected, folder)
    add_export(directory, path)
    return path, difference
