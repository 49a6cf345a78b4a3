"""Scores of the answers that `peers.py` gathers, and the tables of them.

A run has, of each part (``test``, perhaps ``shift``), whether each picture was right and how
probable its class was, in the order of the paths: two runs are compared picture by picture.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# Of a class that was held for impossible, the log loss would be infinite.
LEAST = 1e-7

# By file, the probability of each class; the file is ``class/name``.
Answers = Mapping[str, Mapping[str, float]]
# By seed, as in the file of results.
Runs = Mapping[str, Mapping[str, Any]]


def scores(answers: Answers) -> dict[str, Any]:
    """Returns the scores of one part: shares from 0 to 1, the log loss in nats."""
    right, truth = [], []
    by_class = defaultdict(list)
    for file in sorted(answers):
        label, found = file.split("/")[0], answers[file]
        right.append(int(max(found, key=found.__getitem__) == label))
        truth.append(found[label])
        by_class[label].append(right[-1])
    return {
        "accuracy": statistics.mean(right),
        "balanced_accuracy": statistics.mean(map(statistics.mean, by_class.values())),
        "log_loss": statistics.mean(map(surprise, truth)),
        "right": right,
        "truth": truth,
    }


def surprise(probability: float) -> float:
    """Returns the log loss of one picture, in nats."""
    return -math.log(min(max(probability, LEAST), 1 - LEAST))


def each(run: Mapping[str, Any], part: str, score: str) -> list[float]:
    """Returns the accuracy or the log loss of each picture of a part."""
    if score == "accuracy":
        return [float(right) for right in run[part]["right"]]
    return [surprise(probability) for probability in run[part]["truth"]]


def differences(ours: Runs, theirs: Runs, part: str, score: str) -> list[list[float]]:
    """Returns ours less theirs: by the seeds that both have, of each picture."""
    return [
        [
            first - second
            for first, second in zip(
                each(ours[seed], part, score), each(theirs[seed], part, score), strict=True
            )
        ]
        for seed in ours
        if seed in theirs and part in ours[seed] and part in theirs[seed]
    ]


def standard_error(values: Sequence[float]) -> float:
    """Returns the standard error of the mean, NaN of fewer than two."""
    if len(values) < 2:
        return math.nan
    return statistics.stdev(values) / math.sqrt(len(values))


def print_set(name: str, found: Mapping[str, Runs]) -> None:
    """Prints the means over the seeds of each peer, and kft less the others, paired."""
    print(f"\n## {name}\n")
    print("| peer | seeds | part | accuracy | balanced | log loss | seconds | gain |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for peer, runs in found.items():
        for part in ("test", "shift"):
            if parts := [run[part] for run in runs.values() if part in run]:
                cells = [
                    f"{statistics.mean(scored[score] for scored in parts):.3f}"
                    for score in ("accuracy", "balanced_accuracy", "log_loss")
                ]
                rest = [seconds(runs), gained(runs)] if part == "test" else ["", ""]
                print(f"| {' | '.join([peer, str(len(parts)), part, *cells, *rest])} |")
    print("\n| difference | part | accuracy | log loss |")
    print("| --- | --- | --- | --- |")
    for ours, theirs, part in pairs(found):
        cells = [
            paired(differences(found[ours], found[theirs], part, score))
            for score in ("accuracy", "log_loss")
        ]
        print(f"| {ours} less {theirs} | {part} | {' | '.join(cells)} |")


def pairs(found: Mapping[str, Runs]) -> Iterator[tuple[str, str, str]]:
    """Yields what can be compared: a peer with kft, one with another or without, and a part."""
    ours = [peer for peer in found if peer.split()[0] == "kft"]
    for first in ours:
        others = [peer for peer in found if peer not in ours or (peer == "kft" != first)]
        for second in others:
            for part in ("test", "shift"):
                if differences(found[first], found[second], part, "accuracy"):
                    yield first, second, part


def paired(found: Sequence[Sequence[float]]) -> str:
    """Returns the mean of `found` with its standard errors over pictures and over seeds."""
    over_pictures = [statistics.mean(column) for column in zip(*found, strict=True)]
    over_seeds = [statistics.mean(row) for row in found]
    return (
        f"{statistics.mean(over_pictures):+.3f} ± {standard_error(over_pictures):.3f} "
        f"(seeds ± {standard_error(over_seeds):.3f})"
    )


def seconds(runs: Runs) -> str:
    """Returns the mean of the wall times."""
    return f"{statistics.mean(run['seconds'] for run in runs.values()):.0f}"


def gained(runs: Runs) -> str:
    """Returns what fine-tuning gained on test over the head alone, as kft says, or nothing."""
    gains = [run["gain"] for run in runs.values() if run.get("gain")]
    if not gains:
        return ""
    mean = statistics.mean(gain["test"]["gain"] for gain in gains)
    return f"{mean:+.3f} {gains[0]['metric']}"


def print_all(sets: Mapping[str, Mapping[str, Runs]]) -> None:
    """Prints the differences over all sets that have both peers, the sets as the sample."""
    print("\n## All sets\n")
    print("| difference | part | sets | accuracy | log loss | seconds, ratio |")
    print("| --- | --- | --- | --- | --- | --- |")
    both: dict[tuple[str, str, str], list[Mapping[str, Runs]]] = defaultdict(list)
    for found in sets.values():
        for pair in pairs(found):
            both[pair].append(found)
    for (ours, theirs, part), those in both.items():
        cells = []
        for score in ("accuracy", "log_loss"):
            means = [
                statistics.mean(map(statistics.mean, differences(f[ours], f[theirs], part, score)))
                for f in those
            ]
            cells.append(f"{statistics.mean(means):+.3f} ± {standard_error(means):.3f}")
        ratio = statistics.geometric_mean(
            float(seconds(found[ours])) / float(seconds(found[theirs])) for found in those
        )
        row = [f"{ours} less {theirs}", part, str(len(those)), *cells, f"{ratio:.2f}"]
        print(f"| {' | '.join(row)} |")
