"""Finding a data set of tensorflow-datasets, and making it if that is wanted."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from kft.backbones.offline import is_offline
from kft.errors import DataError
from kft.messages import closest, one_line, quoted
from kft.storage.files import is_remote, join

if TYPE_CHECKING:
    import tensorflow_datasets as tfds


def find_builder(name: str, data_dir: str | None, download: bool) -> tfds.core.DatasetBuilder:
    """Returns the builder of the prepared data set `name`, such as ``cifar10:3.0.2``.

    Only its files are read; the code that made them is not needed.

    Raises:
        DataError: There is no such data set, or it is not prepared and may not be, or not made.
    """
    from tensorflow_datasets.core import read_only_builder, registered

    refuse_unreadable(data_dir)
    try:
        return read_only_builder.builder_from_files(name, data_dir=data_dir)
    except registered.DatasetNotFoundError as error:
        refuse_unknown(name, data_dir)
        if not download or is_offline():
            raise not_prepared(name, data_dir, download) from error
    except Exception as error:  # what is damaged fails in many ways
        raise DataError(
            where=f"data.name {name!r}",
            problem=f"cannot be read from {home(data_dir)}: {one_line(error)}",
            fix="Prepare it again, or set data.data_dir to where it is whole",
        ) from error
    return prepared(name, data_dir)


def refuse_unreadable(data_dir: str | None) -> None:
    """Refuses a URL of a kind that tensorflow-datasets does not know."""
    from etils import epath

    try:
        epath.Path(data_dir or "")
    except KeyError as error:
        raise DataError(
            where=f"data.data_dir {data_dir!r}",
            problem="is a URL of a kind that tensorflow-datasets does not read",
            fix='Copy it to a disk, or read its files with "tfrecord" as data.kind',
        ) from error


def prepared(name: str, data_dir: str | None) -> tfds.core.DatasetBuilder:
    """Downloads a data set, writes it to `data_dir`, and returns its builder."""
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir)
        builder.download_and_prepare()
    except Exception as error:  # the code of each data set raises what it likes
        raise DataError(
            where=f"data.name {name!r}",
            problem=f"cannot be downloaded and prepared: {one_line(error)}",
            fix="Prepare it with tensorflow-datasets first; some data sets want files that you "
            "fetch yourself",
        ) from error
    return builder


def refuse_unknown(name: str, data_dir: str | None) -> None:
    """Refuses a data set that neither tensorflow-datasets nor `data_dir` has."""
    import tensorflow_datasets as tfds

    base = base_of(name)
    known = {*tfds.list_builders(with_community_datasets=False), *folders_in(home(data_dir))}
    if base not in known:
        near = closest(base, known)
        raise DataError(
            where=f"data.name {name!r}",
            problem=f"is no data set of tensorflow-datasets, and {home(data_dir)} has none of "
            f"that name{near if 'mean' in near else ''}",
            fix="Correct the name, or set data.data_dir to where it is prepared",
        )


def not_prepared(name: str, data_dir: str | None, download: bool) -> DataError:
    """Returns the error for a data set that is not on the disk."""
    there = folders_in(join(home(data_dir), base_of(name)))
    only = f", which has of it only {quoted(there)}" if there else ""
    arguments = ", ".join([repr(name), *([f"data_dir={data_dir!r}"] if data_dir else [])])
    return DataError(
        where=f"data.name {name!r}",
        problem=f"is not prepared in {home(data_dir)}{only}"
        + (", and kft is offline" if download else ""),
        fix="Set data.download to true, or run: python -c "
        f'"import tensorflow_datasets as tfds; tfds.load({arguments})"',
    )


def base_of(name: str) -> str:
    """Returns the name of a data set without configuration and version."""
    return re.split("[/:]", name)[0]


def home(data_dir: str | None) -> str:
    """Returns the folder that prepared data sets lie in; may be a URL."""
    import tensorflow_datasets as tfds

    return data_dir or os.path.expanduser(tfds.core.constants.DATA_DIR)  # noqa: PTH111


def folders_in(path: str) -> list[str]:
    """Returns the names of the folders in a folder, if it is there and no URL."""
    if is_remote(path) or not Path(path).is_dir():
        return []
    return sorted(inner.name for inner in Path(path).iterdir() if inner.is_dir())
