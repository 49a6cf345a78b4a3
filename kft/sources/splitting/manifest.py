"""A list that says which split each example belongs to, such as the one a run leaves behind."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from kft.errors import DataError
from kft.messages import canonical, printable, quoted
from kft.settings.component import repeated
from kft.sources.splitting.split_names import usual_split
from kft.sources.table_file import Fault, Rows, csv_rows
from kft.storage.files import read_text

# What may stand above the names of the examples, which need not be files.
NAMES = ("path", "name")


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

    def without(self, names: Collection[str]) -> Manifest:
        """Returns the same without the examples of these `names`, in any Unicode form."""
        gone = {*names}
        forms = {canonical(name) for name in gone - {*self.splits}}
        kept = (key for key in self.splits if key not in gone and canonical(key) not in forms)
        return replace(self, splits={key: self.splits[key] for key in kept})

    def keys_of(
        self, names: Sequence[str], data: str, files: Sequence[str] | None = None
    ) -> list[str]:
        """The keys by which `names`, all examples of the `data`, are listed here.

        A key may be the name in another Unicode form, or the path in `files`.

        Raises:
            DataError: An example is not listed, or what is listed is no example.
        """
        listed = {printable(name) for name in names} & {*self.splits}
        forms = {canonical(key): key for key in self.splits if key not in listed}
        keys = [
            name if name in listed else forms.pop(canonical(name), name)
            for name in map(printable, names)
        ]
        for at, file in enumerate(map(printable, files or ())):
            if keys[at] not in self.splits and file in self.splits:
                keys[at] = file
        new = [key for key in keys if key not in self.splits]
        gone = sorted({*self.splits} - {*keys})
        found = [f"does not list {quoted(new, 3)} of {data}"] if new else []
        found += [f"lists {quoted(gone, 3)}, which {data} does not have"] if gone else []
        if found:
            raise DataError(
                where=self.where,
                problem=f"{', and '.join(found)}: {len(new)} too few, {len(gone)} too many",
                fix="Use the data that the list was made from, or correct its lines",
            )
        return keys


def read_manifest(path: str) -> Manifest:
    """Returns the manifest in the CSV at `path`.

    Raises:
        DataError: It cannot be read, lacks a column, or a line of it is wrong.
    """
    where = f"data.split.manifest {path!r}"
    faults: list[Fault] = []
    text = read_text(path, "data.split.manifest")
    head, rows = csv_rows(text, where, faults, clean=str)  # a name may end in a blank
    named = names_column(head, where)
    names = [printable(row.cells[named]) for row in rows]
    table = Rows(where, head, rows)
    splits = table.read("split", split_in, faults)
    table.refuse(faults)
    groups = [row.cells.get("group", "") for row in rows]
    twice = repeated(names)
    if twice:
        raise DataError(where, f"lists {quoted(twice, 3)} more than once", "Keep one line of each")
    by_name = dict(zip(names, splits, strict=True)), dict(zip(names, groups, strict=True))
    return Manifest(where, *by_name)


def names_column(head: Sequence[str], where: str) -> str:
    """The column of the names of examples, in a list with the columns `head`.

    Raises:
        DataError: There is none, or two, or no column of splits.
    """
    found = [name for name in NAMES if name in head]
    if len(found) > 1:
        raise DataError(where, "has the columns 'path' and 'name'", "Keep one of them")
    missing = [] if found else [NAMES[0]]
    missing += [] if "split" in head else ["split"]
    if missing:
        raise DataError(
            where=where,
            problem=f"has no column {quoted(missing)}; it has {quoted(head) or 'none'}",
            fix="Give the split.csv of a run, or a CSV whose first line names these columns; "
            "'path' may be called 'name'",
        )
    return found[0]


def split_in(cell: str) -> str:
    """The split that a cell names by one of the usual words; any other is a ValueError."""
    split = usual_split(cell)
    if split is None:
        raise ValueError(f"is {cell!r}, expected train, validation or test")
    return split
