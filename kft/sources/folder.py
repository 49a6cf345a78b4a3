"""A folder of files, sorted into a folder for each class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kft.component import AbsolutePath
from kft.data import DataSource, Split, Splits, Target
from kft.errors import DataError
from kft.sources.folder_notes import count_endings, listing_notes, split_notes
from kft.sources.layout import Example, Layout, find_layout, natural, quoted
from kft.sources.listing import Listing, list_below
from kft.sources.split_rule import SplitRule, assign, require_every_class

if TYPE_CHECKING:
    import numpy as np


class Folder(DataSource):
    """One file for each example, in a folder named for its class, however deep in it.

    Either ``path/cats/…``, which `split` divides, or ``path/train/cats/…`` with ``validation``
    (``val``, ``valid``) and ``test`` beside ``train``. Without a validation folder, `split`
    takes its share out of ``train``; without a test folder there is no test split. Only files
    with an ending that `input` reads count. Classes are in natural order: ``b2`` before ``B10``.

    Attributes:
        split: How to divide what is not divided yet. Its ``test`` is unused if there are split
            folders.
    """

    path: AbsolutePath
    split: SplitRule = SplitRule()

    def load(self, seed: int) -> Splits:
        listing, readable, layout, examples = self._found()
        classes = self._classes(examples, readable)
        assigned = self._assigned(examples, seed)
        splits = {
            name: self._split(
                [example for example, to in zip(examples, assigned, strict=True) if to == name],
                classes,
            )
            for name in dict.fromkeys(assigned)
        }
        return Splits(
            train=splits["train"],
            validation=splits["validation"],
            test=splits.get("test"),
            target=Target("class", tuple(classes)),
            input=self.input,
            notes=(
                *listing_notes(listing, layout, readable),
                *split_notes(layout, examples, classes),
            ),
        )

    def whole(self, target: Target) -> Split:
        """Returns all files as one split, to score a model that knows the classes of `target`.

        Raises:
            DataError: A class is none of them.
        """
        *_, examples = self._found()
        strays = {example.label for example in examples} - {*target.names}
        if strays or not examples:
            raise DataError(
                where=self._where,
                problem=f"has the classes {quoted(sorted(strays, key=natural))}, which the model "
                f"does not know"
                if strays
                else "has no file in a class folder",
                fix=f"Name its folders as the model's classes: {quoted(target.names)}",
            )
        return self._split(examples, target.names)

    def _found(self) -> tuple[Listing, list[str], Layout, list[Example]]:
        """Returns what lies below the path, what of it is readable, its layout and examples."""
        listing = list_below(self.path)
        readable = self._readable(listing)
        layout = find_layout(self._where, listing.tops())
        examples = [found for path in readable if (found := layout.example(path))]
        return listing, readable, layout, examples

    @property
    def _where(self) -> str:
        return f"data.path {self.path!r}"

    def _readable(self, listing: Listing) -> list[str]:
        """Returns the files that the input reads."""
        endings = self.input.file_endings
        readable = [path for path in listing.files if path.lower().endswith(endings)]
        if readable:
            return readable
        reads = ", ".join(endings) or "no files"
        raise DataError(
            where=self._where,
            problem=f"has no file that the input reads: found {count_endings(listing.files)}"
            if listing.files
            else f"is empty{', but for folders' if listing.folders else ''}",
            fix=f"Give a folder with a folder for each class; input {self.input.kind!r} "
            f"reads {reads}",
        )

    def _classes(self, examples: Sequence[Example], readable: Sequence[str]) -> list[str]:
        """Returns the class names in label order."""
        fix = "Put the files of each class into a folder named for it"
        if not examples:
            raise DataError(
                where=self._where,
                problem=f"has {len(readable)} files, but none in a class folder, such as "
                f"{readable[0]!r}",
                fix=fix,
            )
        classes = {example.label for example in examples if example.split in ("train", None)}
        if len(classes) < 2:
            raise DataError(
                where=self._where,
                problem=f"has {len(classes)} class to train on"
                f"{''.join(f', {label!r}' for label in classes)}; expected 2 or more",
                fix=self._deeper(examples) or fix,
            )
        self._refuse_strays(examples, classes)
        return sorted(classes, key=natural)

    def _deeper(self, examples: Sequence[Example]) -> str | None:
        """Returns what to do if the classes seem to lie one folder further down."""
        below = {tuple(example.name.split("/")[:2]) for example in examples if not example.split}
        if len(below) < 2 or any(example.name.count("/") < 2 for example in examples):
            return None
        inner = os.path.join(self.path, examples[0].label)  # noqa: PTH118
        names = quoted(sorted((name for _, name in below), key=natural))
        return f"If its folders {names} are the classes, give {inner!r} as the path"

    def _refuse_strays(self, examples: Sequence[Example], classes: set[str]) -> None:
        """Refuses classes that only validation or test has: nothing could learn them."""
        strays = sorted(
            {
                (str(example.split), example.label)
                for example in examples
                if example.label not in classes
            }
        )
        if strays:
            raise DataError(
                where=self._where,
                problem=f"train has the classes {quoted(sorted(classes, key=natural))}, but "
                + ", ".join(f"{split} has {label!r}" for split, label in strays),
                fix="Add the classes to 'train', or remove them from the others",
            )

    def _assigned(self, examples: Sequence[Example], seed: int) -> list[str]:
        """Returns the split of each example."""
        given = {example.split for example in examples}
        if "validation" in given:
            return [str(example.split) for example in examples]
        divided = [example for example in examples if example.split != "test"]
        rule = self.split.model_copy(update={"test": 0.0}) if "train" in given else self.split
        names = [example.name for example in divided]
        labels = [example.label for example in divided]
        chosen = assign(names, labels, rule, seed)
        require_every_class(self._where, labels, chosen, rule)
        by_name = dict(zip(names, map(str, chosen), strict=True))
        return [by_name.get(example.name, "test") for example in examples]

    def _split(self, examples: Sequence[Example], classes: Sequence[str]) -> Split:
        import numpy as np
        import tensorflow as tf

        numbers = {label: number for number, label in enumerate(classes)}
        labels: np.ndarray = np.array([numbers[example.label] for example in examples], "int32")
        files = [os.path.join(self.path, example.name) for example in examples]  # noqa: PTH118
        # Bytes, since a name on disk need not be UTF-8.
        paths = tf.constant([os.fsencode(file) for file in files])
        return Split(
            names=[printable(example.name) for example in examples],
            labels=labels,
            fetch=lambda index: tf.io.read_file(tf.gather(paths, index)),
        )


def printable(name: str) -> str:
    """Returns `name` so that it can be written to any file."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
