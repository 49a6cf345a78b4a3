"""The default recipe where data is hard: few, uneven, many or two classes, grey, tiny, shifted.

    python benchmarks/hard_cases.py SET … [--cases few uneven …] [--seeds 1] [--size 64]
        [--effort normal] [--head-alone] [--json OUT]

Each SET is a folder with ``train`` and ``test`` of class folders, and perhaps with ``shift``,
pictures of the same classes from another source. Of each set, or of all together, these cases are
built in a temporary folder and trained with the bundled MobileNetV2, nothing else set but size and
effort:

* ``few``: five pictures of each class;
* ``uneven``: from the largest class to the smallest fewer and fewer, 50 to 1, also with each of
  `SETTINGS`; a set needs 100 pictures of its largest class. Which setting is best should be read
  from the part ``held``, pictures of ``train`` that are left over, alike of each class;
* ``many``: the classes of all sets together, 100 at most;
* ``two``: the two largest classes;
* ``grey`` and ``tiny``: all pictures grey, or no side longer than 28 pixels;
* ``shift``: the set as it is, scored on the other source, too.

"Head alone" is a run of its own with the first phase of the same recipe; ``--head-alone`` does no
other, which takes a fraction of the time. With ``--json``, runs are kept in OUT, and what is there
already is not run again.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from PIL import Image

import kft
from kft.workflows.setup import set_up

# By class, as in the folders.
Pictures = Mapping[str, list[Path]]

FEW, MANY, TINY = 5, 100, 28
LARGEST, RATIO, HELD = 250, 50, 25
SETTINGS: tuple[dict[str, Any], ...] = (
    {},
    {"class_weights": "balanced"},
    {"head": {"kind": "classifier", "focal_gamma": 2.0}},
    {"head": {"kind": "classifier", "logit_adjustment": 1.0}},
)


@dataclass(frozen=True)
class Case:
    """What is trained on.

    Attributes:
        parts: ``train`` and ``test``, and what else is scored.
        change: What is done to each picture; None leaves the files as they are.
        settings: Of kft, besides data and backbone.
    """

    name: str
    parts: Mapping[str, Pictures]
    change: Callable[[Image.Image], Image.Image] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The name, with the settings if there are any."""
        said = json.dumps(self.settings) if self.settings else ""
        return f"{self.name} {said}".strip()


def pictures_in(folder: Path) -> Pictures:
    """Returns the pictures of each class folder, sorted."""
    return {each.name: sorted(each.iterdir()) for each in sorted(folder.iterdir())}


def few(folder: Path, seed: int) -> Iterator[Case]:
    """Yields the set with five pictures of each class."""
    train = {
        name: chosen(files, FEW, seed) for name, files in pictures_in(folder / "train").items()
    }
    yield Case(f"few: {folder.name}", {"train": train, "test": pictures_in(folder / "test")})


def chosen(files: list[Path], count: int, seed: int) -> list[Path]:
    """Returns `count` of the files by chance, or all if there are fewer."""
    return random.Random(seed).sample(files, min(count, len(files)))


def uneven(folder: Path, seed: int) -> Iterator[Case]:
    """Yields the set with sizes of classes that fall by the same factor, with each setting."""
    found = pictures_in(folder / "train")
    names = random.Random(seed).sample(sorted(found), len(found))
    names.sort(key=lambda name: -len(found[name]))  # of equals, by chance
    largest = min(len(found[names[0]]), LARGEST)
    if largest < 2 * RATIO:
        return
    train, held = {}, {}
    for place, name in enumerate(names):
        size = round(largest * RATIO ** (-place / (len(names) - 1)))
        mixed = chosen(found[name], len(found[name]), seed)
        train[name], rest = mixed[:size], mixed[size : size + HELD]
        held |= {name: rest} if rest else {}
    parts = {"train": train, "held": held, "test": pictures_in(folder / "test")}
    for settings in SETTINGS:
        yield Case(f"uneven: {folder.name}", parts, settings=settings)


def many(folders: list[Path]) -> Iterator[Case]:
    """Yields the classes of all sets as those of one."""
    parts = {
        part: {
            f"{folder.name}-{name}": files
            for folder in folders
            for name, files in pictures_in(folder / part).items()
        }
        for part in ("train", "test")
    }
    names = sorted(parts["train"])[:MANY]
    chosen_parts = {part: {name: found[name] for name in names} for part, found in parts.items()}
    yield Case(f"many: {len(folders)} sets", chosen_parts)


def two(folder: Path, seed: int) -> Iterator[Case]:
    """Yields the two largest classes of the set."""
    train, test = (pictures_in(folder / part) for part in ("train", "test"))
    names = sorted(train, key=lambda name: (-len(train[name]), name))[:2]
    parts = {"train": train, "test": test}
    yield Case(
        f"two: {folder.name}",
        {part: {name: found[name] for name in names} for part, found in parts.items()},
    )


def grey(folder: Path, seed: int) -> Iterator[Case]:
    """Yields the set without colour."""
    yield Case(f"grey: {folder.name}", whole(folder), lambda picture: picture.convert("L"))


def tiny(folder: Path, seed: int) -> Iterator[Case]:
    """Yields the set with no side longer than `TINY` pixels."""
    yield Case(f"tiny: {folder.name}", whole(folder), shrunk)


def shrunk(picture: Image.Image) -> Image.Image:
    """Returns the picture, no side longer than `TINY` pixels."""
    picture.thumbnail((TINY, TINY))
    return picture


def shift(folder: Path, seed: int) -> Iterator[Case]:
    """Yields the set as it is, if it has pictures from another source."""
    if (folder / "shift").is_dir():
        yield Case(f"shift: {folder.name}", whole(folder, "shift"))


