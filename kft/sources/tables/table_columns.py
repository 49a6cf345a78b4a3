"""Recognises the role of each column of a table, as far as its cells leave no doubt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from kft.errors import DataError
from kft.messages import quoted
from kft.settings.component import absolute
from kft.sources.labels.cell_parsers import flag_in, is_number
from kft.sources.splitting.split_names import SPLITS, own_split, usual_split
from kft.sources.table_file import Rows, read_table
from kft.sources.tables.table_files import put
from kft.sources.tables.table_paths import path_column, template_of

TARGETS = ("class_column", "label_columns", "value_columns")
# What people call the column to predict, where others could be it too.
USUAL = {"label", "class", "category", "target", "labels", "tags", "y"}
# So many different whole numbers that repeat are taken for classes, more for values.
MOST_CODES = 20

Sort = Literal["flag", "class", "labels", "value"]


class Recognised(NamedTuple):
    """Settings of a data source, and why, by their place in a config."""

    settings: dict[str, Any]
    reasons: dict[str, str]


def recognise(path: str, given: Mapping[str, Any], endings: tuple[str, ...] = ()) -> Recognised:
    """Returns the columns of the table at `path`, but for those that settings say as `given`.

    The files have one of the `endings`; any, if there are none.

    Raises:
        DataError: It cannot be read, or leaves more than one way to understand it.
    """
    path = absolute(path)
    rows = read_table(path)
    rows.require(columns_in(given))
    found = Recognised({}, {})
    if given.get("input_column") is None:
        add_paths(rows, path, given, endings, found)
    words = (given.get("split") or {}).get("names")
    splits = [name for name in free(rows, given, found) if says_splits(rows.cells(name), words)]
    if "split_column" not in given and len(splits) == 1:
        found.settings["split_column"] = splits[0]
        found.reasons["data.split_column"] = "its cells are train, validation or test"
    if not given.keys() & {*TARGETS}:
        add_target(rows, free(rows, given, found), found)
    if unused := free(rows, given, found):
        found.reasons["other columns"] = (
            f"not used: {quoted(unused)}. If one says what belongs together, such as all scans of "
            "a patient, set data.group_column to it"
        )
    return found


def add_paths(
    rows: Rows, path: str, given: Mapping[str, Any], endings: tuple[str, ...], found: Recognised
) -> None:
    """Adds to `found` the column of files, and the template of their paths if they need one.

    Raises:
        DataError: There is no such column, or more than one.
    """
    column, template = given.get("path_column"), given.get("path_template")
    needed = template
    if column is None:
        columns = free(rows, given, found)
        column, needed = path_column(rows, path, columns, template, endings)
        by = "by data.path_template, " if needed else ""
        found.settings["path_column"] = column
        found.reasons["data.path_column"] = f"{by}its cells name files that are there"
    elif template is None:
        needed = template_of(rows, path, column, endings)
    if needed != template:
        cell = next(str(cell) for cell in rows.cells(column) if cell not in ("", None))
        found.settings["path_template"] = needed
        found.reasons["data.path_template"] = (
            f"the file of {cell!r} is {put(cell, needed)!r}, and so on for the others"
        )


def columns_in(settings: Mapping[str, Any]) -> Iterator[str]:
    """Yields the columns that `settings` name."""
    for key, value in settings.items():
        if key.endswith(("_column", "_columns")) and value is not None:
            yield from [value] if isinstance(value, str) else value


def free(rows: Rows, given: Mapping[str, Any], found: Recognised) -> list[str]:
    """Returns the columns with a name that no setting has yet."""
    taken = {*columns_in(given), *columns_in(found.settings)}
    return [name for name in rows.columns if name and name not in taken]


def says_splits(cells: Sequence[Any], words: Any) -> bool:
    """Says whether all `cells` name splits, and ``train`` is one of several.

    They do so by `words`, as in data.split.names, or the usual ones.
    """
    own = isinstance(words, dict)
    splits = set()
    for cell in {str(cell) for cell in cells}:
        split = own_split(cell, words) if own else usual_split(cell)
        if split is None:
            return False
        splits.add(split)
    return "train" in splits and len(splits) > 1


def add_target(rows: Rows, columns: Sequence[str], found: Recognised) -> None:
    """Adds to `found` what is to be predicted, in one of the `columns` or in all that are flags.

    Raises:
        DataError: No column can be that, or more than one.
    """
    sorts = {name: sort for name in columns if (sort := sort_of(rows.cells(name)))}
    usual = [name for name in sorts if name.casefold() in USUAL]
    if len(usual) == 1:
        sorts = {usual[0]: sorts[usual[0]]}
    if len(sorts) > 1 and {*sorts.values()} == {"flag"}:
        found.settings["label_columns"] = [*sorts]
        found.reasons["data.label_columns"] = "several labels, with 0 or 1 for each"
        return
    if len(sorts) != 1:
        could = f"could predict any of its columns {quoted(sorts)}"
        raise DataError(
            rows.where,
            could if sorts else f"has nothing to predict among its columns {quoted(columns)}",
            f"Say what, such as --set data.class_column={[*sorts, *columns, 'NAME'][0]}; several "
            "labels are data.label_columns, and numbers data.value_columns='[\"NAME\"]'",
        )
    ((name, sort),) = sorts.items()
    add_column(name, sort, rows.cells(name), found)


def add_column(name: str, sort: Sort, cells: Sequence[Any], found: Recognised) -> None:
    """Adds the column `name` to `found` as what is to be predicted."""
    there = [str(cell) for cell in cells if cell not in ("", None)]
    if sort == "value":
        found.settings["value_columns"] = [name]
        found.reasons["data.value_columns"] = (
            f'numbers. If they stand for classes, write "class_column": "{name}" instead'
        )
    elif sort == "labels":
        found.settings["label_columns"] = name
        found.reasons["data.label_columns"] = "several labels, which its cells list"
    else:
        found.settings["class_column"] = name
        counts = Counter(there)
        doubt = f' If they are values, write "value_columns": ["{name}"] and the head "regressor"'
        found.reasons["data.class_column"] = (
            f"{len(counts)} classes: {quoted([*counts], 3)}."
            + (doubt if all(map(is_number, there)) else "")
        ).removesuffix(".")


def sort_of(cells: Sequence[Any]) -> Sort | None:
    """The kind of target that `cells` could be, or None if nothing can be learned from them.

    A class has an example for each split, as a rule.
    """
    there = [cell for cell in cells if cell not in ("", None)]
    if any(isinstance(cell, list) or "|" in str(cell) for cell in there):
        return "labels"
    texts = [str(cell) for cell in there]
    different = {*texts}
    if len(different) < 2:
        return None
    if all(map(is_flag, texts)):
        return "flag"
    repeats = len(SPLITS) * len(different) <= len(texts)
    if not all(map(is_number, texts)):
        return "class" if repeats else None
    numbers = sorted({float(text) for text in texts})
    is_whole = all(number.is_integer() for number in numbers)
    if is_whole and repeats and len(numbers) <= MOST_CODES:
        return "class"
    counts_rows = is_whole and not repeats and numbers[-1] - numbers[0] == len(texts) - 1
    return None if counts_rows else "value"


def is_flag(text: str) -> bool:
    """Says whether a cell is 0 or 1, true or false."""
    try:
        flag_in(text)
    except ValueError:
        return False
    return True
