"""A folder of files, sorted into a folder for each class."""

from __future__ import annotations

from collections.abc import Sequence

from kft.data import Split, Splits, Target
from kft.errors import DataError
from kft.messages import natural, printable, quoted
from kft.settings.component import AbsolutePath
from kft.sources.folders.folder_notes import converted_notes, count_endings, listing_notes
from kft.sources.folders.folder_splits import refuse_splits
from kft.sources.folders.layout import Example, Layout, find_layout, inner_folders
from kft.sources.folders.listing import Listing, list_below
from kft.sources.labels.classes import ClassSource
from kft.sources.labels.label_columns import LabelColumns, natural_order
from kft.sources.py_fetch import fetch_files
from kft.sources.splitting.split_assignment import Examples, divide
from kft.sources.splitting.split_rule import SplitRule
from kft.storage.files import join


class Folder(ClassSource):
    """One file for each example, in a folder named for its class, however deep in it.

    Either ``path/cats/…``, which `split` divides, or ``path/train/cats/…`` with ``validation``
    and ``test`` beside ``train``, or other words for them. Without a validation folder, `split`
    takes its share out of ``train``; without a test folder there is no test split. Only files
    with an ending that `input` reads count. The path may be a URL that TensorFlow reads, such as
    ``gs://bucket/photos``. Classes are in natural order: ``b2`` before ``B10``.

    Attributes:
        split: How to divide what is not divided yet, and what the split folders are called. Its
            ``test`` is unused if there are some; a manifest counts more than those.
    """

    path: AbsolutePath
    split: SplitRule = SplitRule()

    def load(self, seed: int) -> Splits:
        listing, readable, layout, examples = self._found()
        refuse_splits(self._where, layout, listing.tops(), self.split.names)
        self._refuse_few(examples, readable, layout)
        predicted = self.chosen(classes_of(examples))
        division = divide(
            Examples(
                where=self._where,
                names=[printable(example.name) for example in examples],
                labels=predicted.shown,
                given=[example.split for example in examples] if layout.splits else None,
                kept=predicted.kept,
            ),
            self.split,
            seed,
        )
        notes = (
            *listing_notes(listing, layout, readable, self.split.names),
            *converted_notes([example.name for example in predicted.of_kept(examples)], self.input),
        )
        trained = division.chosen == "train"
        return division.splits(
            self._split(examples, predicted, predicted.names),
            predicted.target(self._where, trained),
            self.input,
            (*notes, *predicted.notes(trained)),
        )

    def whole(self, target: Target) -> tuple[Split, str]:
        """Returns all files as one split, to score a model that knows the classes of `target`.

        The text says what is left out, as `classes` has it, or nothing.

        Raises:
            DataError: A class is none of them.
        """
        *_, examples = self._found()
        if not examples:
            fix = f"Name its folders as the model's classes: {quoted(target.names)}"
            raise DataError(self._where, "has no file in a class folder", fix)
        known = self.known(classes_of(examples), target, self._where)
        whole = self._split(examples, known, target.names)
        return whole.take(known.of_kept(range(whole.size))), known.left_out

    def _found(self) -> tuple[Listing, list[str], Layout, list[Example]]:
        """The listing of the path, its readable files, its layout and its examples."""
        listing = list_below(self.path)
        readable = self._readable(listing)
        layout = find_layout(inner_folders(listing.tops(), readable), self.split)
        examples = [found for path in readable if (found := layout.example(path))]
        return listing, readable, layout, examples

    @property
    def _where(self) -> str:
        return f"data.path {self.path!r}"

    def _readable(self, listing: Listing) -> list[str]:
        """Returns the files that the input reads."""
        endings = (*self.input.file_endings, *self.input.converted_endings)
        readable = [path for path in listing.files if path.lower().endswith(endings)]
        if readable:
            return readable
        reads = ", ".join(endings) or "no files"
        fix = f"Give a folder with a folder for each class; input {self.input.kind!r} reads {reads}"
        if any(".tfrec" in path for path in listing.files):
            first = next(path for path in listing.files if ".tfrec" in path)
            pattern = f"{first.rpartition('/')[0]}/*.tfrec*".lstrip("/")
            fix = f"Records are read from a pattern of files, such as {join(self.path, pattern)}"
        raise DataError(
            where=self._where,
            problem=f"has no file that the input reads: found {count_endings(listing.files)}"
            if listing.files
            else f"is empty{', but for folders' if listing.folders else ''}",
            fix=fix,
        )

    def _refuse_few(
        self, examples: Sequence[Example], readable: Sequence[str], layout: Layout
    ) -> None:
        """Refuses examples of fewer than two classes."""
        fix = "Put the files of each class into a folder named for it, or list them in a table"
        if layout.splits:
            fix += f"; {quoted(layout.splits)} are splits, unless data.split.names is {{}}"
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

    def _deeper(self, examples: Sequence[Example]) -> str | None:
        """The fix if the classes seem to lie one folder further down; else None."""
        below = {tuple(example.name.split("/")[:2]) for example in examples if not example.split}
        if len(below) < 2 or any(example.name.count("/") < 2 for example in examples):
            return None
        inner = join(self.path, examples[0].label)
        names = quoted(sorted((name for _, name in below), key=natural))
        return f"If its folders {names} are the classes or splits, give {inner!r} as the path"

    def _split(
        self, examples: Sequence[Example], predicted: LabelColumns, classes: Sequence[str]
    ) -> Split:
        files = [join(self.path, example.name) for example in examples]
        return Split(
            names=[printable(example.name) for example in examples],
            labels=predicted.labels(classes),
            fetch=fetch_files(files),
            files=files,
        )


def classes_of(examples: Sequence[Example]) -> LabelColumns:
    """Returns the classes of `examples`, as their folders are called."""
    shown = [(example.label,) for example in examples]
    return LabelColumns("class", natural_order(shown), shown)