def whole(folder: Path, *others: str) -> dict[str, Pictures]:
    """Returns train, test and the `others` of a set."""
    return {part: pictures_in(folder / part) for part in ("train", "test", *others)}


OF_EACH_SET = {
    "few": few,
    "uneven": uneven,
    "two": two,
    "grey": grey,
    "tiny": tiny,
    "shift": shift,
}


def cases(folders: list[Path], wanted: list[str], seed: int) -> Iterator[Case]:
    """Yields the wanted cases that the sets allow."""
    for folder in folders:
        for name, found in OF_EACH_SET.items():
            if name in wanted:
                yield from found(folder, seed)
    if "many" in wanted:
        yield from many(folders)


def lay(case: Case, folder: Path) -> None:
    """Writes the pictures of a case: what is trained on and tested into ``data``."""
    for part, pictures in case.parts.items():
        place = folder / "data" / part if part in ("train", "test") else folder / part
        for name, files in pictures.items():
            (place / name).mkdir(parents=True)
            for number, file in enumerate(files):
                if case.change is None:
                    shutil.copyfile(file, place / name / f"{number}{file.suffix}")
                else:
                    changed = case.change(Image.open(file).convert("RGB"))
                    changed.save(place / name / f"{number}.png")


def run(case: Case, seed: int, chosen: argparse.Namespace) -> dict[str, Any]:
    """Trains with the default and with its head phase alone; returns the figures of each part."""
    found: dict[str, Any] = {
        "examples": count(case.parts["train"]),
        "classes": len(case.parts["train"]),
    }
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        lay(case, directory)
        settings = settings_of(case, seed, chosen, directory)
        phases = set_up(kft.load_config(settings)).config.phases
        head = {"phases": [phases[0].model_dump(mode="json")], "refit": True}
        found["head"] = trained(case, settings | head, directory / "head")
        if not chosen.head_alone:
            found["tuned"] = trained(case, settings, directory / "tuned")
    return found


def settings_of(
    case: Case, seed: int, chosen: argparse.Namespace, directory: Path
) -> dict[str, Any]:
    """Returns the settings of a run but for where it writes."""
    read = {"kind": "image", "size": [chosen.size, chosen.size]}
    return {
        "seed": seed,
        "data": {"kind": "folder", "path": str(directory / "data"), "input": read},
        "backbone": {"kind": "keras_application", "name": "MobileNetV2", "weights": "bundled"},
        "effort": chosen.effort,
        "cache": "memory",
        "exporters": [],
        **case.settings,
    }


def count(pictures: Pictures) -> int:
    """Returns the number of pictures of all classes."""
    return sum(map(len, pictures.values()))


def trained(case: Case, settings: Mapping[str, Any], output: Path) -> dict[str, Any]:
    """Returns the seconds of one run of kft into `output`, and its scores for each part."""
    started = time.perf_counter()
    result = kft.run(kft.load_config({**settings, "output_dir": str(output)}))
    seconds = time.perf_counter() - started
    parts = {"test": figures(result.scores["test"])}
    for part in case.parts:
        if part not in ("train", "test"):
            parts[part] = figures(kft.evaluate_run(output, output.parent / part)["data"])
    return {"seconds": seconds, "parts": parts}


def figures(scores: Mapping[str, Any]) -> dict[str, float]:
    """Returns accuracy, balanced accuracy (mean recall of the classes there are) and log loss."""
    recalls = [each["recall"] for each in scores["per_class"].values() if each["support"]]
    return {
        "accuracy": scores["accuracy"],
        "balanced": mean(recalls),
        "log_loss": scores["loss"],
    }


def print_table(runs: Mapping[str, list[Mapping[str, Any]]]) -> None:
    """Prints the means over the seeds, a row for each part of each case and way of training."""
    scores = ("accuracy", "balanced", "log_loss")
    columns = ("case", "seeds", "examples", "classes", "part", "trained", *scores, "seconds")
    print(f"| {' | '.join(columns)} |")
    print("| --- " * len(columns) + "|")
    for key, those in runs.items():
        about = [key, len(those), those[0]["examples"], those[0]["classes"]]
        for part in those[0]["head"]["parts"]:
            for way in [way for way in ("head", "tuned") if way in those[0]]:
                means = [
                    mean(each[way]["parts"][part][score] for each in those) for score in scores
                ]
                seconds = mean(each[way]["seconds"] for each in those)
                cells = [*about, part, way, *(f"{score:.3f}" for score in means), round(seconds)]
                print(f"| {' | '.join(map(str, cells))} |")


def arguments() -> argparse.Namespace:
    """Returns what the command line says."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sets", nargs="+", type=Path, metavar="SET")
    every = (*OF_EACH_SET, "many")
    parser.add_argument("--cases", nargs="+", choices=every, default=every)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--effort", choices=("quick", "normal", "best"), default="normal")
    parser.add_argument("--head-alone", action="store_true")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Runs what is not there yet, and prints the table."""
    chosen = arguments()
    there = chosen.json is not None and chosen.json.exists()
    found = json.loads(chosen.json.read_text(encoding="utf-8")) if there else {}
    shown = defaultdict(list)
    folders = [folder.resolve() for folder in chosen.sets]
    for seed in range(chosen.seeds):
        for case in cases(folders, chosen.cases, seed):
            ways = "head" if chosen.head_alone else chosen.effort
            key = f"{case.key}, {chosen.size} px, {ways}, seed {seed}"
            if key not in found:
                found[key] = run(case, seed, chosen)
                print(key, found[key], flush=True)
                if chosen.json:
                    chosen.json.write_text(json.dumps(found), encoding="utf-8")
            shown[case.key].append(found[key])
    print_table(shown)


if __name__ == "__main__":
    main()
