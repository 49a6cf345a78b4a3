"""kft against fastai and the script of Keras's guide: the same pictures, weights and test files.

    python benchmarks/peers.py SET … [--seeds 3] [--size 128] [--resize crop] [--json OUT]
        [--kft NAME KEY=VALUE …] [--fastai-python PATH --torch-weights FILE] [--only PEER …]

Each SET is a folder with ``train`` and ``test`` of class folders, and perhaps with ``shift``: other
pictures of the same classes from another source, on which what was trained is tested as well. Each
run is a process of its own, one at a time:

* ``kft``: a config with data, size and the bundled MobileNetV2, and else nothing set;
* ``kft NAME``, for each ``--kft``: the same with these settings, as by ``kft run --set``;
* ``keras``: `peers_keras.py`;
* ``fastai`` and ``fastai augmented``: `peers_fastai.py` without and with ``aug_transforms()``, if
  there are ``--fastai-python``, the Python of an environment that has fastai, and
  ``--torch-weights``, from `weights_for_torch.py`.

The peers train on all of ``train``; kft takes its validation split out of it. Seconds are those of
the whole process, ``shift`` left out; of kft, the export is part of it. All read a picture as RGB,
so a set with transparent ones should be laid on white first, as kft does by itself.

With ``--json``, all figures are kept in OUT, and what is there already is not run again; with
``--seeds 0`` nothing is run, and the tables are printed.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import cost_of
from peers_table import Answers, print_all, print_set, scores

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Peer:
    """What is compared.

    Attributes:
        command: Of a peer that is a script here, without the data; empty for kft.
        settings: Of kft, as by ``kft run --set``.
    """

    name: str
    command: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """One run.

    Attributes:
        folder: Of the set.
        size: Height and width in pixels.
    """

    folder: Path
    seed: int
    size: int
    resize: str


def peers_of(chosen: argparse.Namespace) -> list[Peer]:
    """Returns the peers that were asked for."""
    peers = [Peer("kft")]
    peers += [Peer(f"kft {name}", settings=tuple(rest)) for name, *rest in chosen.kft]
    peers.append(Peer("keras", (sys.executable, str(HERE / "peers_keras.py"))))
    if chosen.fastai_python:
        script = (chosen.fastai_python, str(HERE / "peers_fastai.py"))
        fastai = (*script, "--weights", str(chosen.torch_weights))
        peers += [Peer("fastai", fastai), Peer("fastai augmented", (*fastai, "--augment"))]
    unknown = set(chosen.only or ()) - {peer.name for peer in peers}
    if unknown:
        raise SystemExit(
            f"--only: there is no peer {', '.join(map(repr, sorted(unknown)))}; there are "
            f"{', '.join(repr(peer.name) for peer in peers)}. Correct it, or add --kft or "
            f"--fastai-python"
        )
    return [peer for peer in peers if not chosen.only or peer.name in chosen.only]


def files_of(job: Job, part: str) -> list[str]:
    """Returns the pictures of a part as ``class/name``, sorted; none if there is no such part."""
    folder = job.folder / part
    return sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/*"))


def run(peer: Peer, job: Job) -> dict[str, Any]:
    """Trains and returns the seconds and the scores."""
    with tempfile.TemporaryDirectory() as directory:
        found = (run_script if peer.command else run_kft)(peer, job, Path(directory))
    for part in ("test", "shift"):
        if sorted(found.get(part, ())) != files_of(job, part):
            raise SystemExit(f"{peer.name} did not answer to each file of {job.folder / part}")
        if part in found:
            found[part] = scores(found[part])
    return found


def run_script(peer: Peer, job: Job, directory: Path) -> dict[str, Any]:
    """Returns the seconds and the answers of a script that is a peer."""
    out = directory / "answers.json"
    options = ("--seed", str(job.seed), "--size", str(job.size), "--resize", job.resize)
    cost, _ = cost_of([*peer.command, str(job.folder), "--out", str(out), *options])
    told = json.loads(out.read_text(encoding="utf-8"))
    answers = {
        part: {
            file: dict(zip(told["classes"], row, strict=True)) for file, row in told[part].items()
        }
        for part in ("test", "shift")
        if part in told
    }
    return {"seconds": cost.seconds - told["shift_seconds"], **answers}


def run_kft(peer: Peer, job: Job, directory: Path) -> dict[str, Any]:
    """Returns the seconds and the answers of kft, and what it says that fine-tuning gained."""
    end = directory / "run"
    config = {
        "output_dir": str(end),
        "seed": job.seed,
        "data": {
            "kind": "folder",
            "path": str(job.folder.absolute()),
            "input": {"kind": "image", "size": [job.size, job.size], "resize": job.resize},
        },
        "backbone": {"kind": "keras_application", "name": "MobileNetV2", "weights": "bundled"},
    }
    path = directory / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    kft = [sys.executable, "-m", "kft"]
    overrides = [word for setting in peer.settings for word in ("--set", setting)]
    # A cache of its own, so that no run finds the features of another.
    cost, _ = cost_of([*kft, "run", str(path), *overrides], directory / "cache")
    gain = json.loads((end / "scores.json").read_text(encoding="utf-8"))["gain"]
    found = {"seconds": cost.seconds, "gain": gain, "test": kft_test(end)}
    if shifted := files_of(job, "shift"):
        folder = job.folder / "shift"
        files = [str(folder / file) for file in shifted]
        _, told = cost_of([*kft, "predict", "--json", str(end), *files])
        rows = [json.loads(line) for line in told.splitlines() if line.startswith("{")]
        found["shift"] = {
            Path(row["file"]).relative_to(folder).as_posix(): row["scores"] for row in rows
        }
    return found


def kft_test(directory: Path) -> Answers:
    """Returns the answers to the test files that a run of kft wrote down."""
    with (directory / "predictions.csv").open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    return {
        path.partition("/")[2]: dict(zip(head[3:], map(float, shares), strict=True))
        for path, _, _, *shares in rows
    }


class Results:
    """All figures, by set, peer and seed, kept in a file if there is one."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        there = path is not None and path.exists()
        self.found: dict[str, dict[str, dict[str, Any]]] = (
            json.loads(path.read_text(encoding="utf-8")) if path and there else {}
        )

    def has(self, peer: Peer, job: Job) -> bool:
        """Says whether a run is there already, and refuses one of the name that is another."""
        run = self.found.get(job.folder.name, {}).get(peer.name, {}).get(str(job.seed))
        if run is not None and run["of"] != described(peer, job):
            raise SystemExit(
                f"{self.path} has {job.folder.name}, {peer.name}, seed {job.seed} of "
                f"{run['of']}, not of {described(peer, job)}. Give another --json"
            )
        return run is not None

    def add(self, peer: Peer, job: Job, run: Mapping[str, Any]) -> None:
        """Adds a run, and writes the file in one step, so that no break leaves half of it."""
        peers = self.found.setdefault(job.folder.name, {})
        peers.setdefault(peer.name, {})[str(job.seed)] = {"of": described(peer, job), **run}
        if self.path:
            partial = self.path.with_name(f"{self.path.name}.part")
            partial.write_text(json.dumps(self.found), encoding="utf-8")
            partial.replace(self.path)


