"""Reads tables: CSV with a line of column names, or JSON lines."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from kft.errors import DataError
from kft.messages import clauses, closest, counted, quoted
from kft.settings.bounds import MOST_CELLS
from kft.settings.component import repeated
from kft.settings.strict_json import parse
from kft.storage.files import csv_reader, read_text

JSON_ENDINGS = (".jsonl", ".ndjson", ".json")
SHOWN = 10
LONGEST_FAULT = 300

T = TypeVar("T")


class Row(NamedTuple):
    """One example of a table.

    Attributes:
        line: Where it ends in the file, counted from 1.
        cells: By column; what is not there is empty.
    """

    line: int
    cells: dict[str, Any]


class Fault(NamedTuple):
    """The problem of one line."""

    line: int
    problem: str


@dataclass(frozen=True)
class Rows:
    """The rows of a table.

    Attributes:
        where: What a message calls it.
    """

    where: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def require(self, columns: Iterable[str]) -> None:
        """Raises DataError if there is no row, or one of the `columns` is not there."""
        there = {*self.columns}
        missing = [name for name in dict.fromkeys(columns) if name not in there]
        if missing:
            raise DataError(
                self.where,
                "; ".join(
                    f"has no column {name!r}{closest(name, self.columns)}"
                    for name in missing[:SHOWN]
                ),
                "Correct the name in the config or in the table",
            )
        if not self.rows:
            raise DataError(self.where, "has no line of data", "Add a line for each example")

    def cells(self, column: str) -> list[Any]:
        """The cells of `column`."""
        return [row.cells.get(column) for row in self.rows]

    def read(self, column: str, read: Callable[[Any], T], faults: list[Fault]) -> list[T]:
        """The result of `read` for each cell of `column`; its ValueErrors become `faults`."""
        found = []
        for row in self.rows:
            try:
                found.append(read(row.cells.get(column)))
            except ValueError as error:
                faults.append(Fault(row.line, f"{column!r} {error}"))
        return found

    def read_if_named(
        self, column: str | None, read: Callable[[Any], T], faults: list[Fault]
    ) -> list[T] | None:
        """As `read`, or None where there is no `column`."""
        return None if column is None else self.read(column, read, faults)

    def add_repeats(
        self, column: str, values: Sequence[str], shown: Sequence[str], faults: list[Fault]
    ) -> None:
        """Adds to `faults` the lines whose value of `column`, `shown` so, an earlier one has.

        Only if every line has a value: `read` says why one has none.
        """
        if len(values) < len(self.rows):
            return
        lines: dict[str, int] = {}
        for row, value, name in zip(self.rows, values, shown, strict=True):
            first = lines.setdefault(value, row.line)
            if first != row.line:
                faults.append(Fault(row.line, f"{column!r} is {name!r}, as in line {first}"))

    def refuse(self, faults: Sequence[Fault]) -> None:
        """Raises DataError if there are `faults`; it names the first of them."""
        if faults:
            lines = [
                f"line {fault.line}: {fault.problem[:LONGEST_FAULT]}" for fault in sorted(faults)
            ]
            count = counted(len(faults), "fault")
            raise DataError(
                self.where,
                f"has {count}: {clauses(lines, SHOWN)}",
                "Correct these lines of the table",
            )


def read_table(path: str, verbatim: str | None = None) -> Rows:
    """The table at `path`: CSV, or JSON lines if its ending says so.

    Cells lose the blanks at their ends, but for those of the column `verbatim`.

    CSV is divided by commas; by semicolons or tabs, if the line of column names has no comma; or
    as a line above it says that begins with ``sep=``, for Excel.

    Raises:
        DataError: It cannot be read, or a line of it is broken.
    """
    where = f"data.path {path!r}"
    text = read_text(path, "data.path")
    is_json = path.lower().endswith(JSON_ENDINGS)
    faults: list[Fault] = []
    if is_json and text.lstrip().startswith("["):
        raise DataError(
            where,
            "is a JSON array, expected an object in each line",
            "Write JSON lines, such as pandas does with orient='records' and lines=True",
        )
    if is_json:
        rows = tuple(json_rows(text, where, faults, verbatim))
        columns = tuple(dict.fromkeys(name for row in rows for name in row.cells))
    else:
        columns, rows = csv_rows(text, where, faults, verbatim=verbatim)
    table = Rows(where, columns, rows)
    table.refuse(faults)
    return table


def json_rows(
    text: str, where: str, faults: list[Fault], verbatim: str | None = None
) -> Iterator[Row]:
    """Yields a row for each line of `text`, and adds what is no object to `faults`."""
    count = 0
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            cells = parse(line)
        except ValueError as error:
            faults.append(Fault(number, f"is no JSON: {error}"))
            continue
        if isinstance(cells, dict):
            count += len(cells)
            refuse_too_many(count, where)
            plainly = {name: plain(cell) for name, cell in cells.items() if name != verbatim}
            yield Row(number, cells | plainly)
        else:
            faults.append(Fault(number, 'is no JSON object, such as {"path": "1.jpg"}'))


def csv_rows(
    text: str,
    where: str,
    faults: list[Fault],
    clean: Callable[[str], str] = str.strip,
    verbatim: str | None = None,
) -> tuple[tuple[str, ...], tuple[Row, ...]]:
    """Returns the columns and rows of a CSV, and adds lines that are too short to `faults`.

    `clean` makes a cell of what stands between two commas, but for those of the column `verbatim`.
    """
    lines = csv_lines(text)
    rows = []
    try:
        columns = columns_of(next(lines, []), where)
        for cells in lines:
            if len(cells) == len(columns):
                named = zip(columns, cells, strict=True)
                cleaned = {name: cell if name == verbatim else clean(cell) for name, cell in named}
                rows.append(Row(lines.line_num, cleaned))
                refuse_too_many(len(rows) * len(columns), where)
            elif any(cells):
                problem = f"has {len(cells)} fields, but there are {len(columns)} columns"
                faults.append(Fault(lines.line_num, problem))
    except csv.Error as error:
        raise DataError(
            f"{where}, line {lines.line_num}",
            f"is no CSV: {error}",
            "Close the quotes of each cell in this line, and double those inside a cell",
        ) from error
    return columns, tuple(rows)


def columns_of(cells: Sequence[str], where: str) -> tuple[str, ...]:
    """Returns the names of the columns that the first line of a CSV names."""
    columns = tuple(name.strip() for name in cells)
    twice = [name for name in repeated(columns) if name]
    if twice:
        fix = "Give each column a name of its own"
        raise DataError(where, f"has two columns {quoted(twice)}", fix)
    return columns


def refuse_too_many(cells: int, where: str) -> None:
    """Raises DataError of more cells than memory is for."""
    if cells > MOST_CELLS:
        raise DataError(
            where,
            f"has more than {MOST_CELLS} cells",
            "Leave out the columns that no setting names, or split the table into several",
        )


def csv_lines(text: str) -> Any:
    """A CSV reader that begins at the line of column names."""
    first = text.partition("\n")[0].removeprefix("sep=")
    delimiter = next((mark for mark in ",;\t" if mark in first), ",")
    lines = csv_reader(io.StringIO(text, newline=""), delimiter, strict=True)
    if text.startswith("sep="):
        next(lines)
    return lines


def plain(cell: Any) -> Any:
    """Returns a JSON value as a CSV has it, but for numbers, lists and objects."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(cell).lower()
    return cell.strip() if isinstance(cell, str) else cell
