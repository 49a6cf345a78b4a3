"""Digests of what the model of a run depends on: kept in the run, compared when it is opened.

``model.json`` holds them. Of the files that a component reads and of what the config says of the
model, they are taken when a run begins; of the weights, when it has them; of an export, when it has
been verified.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from kft.errors import ConfigError
from kft.messages import clauses
from kft.progress import say
from kft.settings.component import Component
from kft.storage.atomic import write_json
from kft.storage.run_files import ASSETS, BEST_WEIGHTS, CONFIG, MODEL, TARGET

# Where in a config the components stand that make up the model, and what else says what it is.
PARTS = ("backbone", "head", "data.input")
SETTINGS = (*PARTS, "precision")
ENDS = (BEST_WEIGHTS, TARGET)
KEYS = ("settings", "paths", "files", "pretrained", "code", "ends", "exports")
SHOWN = 5

Parts = Mapping[str, Component]
Paths = Mapping[str, str]
Digests = dict[str, Any]


def write_model(directory: Path, parts: Parts, pretrained: Paths) -> None:
    """Writes the digests that a run begins with, or compares them if it is resumed.

    `parts` are the components of its model by `PARTS`; `pretrained`, the files that only a fresh
    backbone is read from.

    Raises:
        ConfigError: They are not as they were when it began.
    """
    found = read_model(directory)
    pretrained = {f"backbone.{name}": path for name, path in pretrained.items()}
    read, copies = paths_of(parts), copies_of(directory, parts)
    paths = {**read, **pretrained}
    if found:
        now = {**found["paths"], **paths, **copies}
        changed = changes({**found["files"], **found["pretrained"]}, now)
        if changed:
            raise ConfigError(
                where=f"resume {str(directory)!r}",
                problem=f"what the run began with has changed: {clauses(changed, SHOWN)}",
                fix="Restore it, or start a new run with another output_dir",
            )
        return
    write_json(
        directory / MODEL,
        {
            "settings": digests_of_settings(directory),
            "paths": paths,
            "files": digests_of({**read, **copies}),
            "pretrained": digests_of(pretrained),
            "code": digests_of(code_of(parts)),
            "ends": {},
            "exports": {},
        },
    )


def add_weights(directory: Path, record: Mapping[str, Any] | None = None) -> None:
    """Adds the digests of what training ends with: the weights, and what they predict.

    `record`, a line of ``metrics.jsonl``, says of which epoch the weights are; None if of none.
    """
    found = read_model(directory)
    if found:
        ends = digests_of(ends_of(directory))
        write_json(directory / MODEL, {**found, "ends": ends, "epoch": record})


def add_export(directory: Path, path: Path) -> None:
    """Adds the digest of an export at `path`, if it lies in the directory of the run."""
    found, path = read_model(directory), path.resolve()
    if found and path.is_relative_to(directory.resolve()):
        name = path.relative_to(directory.resolve()).as_posix()
        write_json(
            directory / MODEL,
            {**found, "exports": {**found["exports"], **digests_of({name: str(path)})}},
        )


def refuse_changed_model(directory: Path, parts: Parts) -> None:
    """Refuses a run whose model, as it would be made now, is not the one that was trained.

    Changed code of the user's is a note: whether it changes the answers of the model, only a
    comparison of answers shows.

    Raises:
        ConfigError: Names all that is gone or changed.
    """
    found = read_model(directory)
    if not found.get("ends"):
        say(f"note: {directory} has no digests of its model, so none were compared")
        return
    settings = digests_of_settings(directory)
    other = [name for name, digest in found["settings"].items() if settings.get(name) != digest]
    changed = [
        *(f"{name} in {CONFIG} has changed" for name in other),
        *changes(
            found["files"],
            {**found["paths"], **paths_of(parts), **copies_of(directory, parts)},
        ),
        *changes(found["ends"], ends_of(directory)),
    ]
    if changed:
        raise ConfigError(
            where=str(directory),
            problem=f"its model is no longer the one that was trained: {clauses(changed, SHOWN)}",
            fix="Restore that, or train again",
        )
    for change in changes(found["code"], code_of(parts)):
        say(f"note: since {directory} was trained, the code of {change}")


def refuse_changed_export(directory: Path, path: Path) -> None:
    """Refuses an export at `path` in a run that is not the one that was verified.

    Raises:
        ConfigError: It has changed.
    """
    name = path.relative_to(directory).as_posix()
    digests = read_model(directory).get("exports", {})
    changed = changes({name: digests[name]} if name in digests else {}, {name: str(path)})
    if changed:
        raise ConfigError(
            where=str(directory),
            problem=f"its export is no longer the one that was verified: {clauses(changed, SHOWN)}",
            fix=f"Move it away and make it again:  kft export {directory}",
        )


def read_model(directory: Path) -> Digests:
    """The content of ``model.json``, empty if the run has none.

    Raises:
        ConfigError: It is damaged.
    """
    path = directory / MODEL
    if not path.is_file():
        return {}
    try:
        found: Digests = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict) or {*KEYS} - {*found}:
            raise ValueError(f"it lacks some of {', '.join(KEYS)}")
    except ValueError as error:
        raise ConfigError(
            str(path), f"is damaged: {error}", "Restore it, or train again"
        ) from error
    return found


def digests_of_settings(directory: Path) -> dict[str, str]:
    """A digest of each of the `SETTINGS` in the config of a run."""
    config = json.loads((directory / CONFIG).read_text(encoding="utf-8"))
    values = {**config, "data.input": config["data"].get("input")}
    texts = {name: json.dumps(values.get(name), sort_keys=True) for name in SETTINGS}
    return {name: hashlib.sha256(text.encode()).hexdigest() for name, text in texts.items()}


def paths_of(parts: Parts) -> dict[str, str]:
    """The files and folders that the components of a model read, by where the config names them."""
    return {
        f"{part}.{name}": path
        for part, component in parts.items()
        for name, path in component.dependencies().items()
    }


def copies_of(directory: Path, parts: Parts) -> dict[str, str]:
    """The folder of the assets that the run in `directory` has copied, if there are any."""
    has_assets = any(component.assets() for component in parts.values())
    return {ASSETS: str(directory / ASSETS)} if has_assets else {}


def code_of(parts: Parts) -> dict[str, str]:
    """The file with the code of each component that is the user's own."""
    own = {part.kind: type(part).__module__ for part in parts.values() if ":" in part.kind}
    files = {kind: getattr(sys.modules[module], "__file__", None) for kind, module in own.items()}
    return {kind: file for kind, file in files.items() if file}


def ends_of(directory: Path) -> dict[str, str]:
    """The files that a run has of its model when training is over."""
    return {name: str(directory / name) for name in ENDS}


def digests_of(paths: Paths) -> Digests:
    """The SHA-256 of the file by each name, or of each file in the folder there."""
    return {
        name: {file: sha256(Path(path, file)) for file in files_at(path)}
        for name, path in paths.items()
    }


def files_at(path: str) -> Iterator[str]:
    """Yields the files in the folder at `path`, relative to it; of a file, the empty path."""
    if Path(path).is_file():
        yield ""
    for file in sorted(Path(path).rglob("*")):
        if file.is_file():
            yield file.relative_to(path).as_posix()


def sha256(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def changes(before: Digests, paths: Paths) -> list[str]:
    """The differences between digests and the files at `paths` now, in a few words each."""
    found = []
    for name, digests in before.items():
        for file, digest in digests.items():
            now = Path(paths.get(name, ""), file)
            where = name if str(now).endswith(name) else f"{name} ({now})"
            if not now.is_file():
                found.append(f"{where} is gone")
            elif sha256(now) != digest:
                found.append(f"{where} has changed")
    return found
