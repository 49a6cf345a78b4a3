"""Writes config.md and config.schema.json from the classes: ``python docs/generate.py``."""

from __future__ import annotations

import inspect
import json
import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import AfterValidator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from kft.config.run_config import RunConfig
from kft.config.schema import json_schema, meanings_in
from kft.settings.catalog import CATALOG
from kft.settings.component import Component, Settings, checked_absolute, find_component

FOLDER = Path(__file__).parent
WORDS = {str: "text", int: "whole number", float: "number", bool: "true or false"}
SIGNS = ((Gt, "gt", ">"), (Ge, "ge", "≥"), (Lt, "lt", "<"), (Le, "le", "≤"))
GENERATED = "Generated from the classes in kft/ by `python docs/generate.py`. Do not edit it."
BEGINNING = f"""\
# Config reference

{GENERATED}

An editor completes and checks a config that begins with `"$schema": "./kft.config.schema.json"`,
once `kft schema > kft.config.schema.json` has written that file beside it.

- Keys that have no default must be given, but for `output_dir`. An unknown key is an error that
  names the nearest one.
- Rates, shares and scores are fractions from 0 to 1. Relative paths start from the working
  directory.
- `"kind": "my_package.module:MyClass"` names a class of your own wherever a `kind` stands. Since
  that runs code, the command line needs `--trust my_package` with it.
- `kft run CONFIG --set effort=quick` overrides one key, `--set phases.0.epochs=3` one of a list
  that is there; entries count from 0.
- A key without a meaning here is as in Keras, or explained in the sentence above its table.
"""


def pages() -> dict[Path, str]:
    """Returns the content of each generated file."""
    schema = json.dumps({"$comment": GENERATED, **json_schema()}, indent=2) + "\n"
    return {FOLDER / "config.md": reference(), FOLDER / "config.schema.json": schema}


def reference() -> str:
    """Returns the table of every key, in the order of a config."""
    return "\n".join([BEGINNING, *(section(cls) for cls in walk(RunConfig, []))])


def walk(cls: type[Settings], seen: list[type[Settings]]) -> Iterator[type[Settings]]:
    """Yields `cls`, its kinds if it has any, and every class that their keys lead to, once."""
    if cls in seen:
        return
    found = kinds(cls) if inspect.isabstract(cls) else [cls]
    seen.extend([cls, *found])
    yield from dict.fromkeys([cls, *found])
    for each in found:
        for field in each.model_fields.values():
            for inner in classes_in(field.annotation):
                yield from walk(inner, seen)


def kinds(contract: Any) -> list[type[Settings]]:
    """Returns the kinds of a contract, in the order of the catalog."""
    return [find_component(contract.role, kind, None) for kind in CATALOG[contract.role]]


def classes_in(annotation: Any) -> Iterator[type[Settings]]:
    """Yields the settings that a type holds."""
    if inspect.isclass(annotation) and issubclass(annotation, Settings):
        yield annotation
    for inner in get_args(annotation):
        yield from classes_in(inner)


def section(cls: type[Settings]) -> str:
    """Returns the heading, the docstring and the table of keys of a class."""
    lines = [f"{'##' if level(cls) == 2 else '###'} {title(cls)}", "", summary(cls), ""]
    if issubclass(cls, Component) and inspect.isabstract(cls):
        names = ", ".join(f"[`{name}`](#{anchor(cls, name)})" for name in CATALOG[cls.role])
        return "\n".join([*lines, f"Kinds: {names}.", ""])
    rows = [row(cls, name, field) for name, field in cls.model_fields.items()]
    if not rows:
        return "\n".join([*lines, "No keys but `kind`.", ""])
    head = ["| key | type | default | meaning |", "| --- | --- | --- | --- |"]
    return "\n".join([*lines, *head, *rows, ""])


def level(cls: type[Settings]) -> int:
    """Returns the level of the heading: 3 for a kind, which stands below its contract."""
    return 3 if issubclass(cls, Component) and not inspect.isabstract(cls) else 2


def title(cls: type[Settings]) -> str:
    """Returns the heading of a class."""
    if issubclass(cls, Component):
        return cls.role if inspect.isabstract(cls) else f"{cls.role} `{kind_name(cls)}`"
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", cls.__name__).lower()


