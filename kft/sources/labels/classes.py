"""The choice of classes: which are learned, in which order, and which of them count as one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Discriminator, Field, Tag, model_validator
from pydantic_core import PydanticCustomError

from kft.data import DataSource, Target
from kft.errors import DataError
from kft.messages import clauses, closest, counted, listed, natural, printable, quoted
from kft.settings.component import repeated
from kft.sources.labels.label_columns import LabelColumns
from kft.sources.names import known_as

WHERE = "data.classes"
NAMED = 10


def form_of(value: object) -> str | None:
    """The tag of the type that `value` is to have, with brackets, so that no message has it."""
    forms: dict[type, str] = {list: "list[]", tuple: "list[]", dict: "object[]", str: "name[]"}
    return forms.get(type(value))


ClassName = Annotated[str, Field(min_length=1), AfterValidator(printable)]
Several = Annotated[tuple[ClassName, ...], Field(min_length=1), Tag("list[]")]
OneOrSeveral = Annotated[
    Annotated[ClassName, Tag("name[]")] | Several,
    Discriminator(form_of, "names", "should be a name or a list of names, each in quotes"),
]
Merged = Annotated[dict[ClassName, OneOrSeveral], Field(min_length=1), Tag("object[]")]
Classes = Annotated[
    Several | Merged,
    Discriminator(form_of, "classes", "should be a list of names, or an object of them by name"),
]


class ClassSource(DataSource):
    """A source whose classes a config can choose.

    Its `load` gives what it found through `chosen` before it divides the examples.

    Attributes:
        classes: The classes to learn, in label order; or of several labels, the labels. An object
            names classes of its own, and what the data calls each: ``{"pet": ["cat", "dog"],
            "car": "car"}`` has cats and dogs be one. Left out, all there are, in natural order.
        other_classes: Whether examples of classes that `classes` does not name are left out, which
            a note counts, or stop the run. Of several labels the label is left out, and the
            example stays.
    """

    classes: Classes | None = None
    other_classes: Literal["leave_out", "refuse"] = "leave_out"

    @model_validator(mode="after")
    def _name_each_once(self) -> Self:
        if self.classes is None and self.other_classes != "leave_out":
            raise PydanticCustomError(
                "other_classes", "'other_classes' are those that 'classes' does not name. Name some"
            )
        twice = repeated(label for _, labels in self._named for label in labels)
        if twice:
            raise PydanticCustomError("twice", f"'classes' names {quoted(twice)} more than once")
        return self

    def chosen(self, found: LabelColumns) -> LabelColumns:
        """Returns what was `found` in all examples, as `classes` says.

        Raises:
            DataError: It has no such classes, or others that are refused.
        """
        if self.classes is None:
            return found
        if found.kind == "value":
            raise DataError(WHERE, "names classes, but the data has values", "Remove it")
        if found.kind == "class" and len(self.classes) < 2:
            raise DataError(WHERE, "names one class, expected two or more", "Name another")
        names = tuple(name for name, _ in self._named)
        return self._renamed(found, self._meanings(labels_in(found)), names)

    def known(self, found: LabelColumns, target: Target, where: str) -> LabelColumns:
        """Returns what was `found` in other data, for a model that knows the names of `target`.

        These may be named as in the data that it learned from, or as the model names them.

        Raises:
            DataError: The data has others, or none of them.
        """
        meanings = {name: name for name in target.names} | self._class_of
        names = known_as(labels_in(found), [*meanings])
        known = {label: meanings[name] for label, name in names.items()}
        strays = {*labels_in(found)} - {*known}
        if (strays and self.classes is None) or (found.kind == "class" and not known):
            raise DataError(
                where,
                f"has {quoted(sorted(strays, key=natural)) or 'no class'}, which the model does "
                "not know",
                f"Name the classes as the model does: {quoted(target.names)}",
            )
        return self._renamed(found, known, target.names)

    @property
    def _named(self) -> list[tuple[str, tuple[str, ...]]]:
        """Each class with what the data calls it, in label order."""
        if isinstance(self.classes, dict):
            pairs = self.classes.items()
            return [(name, (each,) if isinstance(each, str) else each) for name, each in pairs]
        return [(name, (name,)) for name in self.classes or ()]

    @property
    def _class_of(self) -> dict[str, str]:
        return {label: name for name, labels in self._named for label in labels}

    def _meanings(self, labels: Iterable[str]) -> dict[str, str]:
        """The class of each of `labels`, which the data has, that `classes` names."""
        there = [*labels]
        names = known_as(self._class_of, there)
        missing = [label for label in self._class_of if label not in names]
        if missing:
            raise DataError(
                WHERE,
                clauses(
                    [
                        f"names {label!r}, which the data does not have{closest(label, there)}"
                        for label in missing
                    ],
                    NAMED,
                ),
                "Correct the name, or remove it",
            )
        twice = repeated(names.values())
        if twice:
            raise DataError(WHERE, f"names {quoted(twice)} in two Unicode forms", "Remove one")
        return {names[label]: name for label, name in self._class_of.items()}

    def _renamed(
        self, found: LabelColumns, meanings: Mapping[str, str], names: tuple[str, ...]
    ) -> LabelColumns:
        """Returns what was `found` under the `names` that `meanings` has of its labels."""
        shown = [
            tuple(dict.fromkeys(meanings[label] for label in labels if label in meanings))
            for labels in found.shown
        ]
        left = labels_in(found).keys() - meanings.keys()
        if left and self.other_classes == "refuse":
            raise DataError(
                WHERE,
                f"does not name {described(found, left)}",
                'Name them too, or set data.other_classes to "leave_out"',
            )
        kept = [*map(bool, shown)] if left and found.kind == "class" else None
        note = f"left out what data.classes does not name: {described(found, left)}"
        return replace(found, names=names, shown=shown, kept=kept, left_out=note * bool(left))


def labels_in(found: LabelColumns) -> Counter[str]:
    """How many examples show each label."""
    return Counter(label for labels in found.shown for label in labels)


def described(found: LabelColumns, labels: Collection[str]) -> str:
    """Some `labels` of what was `found`, in words, with the number of examples of each."""
    counts = labels_in(found)
    each = [f"{label!r} ({counts[label]})" for label in sorted(labels, key=natural)]
    examples = counted(sum(not {*shown}.isdisjoint(labels) for shown in found.shown), "example")
    if found.kind == "class":
        noun = "class" if len(each) == 1 else "classes"
        return f"{examples} of {len(each)} {noun}, {listed(each, NAMED)}"
    return f"{counted(len(each), 'label')} of {examples}, which stay, {listed(each, NAMED)}"
