"""The column of a table that holds the examples themselves."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kft.host_memory import from_memory
from kft.input import Input
from kft.messages import printable
from kft.settings.strict_json import problem_of_characters
from kft.sources.labels.cell_parsers import text_in
from kft.sources.table_file import Fault, Rows

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

DIGITS = 16


@dataclass(frozen=True)
class ContentColumn:
    """The examples that a table holds, one in each line: texts, or arrays of one shape.

    Attributes:
        names: What a person calls them.
        files: None: no file holds one of them alone.
    """

    names: Sequence[str]
    content: Sequence[str | np.ndarray]
    files: Sequence[str] | None = None

    @classmethod
    def of(
        cls, rows: Rows, column: str, name_column: str | None, faults: list[Fault]
    ) -> ContentColumn:
        """The examples in `column`; what is wrong is added to `faults`."""
        content = rows.read(column, content_in, faults)
        if len(content) == len(rows.rows):
            faults.extend(unlike_the_first(rows, column, content))
        if name_column is None:
            return cls([*names_by_content(rows.cells(column))], content)
        names = [printable(name) for name in rows.read(name_column, text_in, faults)]
        rows.add_repeats(name_column, names, names, faults)
        return cls(names, content)

    def fetch(self, input: Input) -> Callable[[tf.Tensor], tf.Tensor]:
        """What gives an example by its number, as `input` encodes it.

        Raises:
            DataError: It takes no such examples.
        """
        import numpy as np

        is_text = isinstance(self.content[0], str)
        held = from_memory(self.content if is_text else np.stack(self.content))
        input.encode(held(0))  # to know at once that it can be
        return lambda index: input.encode(held(index))

    def notes(self, input: Input, kept: Sequence[bool] | None = None) -> Iterator[str]:
        """Yields nothing: no file holds an example."""
        yield from ()

    def refuse_missing(self, rows: Rows, kept: Sequence[bool] | None = None) -> None:
        """Nothing is missing: what the table lacks, it refuses."""


def content_in(cell: Any) -> str | np.ndarray:
    """The example in a cell: a text, a number or a list of numbers; or a ValueError."""
    import numpy as np

    if cell is None or (isinstance(cell, str) and not cell.strip()):
        raise ValueError("is empty")
    if isinstance(cell, str):
        problem = problem_of_characters(cell)
        if problem is not None:
            raise ValueError(problem)
        return cell
    try:
        found = np.asarray(cell)
    except ValueError:  # lists of several lengths
        found = np.asarray(None)
    if found.dtype.kind not in "biuf":
        raise ValueError(
            f"is {json.dumps(cell)[:60]}, expected a text, a number, or lists of numbers of one "
            "length"
        )
    return found


def unlike_the_first(
    rows: Rows, column: str, content: Sequence[str | np.ndarray]
) -> Iterator[Fault]:
    """Yields what is no text where the first is one, or has another shape."""
    first = sort_of(content[0])
    for row, each in zip(rows.rows, content, strict=True):
        if sort_of(each) != first:
            problem = f"{column!r} is {sort_of(each)}, but line {rows.rows[0].line} has {first}"
            yield Fault(row.line, problem)


def sort_of(content: str | np.ndarray) -> str:
    """What an example is, in words."""
    if isinstance(content, str):
        return "a text"
    return f"of the shape {list(content.shape)}" if content.shape else "a number"


def names_by_content(cells: Iterable[Any]) -> Iterator[str]:
    """Yields a name for each of `cells`, which depends on it and on those like it before it."""
    seen: Counter[str] = Counter()
    for cell in cells:
        text = cell if isinstance(cell, str) else json.dumps(cell)
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]
        seen[digest] += 1
        yield digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