def kind_name(cls: type[Component]) -> str:
    """Returns the name by which a config knows a kind."""
    path = f"{cls.__module__}:{cls.__qualname__}"
    return next(name for name, target in CATALOG[cls.role].items() if target == path)


def anchor(cls: type[Settings], kind: str = "") -> str:
    """Returns the address of a heading, as GitHub makes it."""
    text = f"{title(cls)} {kind}".strip().lower()
    return re.sub(r"[^\w\- ]", "", text).replace(" ", "-")


def summary(cls: type[Settings]) -> str:
    """Returns the docstring of a class without its sections, in Markdown."""
    text = inspect.cleandoc(cls.__doc__ or "")
    return markdown(re.split(r"\n\n(?:Attributes|Raises|Example):", text)[0])


def markdown(text: str) -> str:
    """Returns a docstring as Markdown, with JSON's word for None."""
    return re.sub(r"\bNone\b", "null", text.replace("``", "`"))


def row(cls: type[Settings], name: str, field: FieldInfo) -> str:
    """Returns the line of one key."""
    kind_of_value = type_of(field.annotation, field.metadata).replace("|", r"\|")
    meaning = meanings(cls).get(name) or meaning_of_type(field.annotation)
    return f"| `{field.alias or name}` | {kind_of_value} | {default(field)} | {meaning} |"


def meanings(cls: type[Settings]) -> dict[str, str]:
    """The meaning of each attribute, from the docstrings of a class and its contract."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        _, _, listed = inspect.cleandoc(base.__doc__ or "").partition("Attributes:\n")
        found |= meanings_in(listed)
    return {name: markdown(text).replace("|", r"\|") for name, text in found.items()}


def meaning_of_type(annotation: Any) -> str:
    """Returns the first sentence on the class that a key holds, where the key itself has none."""
    first = next(classes_in(annotation), None)
    return summary(first).split("\n\n")[0].replace("\n", " ") if first else ""


def type_of(annotation: Any, metadata: Any = ()) -> str:
    """Returns a type as a person who writes JSON calls it."""
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        return type_of(inner, [*metadata, *more])
    if inspect.isclass(annotation) and issubclass(annotation, Settings):
        return f"[{title(annotation)}](#{anchor(annotation)})"
    if annotation is type(None):
        return "null"
    if annotation in WORDS:
        checks = [each.func for each in metadata if isinstance(each, AfterValidator)]
        return ("path" if checked_absolute in checks else WORDS[annotation]) + bounds(metadata)
    return made_of(annotation, metadata)


def made_of(annotation: Any, metadata: Any) -> str:
    """Returns a type that is made of others; the limits in `metadata` are those of a union."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin in (Union, types.UnionType):
        return " or ".join(type_of(each, metadata) for each in arguments)
    if origin is dict:
        return f"object of {type_of(arguments[1])} by name"
    if origin is tuple and arguments[-1] is ...:
        return f"list of {type_of(arguments[0])}"
    if origin is tuple:
        return f"list of {len(arguments)}: {type_of(arguments[0])}"
    raise TypeError(f"docs/generate.py does not know the type {annotation}")


def bounds(metadata: Any) -> str:
    """Returns the limits of a number, such as `` ≥ 0, < 1``."""
    flat = [
        each
        for item in metadata
        for each in (item.metadata if isinstance(item, FieldInfo) else [item])
    ]
    found = [
        f"{sign} {getattr(each, name)}"
        for each in flat
        for cls, name, sign in SIGNS
        if isinstance(each, cls)
    ]
    return " " + ", ".join(found) if found else ""


def default(field: FieldInfo) -> str:
    """Returns the default of a key as JSON."""
    if field.default_factory is not None:
        made = field.default_factory()  # type: ignore[call-arg]
        return "the recipe" if isinstance(made, tuple) else as_json(made)
    return "" if field.default is PydanticUndefined else as_json(field.default)


def as_json(value: Any) -> str:
    """Returns a default as a config would write it, what is itself a default left out."""
    return f"`{json.dumps(plain(value))}`"


def plain(value: Any) -> Any:
    """Returns `value` in the types of JSON."""
    if isinstance(value, Settings):
        said = value.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        if isinstance(value, Component):
            return {"kind": value.kind} | said
        return said
    return [plain(each) for each in value] if isinstance(value, tuple) else value


if __name__ == "__main__":
    for path, text in pages().items():
        path.write_text(text, encoding="utf-8")
