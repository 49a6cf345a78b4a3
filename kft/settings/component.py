"""Components: one frozen class holds the settings and does the work.

A config names a component by its ``kind``; the other keys are its fields. Making one only checks
the settings. Disk, network and TensorFlow wait for the method that does the work.
"""

import importlib
import inspect
import json
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePath
from typing import Annotated, Any, ClassVar, Self, cast

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    ValidationError,
    ValidationInfo,
    computed_field,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError

from kft.messages import closest, short_repr
from kft.settings.bounds import LONGEST_NAME, LONGEST_PATH
from kft.settings.catalog import CATALOG
from kft.settings.pydantic_errors import MOST_FAULTS


def absolute(path: str) -> str:
    """Returns `path` made absolute from the working directory; a URL such as gs://… stays."""
    return path if "://" in path else os.path.abspath(os.path.expanduser(path))  # noqa: PTH100, PTH111


def checked_absolute(path: str) -> str:
    """As `absolute`, or a fault that pydantic reports if no file system has such a path."""
    longest = max(len(os.fsencode(part)) for part in path.split("/"))
    if "://" not in path and (longest > LONGEST_NAME or len(path) > LONGEST_PATH):
        raise PydanticCustomError(
            "path",
            f"is a path of {len(path)} characters with a name of {longest} bytes, and there are "
            f"none of more than {LONGEST_PATH} and {LONGEST_NAME}",
        )
    return absolute(path)


AbsolutePath = Annotated[str, AfterValidator(checked_absolute)]

# What Python raises of a text that is no regular expression: `re.error` is not all.
NO_PATTERN = (re.error, OverflowError, RecursionError)


def regular_expression(text: str) -> str:
    """Returns `text` if it is a regular expression, or a fault that pydantic reports."""
    try:
        with warnings.catch_warnings():  # of what a later Python may read in another way
            warnings.simplefilter("ignore", FutureWarning)
            re.compile(text)
    except NO_PATTERN as error:
        raise PydanticCustomError(
            "pattern", f"{short_repr(text)} is no regular expression: {error}"
        ) from error
    return text


Pattern = Annotated[str, AfterValidator(regular_expression)]


class Settings(BaseModel):
    """A frozen record that refuses keys it does not know, and says which key was meant."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_validator(mode="wrap")
    @classmethod
    def _suggest_keys(cls, value: Any, build: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return build(value)
        except ValidationError as error:
            found = error.errors()
            faults = [suggest_key(fault, cls.keys()) for fault in found[:MOST_FAULTS]]
            raise ValidationError.from_exception_data(cls.__name__, faults) from error

    @classmethod
    def keys(cls) -> list[str]:
        """Returns the keys that a config may use here."""
        return [field.alias or name for name, field in cls.model_fields.items()]


def suggest_key(fault: Mapping[str, Any], keys: Iterable[str]) -> InitErrorDetails:
    """Returns a pydantic `fault` ready to be raised again, with a hint if it is an unknown key."""
    message = fault["msg"]
    if fault["type"] == "extra_forbidden" and len(fault["loc"]) == 1:
        message = f"unknown key{closest(str(fault['loc'][0]), keys)}"
    return InitErrorDetails(
        type=PydanticCustomError(fault["type"], message), loc=fault["loc"], input=fault["input"]
    )


def repeated(names: Iterable[str]) -> list[str]:
    """Returns the names that occur more than once, in order."""
    return [name for name, count in Counter(names).items() if count > 1]


class Component(Settings):
    """Base of the contracts. A contract is abstract; a kind is final: nobody subclasses a kind.

    Attributes:
        role: What the catalog and messages call the contract.
    """

    role: ClassVar[str]

    def dependencies(self) -> Mapping[str, str]:
        """The files and folders that it reads besides the data, by what messages call them.

        A run keeps digests of them, and its model can only be opened again while they are
        unchanged. Here they are the settings that are paths of something that is there, but for
        the `assets`; a kind that reads others, or writes to a path, says so itself.
        """
        names = [name for name in type(self).model_fields if name not in self.assets()]
        return dict(paths_in({name: getattr(self, name) for name in names}))

    def assets(self) -> Mapping[str, str]:
        """The paths of files and folders that a run copies, such as a vocabulary, by setting.

        The run reads its own copy, also when it is opened again: the original may change or go.
        Here there are none.
        """
        return {}

    def with_assets(self, copies: Mapping[str, str]) -> Self:
        """The same component, which reads `copies` in place of its `assets`, by the same names.

        A kind whose assets are not settings says itself how it does.
        """
        unknown = copies.keys() - type(self).model_fields.keys()
        if unknown:
            raise TypeError(f"{self.kind}: assets() names {sorted(unknown)}, which are no settings")
        # As the settings are: a path may be a `Path`.
        kinds = {name: type(getattr(self, name)) for name in copies}
        return self.model_copy(update={name: kinds[name](path) for name, path in copies.items()})

    @computed_field  # type: ignore[prop-decorator]
    @property
    def kind(self) -> str:
        """The name a config uses for this component."""
        return kind_of(type(self))

    @model_validator(mode="wrap")
    @classmethod
    def _resolve_kind(
        cls, value: Any, build: ModelWrapValidatorHandler[Self], info: ValidationInfo
    ) -> Self:
        if isinstance(value, str):
            raise PydanticCustomError(
                "not_an_object", f'should be an object, such as {{"kind": {json.dumps(value)}}}'
            )
        if not isinstance(value, dict) or not (inspect.isabstract(cls) or "kind" in value):
            return build(value)
        trusted = (info.context or {}).get("trust")
        found = find_component(cls.role, value.get("kind"), trusted)
        settings = {key: setting for key, setting in value.items() if key != "kind"}
        if found is cls:
            return build(settings)
        if not issubclass(found, cls):
            raise PydanticCustomError(
                "wrong_role", f"{value['kind']!r} is not a kind of {cls.role}"
            )
        return found.model_validate(settings, context=info.context)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Gives a contract one branch for each kind, and one for a user's own class."""
        if not inspect.isabstract(cls):
            return kind_schema(cls, handler.resolve_ref_schema(handler(core_schema)))
        kinds = [find_component(cls.role, kind, None) for kind in CATALOG[cls.role]]
        # Pydantic does not ask the kinds themselves here, which would add their ``kind``.
        branches = [
            kind_schema(kind, handler.resolve_ref_schema(handler(kind.__pydantic_core_schema__)))
            for kind in kinds
        ]
        own = {"type": "object", "properties": {"kind": {"type": "string", "pattern": ":"}}}
        return {"oneOf": [*branches, {**own, "required": ["kind"], "title": "your own class"}]}


