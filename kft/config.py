"""The run config: one frozen value that says everything about a run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveFloat,
    ValidationError,
    ValidationInfo,
    model_validator,
)
from pydantic_core import PydanticCustomError

from kft.backbone import BackboneSource
from kft.component import AbsolutePath, Settings, import_name, trusted_or_fault
from kft.data import DataSource
from kft.errors import ConfigError
from kft.exporter import Exporter
from kft.exporters.saved_model import SavedModelExporter
from kft.head import Head
from kft.heads.classifier import Classifier
from kft.phase import Phase, two_phase_recipe


class UserCallback(Settings):
    """A Keras callback to build; every key but ``kind`` goes to its constructor.

    Attributes:
        kind: ``module:Class``, such as ``keras.callbacks:ReduceLROnPlateau``.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    kind: Annotated[str, Field(pattern=r"^[\w.]+:\w+$")]

    @model_validator(mode="after")
    def _check_trust(self, info: ValidationInfo) -> Self:
        trusted = (info.context or {}).get("trust")
        trusted_or_fault(self.kind, None if trusted is None else (*trusted, "keras"))
        return self

    def build(self) -> Any:
        """Returns a fresh callback: one that has seen a phase carries its state over.

        Raises:
            ConfigError: The class is not there, or does not take these settings.
        """
        try:
            return import_name(self.kind)(**(self.model_extra or {}))  # type: ignore[operator]
        except (PydanticCustomError, TypeError, ValueError) as error:
            raise ConfigError(
                f"callbacks {self.kind!r}", f"cannot be made: {error}", "Correct its settings"
            ) from error


class RunConfig(Settings):
    """A run, in the order it happens.

    Attributes:
        output_dir: Where the run writes; must be empty or not be there. Left out, it is
            ``runs/<config name>-<time>``.
        seed: Of the split, the order, the augmentation and the new weights.
        phases: Left out, the two-phase recipe: the head, then everything at a low rate.
        monitor: The validation metric that picks the best epoch.
        select: Whether the weights of the ``best`` epoch over all phases are kept, or the
            ``last``.
        class_weights: ``balanced``, a number for each class name, or null: what an example of
            each class counts in the loss.
    """

    schema_: Annotated[str | None, Field(alias="$schema", exclude=True)] = None
    output_dir: AbsolutePath
    seed: NonNegativeInt = 0
    data: DataSource
    backbone: BackboneSource
    head: Head = Classifier()
    phases: Annotated[tuple[Phase, ...], Field(min_length=1)] = Field(
        default_factory=two_phase_recipe
    )
    monitor: str = "accuracy"
    select: Literal["best", "last"] = "best"
    class_weights: Literal["balanced"] | dict[str, PositiveFloat] | None = None
    callbacks: tuple[UserCallback, ...] = ()
    exporters: tuple[Exporter, ...] = (SavedModelExporter(),)

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = [phase.name for phase in self.phases]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise PydanticCustomError("twice", f"phases: two are named {twice[0]!r}. Rename one")
        return self

    def to_json(self) -> str:
        """Returns the config with every default filled in, as `load_config` reads it."""
        return json.dumps(
            self.model_dump(mode="json", by_alias=True, serialize_as_any=True), indent=2
        )


def load_config(
    source: str | Path | Mapping[str, Any],
    overrides: Sequence[str] = (),
    trust: Iterable[str] | None = None,
) -> RunConfig:
    """Returns the run config in a JSON file, or of a shipped name such as ``quickstart``.

    `overrides` are like ``phases.0.epochs=3``. `trust` names the packages whose classes the
    config may use; None trusts all.

    Raises:
        ConfigError: It is not a run config; names every setting at fault.
    """
    name, settings = ("config", dict(source)) if isinstance(source, Mapping) else read_json(source)
    for override in overrides:
        apply_override(settings, override)
    when = f"{datetime.now():%Y%m%d-%H%M%S}"
    settings.setdefault("output_dir", f"runs/{Path(name).stem}-{when}")
    context = {"trust": None if trust is None else tuple(trust)}
    try:
        return RunConfig.model_validate(settings, context=context)
    except ValidationError as error:
        faults = "".join(f"\n  {describe(dict(fault))}" for fault in error.errors())
        raise ConfigError(name, f"not a run config:{faults}\n", "Correct it") from error


def read_json(source: str | Path) -> tuple[str, dict[str, Any]]:
    """Returns the name and content of a config file, a shipped one where no such file is."""
    path = Path(source)
    shipped = resources.files("kft") / "configs" / f"{path.name}.json"
    if not path.exists() and str(source) == path.name and shipped.is_file():
        path = Path(str(shipped))
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        names = ", ".join(shipped_configs())
        raise ConfigError(
            str(source), f"cannot be read: {error.strerror}", f"Give a file, or one of {names}"
        ) from error
    except ValueError as error:
        raise ConfigError(str(source), f"is not JSON: {error}", "Correct it there") from error
    if not isinstance(settings, dict):
        raise ConfigError(
            str(source), f"holds {type(settings).__name__}, not an object", "Begin it with {"
        )
    return str(source), settings


def shipped_configs() -> list[str]:
    """Returns the names of the configs that come with kft."""
    folder = resources.files("kft") / "configs"
    return sorted(Path(file.name).stem for file in folder.iterdir() if file.name.endswith(".json"))


def apply_override(settings: dict[str, Any], override: str) -> None:
    """Sets ``a.b=value`` in `settings`; the value is JSON, or else a word."""
    path, equals, text = override.partition("=")
    if not equals or not path:
        raise ConfigError(f"--set {override}", "has no '='", "Write it as a.b=value")
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    *parents, last = path.replace("[", ".").replace("]", "").split(".")
    node: Any = settings
    for key in parents:
        node = step_into(node, key, override)
    if isinstance(node, list):
        node[list_index(node, last, override)] = value
    else:
        node[last] = value


def step_into(node: Any, key: str, override: str) -> Any:
    """Returns what `key` names in a list or an object, which gets one if it is not there."""
    inner = node[list_index(node, key, override)] if isinstance(node, list) else node.get(key, {})
    if not isinstance(inner, list | dict):
        raise ConfigError(f"--set {override}", f"{key!r} is {inner!r}, not an object", "Correct it")
    if isinstance(node, dict):
        node[key] = inner
    return inner


def list_index(node: list[Any], key: str, override: str) -> int:
    """Returns `key` as a number of an entry of the list `node`."""
    if not key.isdigit() or int(key) >= len(node):
        raise ConfigError(
            f"--set {override}",
            f"{key!r} is no entry of a list of {len(node)}",
            "Give its number, counted from 0",
        )
    return int(key)


def describe(fault: dict[str, Any]) -> str:
    """Returns one pydantic fault as ``phases[1].epochs: Input should be … (got 0)``."""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in fault["loc"])
    where = "".join(steps).removeprefix(".")
    got = "" if isinstance(fault["input"], dict | list | bytes) else f" (got {fault['input']!r})"
    return f"{where}: {fault['msg']}{got}" if where else f"{fault['msg']}{got}"
