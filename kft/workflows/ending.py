"""Ends a run: scores what was trained, exports it, and draws figures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kft.cache.decode import Reading
from kft.cache.feature_cache import FeatureCache
from kft.config.run_config import RunConfig
from kft.engine.gain import gain
from kft.engine.parts import part_of
from kft.engine.run_state import RunState
from kft.engine.selection import Selected
from kft.engine.snapshot import Snapshot
from kft.engine.train import PhaseResult
from kft.exporter import VERIFIED
from kft.progress import say
from kft.results.report import draw_end, scores, write_end
from kft.results.run_directory import write_config
from kft.results.waits import input_notes
from kft.scoring.evaluate import Answers, evaluate, with_intervals
from kft.scoring.on_cpu import on_cpu
from kft.storage.digests import add_export
from kft.storage.run_files import EXPORT
from kft.task import Task


@dataclass(frozen=True)
class RunResult:
    """What a run did and where it is.

    Attributes:
        directory: Of the run, absolute.
        scores: The content of ``scores.json``.
        exports: What the exporters wrote, with the largest difference between its answers and
            the run's own, both of the CPU.
        device_difference: The largest between the run's answers on its GPU and on the CPU; None if
            it had no GPU, or wrote no export.
        notes: On what held training up, for people.
        chief: Whether this is the worker that writes; others have no scores and no exports.
    """

    directory: Path
    phases: tuple[PhaseResult, ...]
    scores: Mapping[str, Any]
    exports: Mapping[Path, float]
    device_difference: float | None = None
    notes: tuple[str, ...] = ()
    chief: bool = True


@dataclass(frozen=True, eq=False)
class Trained:
    """What training leaves, for the scores and the exports.

    Attributes:
        validated: The weights before the refit, whose answers to the validation examples count,
            since the refit trains on these; None if there is none.
        folds: What cross-validation gave, as in ``scores.json``; None if there was none.
        ended_early: The phase and epoch in which training ended before its time, and by what; None
            if it did not.
    """

    task: Task
    examples: Reading
    feature_cache: FeatureCache
    phases: tuple[PhaseResult, ...]
    selected: Selected
    validated: Snapshot | None = None
    folds: Mapping[str, Any] | None = None
    ended_early: Mapping[str, Any] | None = None


def finish(directory: Path, config: RunConfig, trained: Trained) -> RunResult:
    """Scores what was trained, exports it, and draws figures."""
    task, examples, feature_cache = trained.task, trained.examples, trained.feature_cache
    final = {name: answer(task, examples, name, feature_cache) for name in held_out(examples)}
    answers = final | validation_before_refit(trained)
    gained = gain(task, trained.selected, answers, examples.decoded.by_name())
    answers = {name: with_intervals(each, task.target) for name, each in answers.items()}
    content = {
        **scores(answers, trained.phases, trained.selected, gained, trained.folds),
        "ended_early": trained.ended_early,
    }
    test = answers.get("test", answers["validation"])
    write_end(directory, content, test, task.target)
    exports, across = export(config, task, final.get("test", final["validation"]), directory)
    draw_end(directory, content, test, task.target)
    # Only now: a run that was killed in any of this is resumed, and does all that was asked for.
    if trained.ended_early:
        # Later the config says what was done: validation examples that a refit trained on count
        # as such.
        done = {"refit": trained.validated is not None, "folds": trained.folds and config.folds}
        write_config(directory, config.model_copy(update=done))
    RunState(directory).remove()
    notes = input_notes(trained.phases, examples.raw.input.plural)
    return RunResult(directory, trained.phases, content, exports, across, notes)


def validation_before_refit(trained: Trained) -> dict[str, Answers]:
    """What the weights before the refit answer to the validation examples, if there was one."""
    if trained.validated is None:
        return {}
    with trained.validated.assigned():
        validation = answer(trained.task, trained.examples, "validation", trained.feature_cache)
    return {"validation": validation}


def held_out(examples: Reading) -> list[str]:
    """The names of the splits that are scored."""
    return [name for name in examples.raw.by_name() if name != "train"]


def answer(task: Task, examples: Reading, name: str, feature_cache: FeatureCache) -> Answers:
    """What `task` answers to the split `name`."""
    raw, decoded = examples.raw.by_name()[name], examples.decoded.by_name()[name]
    if feature_cache.cache_policy.dtype != "float32":
        return evaluate(task, raw, decoded, name)  # as an export, which rounds no features
    part = part_of(task, decoded, name, feature_cache)
    return evaluate(task, raw, part.split, name, part.model)


def export(
    config: RunConfig, task: Task, test: Answers, directory: Path
) -> tuple[dict[Path, float], float | None]:
    """Writes every format and verifies it against the answers of the run, as the CPU gives them.

    Returns the difference of each, and the largest between GPU and CPU, as `RunResult` has them.
    What is there already is of the same run, which was killed then.
    """
    if not config.exporters:
        return {}, None
    expected, across = on_cpu(task, test, VERIFIED)
    differences = {}
    for exporter in config.exporters:
        say(f"Exporting {exporter.kind}, and comparing its answers")
        path, difference = exporter.export(task, expected, directory / EXPORT, replace=True)
        add_export(directory, path)
        differences[path] = difference
    return differences, across
