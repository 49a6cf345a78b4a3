"""Assets: the files of components that a run copies, and reads in place of the originals.

So a run that is opened again, on this machine or another, does not depend on where they came from.
They lie in ``assets/``, each in a folder that is named as the setting, under its own name.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kft.errors import ConfigError
from kft.settings.component import Component
from kft.storage.atomic import replacing, sync
from kft.storage.digests import Parts, files_at
from kft.storage.files import is_remote, local_fault, read_bytes
from kft.storage.run_files import ASSETS


def assets_of(parts: Parts) -> dict[str, str]:
    """The paths of the assets of components, by where the config names them."""
    return {
        f"{part}.{name}": path
        for part, component in parts.items()
        for name, path in component.assets().items()
    }


def refuse_missing_assets(parts: Parts) -> None:
    """Refuses assets that are neither files nor folders; at a URL, reading them shows it.

    Raises:
        ConfigError: Names the first.
    """
    for name, path in assets_of(parts).items():
        fault = None if is_remote(path) or Path(path).is_dir() else local_fault(path)
        if fault is not None:
            raise ConfigError(
                where=f"{name} {path!r}",
                problem=f"cannot be read: {fault}",
                fix="Give a file or folder that you may read",
            )


def keep_assets(directory: Path, parts: Parts) -> None:
    """Copies the assets of components into the run in `directory`, unless it has its own.

    Raises:
        KftError: One cannot be read.
    """
    assets = assets_of(parts)
    if not assets or (directory / ASSETS).is_dir():
        return
    refuse_missing_assets(parts)
    with replacing(directory / ASSETS) as partial:
        partial.mkdir()
        for name, path in assets.items():
            copy = partial / name / last_part(path)
            if Path(path).is_dir():
                copy.mkdir(parents=True)
            for file, content in contents(path, name):
                (copy / file).parent.mkdir(parents=True, exist_ok=True)
                (copy / file).write_bytes(content)
                sync(copy / file)


def last_part(path: str) -> str:
    """The name of the file or folder at a path or URL."""
    return path.rstrip("/").rpartition("/")[2]


def contents(path: str, where: str) -> Iterator[tuple[str, bytes]]:
    """Yields the content of the file at `path`, or of each in the folder there."""
    if not Path(path).is_dir():
        yield "", read_bytes(path, where)
        return
    for file in files_at(path):
        yield file, read_bytes(str(Path(path, file)), where)


def with_copies(directory: Path, parts: Parts) -> dict[str, Component]:
    """The same components, which read the copies that the run in `directory` has."""
    return {part: with_copies_of(directory, part, component) for part, component in parts.items()}


def with_copies_of(directory: Path, part: str, component: Component) -> Component:
    """A component at the place `part` of a config, which reads the copies of its assets."""
    places = {
        name: directory / ASSETS / f"{part}.{name}" / last_part(path)
        for name, path in component.assets().items()
    }
    copies = {name: str(place) for name, place in places.items() if place.exists()}
    return component.with_assets(copies) if copies else component
