"""Recognises the kind of data at a path, and writes the ``data`` section of a first config."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from glob import escape, glob
from pathlib import Path
from typing import Any

from kft.errors import DataError
from kft.messages import quoted
from kft.sources.folders.listing import TABLES
from kft.sources.records.record_files import RecordFiles
from kft.sources.records.records import features_of, sort_of
from kft.sources.records.shards import find_shards
from kft.sources.splitting.split_names import usual_split
from kft.sources.tables.table_columns import Recognised, recognise
from kft.storage.files import is_file, is_remote

RECORDS = "*.tfrec*"
PREPARED = "[0-9]*.[0-9]*.[0-9]*/dataset_info.json"


def data_at(path: str, given: Mapping[str, Any], endings: tuple[str, ...] = ()) -> Recognised:
    """The ``data`` section of a config for the data at `path`, without its input.

    `given` are settings that it has already, and `endings` those of files that its input reads.

    Raises:
        DataError: What lies there does not say all that is needed.
    """
    kind = given.get("kind") or kind_at(path)
    if kind == "tfds":
        return prepared_at(path)
    found = Recognised({"kind": kind, "path": path}, {})
    if kind == "table":
        columns = recognise(path, given, endings)
        found.settings.update(columns.settings)
        found.reasons.update(columns.reasons)
    if kind == "tfrecord":
        if os.path.isdir(path):  # noqa: PTH112
            found.settings.update(record_paths(path))
            found.reasons["data.path"] = (
                "the names of the files say their splits"
                if len(found.settings) > 2
                else "all files, which data.split divides. If some are for validation or for the "
                "test, set data.validation_path or data.test_path"
            )
        require_features(found.settings["path"], given)
    return found


def record_paths(folder: str) -> dict[str, str]:
    """Returns the patterns of the files of records in a `folder`, by setting.

    One for each split, if all names say one by a usual word, such as in
    ``train-00000-of-00002.tfrecord`` or ``birds-test.tfrecord``.
    """
    names = [os.path.basename(file) for file in glob(f"{escape(folder)}/{RECORDS}")]  # noqa: PTH119, PTH207
    starts = dict(map(split_start, names))
    splits = {split: start for start, split in starts.items()}
    if len(splits) < max(2, len(starts)) or None in splits or "train" not in splits:
        return {"path": f"{escape(folder)}/{RECORDS}"}
    return {
        "path" if split == "train" else f"{split}_path": f"{escape(f'{folder}/{start}')}{RECORDS}"
        for split, start in sorted(splits.items())
    }


def split_start(name: str) -> tuple[str, str | None]:
    """Returns `name` up to its first usual word for a split, and that split, if there is one."""
    for word in re.finditer("[A-Za-z]+", name):
        if split := usual_split(word[0]):
            return name[: word.end()], split
    return name, None


def kind_at(path: str) -> str:
    """Returns the kind of source for what lies at `path`; of a URL, only its ending counts."""
    ending = path.lower()
    if ending.endswith(".npz"):
        return "arrays"
    if ending.endswith((*TABLES, ".json")):
        return "table"
    if ".tfrec" in os.path.basename(ending):  # noqa: PTH119
        return "tfrecord"
    if not is_remote(path) and prepared_in(path):
        return "tfds"
    inside = not is_remote(path) and glob(f"{escape(path)}/{RECORDS}")  # noqa: PTH207
    return "tfrecord" if inside else "folder"


def require_features(pattern: str, given: Mapping[str, Any]) -> None:
    """Raises DataError if `given` does not say which feature of the records is the input."""
    if "input" in (given.get("features") or {}):
        return
    first = next(iter(find_shards(pattern, "data.path").values()))
    where = f"data.path {pattern!r}"
    for messages in RecordFiles([first]).scan():
        features = features_of(where, messages[0].numpy())
        held = [
            f"{name!r} ({count} {sort.removesuffix('_list') or 'values'})"
            for name, (sort, count) in sorted((key, sort_of(features[key])) for key in features)
        ]
        raise DataError(
            where,
            f"holds records with the features {', '.join(held)}",
            "Say which is what: --set data.features.input=NAME --set data.features.label=NAME, and "
            'for several labels or numbers also --set data.predicts=multilabel or "value"',
        )
    raise DataError(where, "holds no record in its first file", "Give files with records")


def prepared_in(path: str) -> list[Path]:
    """Returns the descriptions of the data sets that tensorflow-datasets has prepared there."""
    here = Path(path) / "dataset_info.json"
    if is_file(str(here)):
        return [here]
    patterns = (f"{escape(path)}/{inner}{PREPARED}" for inner in ("", "*/"))
    found = [Path(file) for pattern in patterns for file in sorted(glob(pattern))]  # noqa: PTH207
    return [file for file in found if is_file(str(file))]


def prepared_at(path: str) -> Recognised:
    """The name of the only data set that tensorflow-datasets has prepared at `path`."""
    found = prepared_in(path)
    folders = [file.resolve().parent for file in found]
    if len(found) != 1:
        problem = f"holds the data sets {quoted([*map(str, folders)])}" if found else "holds none"
        raise DataError(path, problem, "Give the folder of one prepared data set")
    name = json.loads(found[0].read_text(encoding="utf-8")).get("name")
    above = next((parent for parent in folders[0].parents if parent.name == name), None)
    if above is None:
        raise DataError(
            path,
            f"is a data set {name!r} in no folder of that name",
            f"Move it into a folder {name!r}",
        )
    config = "/".join(folders[0].relative_to(above).parts[:-1])
    called = f"{name}/{config}" if config else str(name)
    settings = {
        "kind": "tfds",
        "name": f"{called}:{folders[0].name}",
        "data_dir": str(above.parent),
    }
    return Recognised(settings, {"data.name": "tensorflow-datasets has prepared it there"})