def paths_in(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yields the paths of what is there among settings, with where they stand."""
    inside: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, Component):
        inside = value.dependencies().items()
    elif isinstance(value, Mapping):
        inside = value.items()
    elif isinstance(value, list | tuple):
        inside = enumerate(value)
    elif isinstance(value, str | PurePath) and is_read(str(value)):
        yield name, str(value)
    for key, each in inside:
        yield from paths_in(each, f"{name}.{key}" if name else str(key))


def is_read(path: str) -> bool:
    """Says whether `path` is that of a file, or the absolute one of a folder, but not of all."""
    is_folder = os.path.isabs(path) and os.path.isdir(path)  # noqa: PTH112, PTH117
    return os.path.isfile(path) or (is_folder and os.path.dirname(path) != path)  # noqa: PTH113, PTH120


def kind_of(cls: type[Component]) -> str:
    """The name that a config uses for `cls`: that of the catalog, or ``module:Class``."""
    path = f"{cls.__module__}:{cls.__qualname__}"
    known = CATALOG.get(cls.role, {}).items()
    return next((kind for kind, target in known if target == path), path)


def kind_schema(cls: type[Component], schema: JsonSchemaValue) -> JsonSchemaValue:
    """Returns `schema` with the ``kind`` that a config needs to name `cls`."""
    properties = {"kind": {"const": kind_of(cls)}} | {
        key: value for key, value in schema.get("properties", {}).items() if key != "kind"
    }
    required = ["kind", *(key for key in schema.get("required", []) if key != "kind")]
    return schema | {"properties": properties, "required": required}


def find_component(role: str, kind: object, trusted: Iterable[str] | None) -> type[Component]:
    """Returns the class that `kind` names: a name in the catalog, or ``module:Class``.

    `trusted` are the packages whose code a config may import; None trusts all of them.
    """
    known = CATALOG[role]
    if not isinstance(kind, str):
        found = "no 'kind'" if kind is None else f"a 'kind' that is {kind!r}"
        raise PydanticCustomError("no_kind", f"has {found}. Known: {', '.join(sorted(known))}")
    if ":" in kind:
        return own_class(role, kind, trusted)
    if kind not in known:
        raise PydanticCustomError("unknown_kind", f"no {role} kind {kind!r}{closest(kind, known)}")
    module, _, name = known[kind].partition(":")
    return cast("type[Component]", getattr(importlib.import_module(module), name))


def own_class(role: str, kind: str, trusted: Iterable[str] | None) -> type[Component]:
    """Returns the user's class ``module:Class``, importing its module only if it is trusted."""
    trusted_or_fault(kind, trusted)
    found = import_name(kind)
    if not (isinstance(found, type) and issubclass(found, Component) and found.role == role):
        raise PydanticCustomError("not_a_component", f"{kind!r} is not a {role} component")
    if inspect.isabstract(found):
        missing = ", ".join(sorted(found.__abstractmethods__))
        raise PydanticCustomError("abstract", f"{kind!r} is abstract: it lacks {missing}")
    return found


def trusted_or_fault(kind: str, trusted: Iterable[str] | None) -> None:
    """Raises a fault if the package of ``module:Class`` is not in `trusted`; None trusts all."""
    package = kind.partition(":")[0].partition(".")[0]
    if trusted is not None and package not in {*trusted, "kft"}:
        raise PydanticCustomError(
            "not_trusted",
            f"{kind!r} would run code of the package {package!r}. If you trust it, add "
            f"--trust {package}",
        )


def import_name(path: str) -> object:
    """The object that ``module:Name`` names, or a fault that pydantic reports with the others."""
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise PydanticCustomError("not_importable", f"cannot import {path!r}: {error}") from error
