"""A list that says which split each example belongs to, such as the one a run leaves behind."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kft.errors import DataError
from kft.files import read_text
from kft.messages import canonical, printable, quoted
from kft.sources.split_names import usual_split

NEEDED = ("path", "split")


@dataclass(frozen=True)
class Manifest:
    """The splits and groups of examples, by name.

    Attributes:
        where: What a message calls the file.
        groups: An empty one is none.
    """

    where: str
    splits: Mapping[str, str]
    groups: Mapping[str, str]

    def keys_of(self, names: Sequence[str], data: str) -> list[str]:
        """Returns what `names`, all examples of the `data`, are called here.

        That may be in the other Unicode form.

        Raises:
            DataError: An example is not listed, or what is listed is no example.
        """
        listed = {printable(name) for name in names} & {*self.splits}
        forms = {canonical(key): key for key in self.splits if key not in listed}
        keys = [
            name if name in listed else forms.pop(canonical(name), name)
            for name in map(printable, names)
        ]
        new = [key for key in keys if key not in self.splits]
        gone = sorted({*self.splits} - {*keys})
        found = [f"does not list {quoted(new, 3)} of {data}"] if new else []
        found += [f"lists {quoted(gone, 3)}, which {data} does not have"] if gone else []
        if found:
            raise DataError(
                where=self.where,
                problem=f"{', and '.join(found)}: {len(new)} too few, {len(gone)} too many",
                fix="Take the same data that it was made of, or correct its lines",
            )
        return keys


def read_manifest(path: str) -> Manifest:
    """Returns the manifest in the CSV at `path`.

    Raises:
        DataError: It cannot be read, lacks a column, or a line of it is wrong.
    """
    where = f"data.split.manifest {path!r}"
    rows = csv.DictReader(io.StringIO(read_text(path, "data.split.manifest"), newline=""))
    head = rows.fieldnames or ()
    missing = [name for name in NEEDED if name not in head]
    if missing:
        raise DataError(
            where=where,
            problem=f"has no column {quoted(missing)}; it has {quoted(head) or 'none'}",
            fix="Give the split.csv of a run, or a CSV whose first line names these columns",
        )
    splits, groups = {}, {}
    names: Counter[str] = Counter()
    for row in rows:
        name = printable(row["path"] or "")
        names[name] += 1
        splits[name] = split_in(row["split"] or "", f"{where}, line {rows.line_num}")
        groups[name] = row.get("group") or ""
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise DataError(where, f"lists {quoted(twice, 3)} more than once", "Keep one line of each")
    return Manifest(where, splits, groups)


def split_in(text: str, where: str) -> str:
    """Returns the split that `text` names by one of the usual words.

    Raises:
        DataError: It names none.
    """
    split = usual_split(text)
    if split is None:
        raise DataError(
            where, f"has the split {text!r}, expected train, validation or test", "Correct it there"
        )
    return split