def described(peer: Peer, job: Job) -> dict[str, Any]:
    """Returns what else a run depends on."""
    files = {part: len(files_of(job, part)) for part in ("train", "test", "shift")}
    return {
        "settings": list(peer.settings),
        "size": job.size,
        "resize": job.resize,
        "files": files,
    }


def jobs(chosen: argparse.Namespace) -> Iterator[Job]:
    """Yields each seed of each set; the seeds outside, so that a break leaves whole ones."""
    for seed in range(chosen.seeds):
        for folder in chosen.sets:
            yield Job(folder.resolve(), seed, chosen.size, chosen.resize)


def arguments() -> argparse.Namespace:
    """Returns what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", nargs="+", type=Path, metavar="SET")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--resize", choices=("crop", "squash"), default="crop")
    parser.add_argument("--kft", nargs="+", action="append", default=[], metavar="NAME")
    parser.add_argument("--fastai-python")
    parser.add_argument("--torch-weights", type=Path)
    parser.add_argument("--only", nargs="+", metavar="PEER")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    if bool(chosen.fastai_python) != bool(chosen.torch_weights):
        parser.error("--fastai-python and --torch-weights go together: give both, or neither")
    return chosen


def main() -> None:
    """Runs what is not there yet, and prints the tables."""
    chosen = arguments()
    results = Results(chosen.json)
    peers = peers_of(chosen)
    for job in jobs(chosen):
        for peer in peers:
            if results.has(peer, job):
                continue
            done = run(peer, job)
            results.add(peer, job, done)
            print(
                f"{time.strftime('%H:%M:%S')} {job.folder.name}, seed {job.seed}, {peer.name}: "
                f"accuracy {done['test']['accuracy']:.3f}, "
                f"log loss {done['test']['log_loss']:.3f}, {done['seconds']:.0f} s",
                flush=True,
            )
    shown = {name: results.found.get(name, {}) for name in (s.resolve().name for s in chosen.sets)}
    for name, found in shown.items():
        print_set(name, found)
    print_all(shown)


if __name__ == "__main__":
    main()
