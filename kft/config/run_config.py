"""The run config: one frozen value that says everything about a run."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    PositiveFloat,
    ValidationError,
    model_validator,
)
from pydantic_core import PydanticCustomError, to_jsonable_python

from kft.backbone import BackboneSource
from kft.cache.place import CacheDtype, CacheMode, CachePolicy
from kft.config.recipe import Effort
from kft.config.user_callback import UserCallback
from kft.data import DataSource
from kft.distribute.strategy import Distribute
from kft.engine.jit import Jit
from kft.engine.selection import Select
from kft.errors import ConfigError
from kft.exporter import Exporter
from kft.exporters.saved_model import SavedModelExporter
from kft.head import Head
from kft.heads.classifier import Classifier
from kft.layers.precision import Precision
from kft.phase import Phase
from kft.settings.bounds import MOST_CONFIG_BYTES, MOST_FOLDS, MOST_PHASES, Views
from kft.settings.component import AbsolutePath, Component, Settings, repeated
from kft.settings.duration import DURATION, in_seconds
from kft.settings.override import apply_override
from kft.settings.pydantic_errors import problem_and_fix
from kft.settings.strict_json import oddity_in, parse
from kft.storage.assets import with_copies
from kft.storage.files import local_bytes


class RunConfig(Settings):
    """A run, in the order it happens.

    Attributes:
        output_dir: Where the run writes; must be empty or not be there. Left out, it is
            ``runs/<config name>-<time>``.
        seed: Of the split, the order, the augmentation and the new weights.
        phases: Left out, the default recipe: the head, then everything at a low rate, for as long
            as the data and `effort` ask for; ``kft plan`` shows it.
        effort: How long the default recipe trains: ``quick`` is for a first look, ``best`` for the
            result that counts.
        time_budget: What the whole run may take, such as ``90s``, ``10m`` or ``2h``: the default
            recipe then fine-tunes for as long as there is, which is measured before it begins.
        monitor: The validation metric that picks the best epoch: ``loss`` or one of the head's.
            Left out, it is the head's first.
        select: The weights that the run ends with: those of the ``best`` epoch over all phases, of
            the ``last``, or the best found on the line from the best epoch before fine-tuning to
            the best after (``interpolate``; Wortsman et al. 2022, WiSE-FT). ``auto``: the last, if
            the best is not better by a standard error of its score (Breiman et al. 1984).
        refit: Whether the phases are trained once more from the beginning, on training and
            validation examples together, up to the epoch that was selected. Those weights are the
            result, validation scores those before it. Null does so in the default recipe alone.
        folds: Of a cross-validation besides: every training and validation example is answered by
            a model that was trained on the other folds. Null does none.
        class_weights: The weight of each class in the loss: ``balanced``, a number for each class
            name, or null. Of several labels, the weight of an example that has the label;
            ``balanced`` weighs those that lack it too, so that both count the same.
        precision: Of the computations of the backbone; ``mixed_bfloat16`` and ``mixed_float16`` are
            faster on GPUs that support them. Weights and the head are always float32.
        jit: Whether XLA compiles the steps of training. ``auto``: on a single GPU, in a phase of
            at least 1,000 steps, if it can. It may take a minute; on a CPU steps get slower.
        deterministic: Whether every op gives the same bits each time, on a GPU too. It is slower
            there, and an op that has no such kernel ends the run.
        cache: Where decoded examples and the features of frozen layers are kept, so that neither is
            computed twice. ``auto``: on disk for the next run, as far as there is room, and in
            memory if it fits. ``memory``: only there. ``disk``: only there, so that memory stays
            free. ``off``: features are computed again in each epoch, and nothing is written.
        cache_views: How many augmented variants of each training example to keep; the epochs use
            them in turn. 0 keeps none: each epoch computes its own.
        cache_dtype: The dtype of cached features. ``float16`` takes half the room; a number is off
            by at most 0.05 %, or by 3e-8 if it is smaller than 6e-5.
        distribute: Which devices and machines train together.
    """

    # For editors; kft forgets it, so that a run's own config equals the one it was given.
    schema_: Annotated[
        str | None, Field(alias="$schema", exclude=True), AfterValidator(lambda _: None)
    ] = None
    output_dir: AbsolutePath
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    data: DataSource
    backbone: BackboneSource
    head: Head = Classifier()
    phases: Annotated[tuple[Phase, ...], Field(min_length=1, max_length=MOST_PHASES)] = ()
    effort: Effort = "normal"
    time_budget: Annotated[str, Field(pattern=DURATION)] | None = None
    monitor: str | None = None
    select: Select = "auto"
    refit: bool | None = None
    folds: Annotated[int, Field(ge=2, le=MOST_FOLDS)] | None = None
    class_weights: Literal["balanced"] | dict[str, PositiveFloat] | None = None
    precision: Precision = "float32"
    jit: Jit = "auto"
    deterministic: bool = False
    cache: CacheMode = "auto"
    cache_views: Views = 0
    cache_dtype: CacheDtype = "float32"
    distribute: Distribute = Distribute()
    callbacks: tuple[UserCallback, ...] = ()
    exporters: tuple[Exporter, ...] = (SavedModelExporter(),)

    @property
    def monitored(self) -> str:
        """The name of the metric that picks the best epoch."""
        return self.head.metrics()[0].name if self.monitor is None else self.monitor

    @property
    def budget_seconds(self) -> float:
        """The `time_budget` in seconds; infinite if there is none."""
        return math.inf if self.time_budget is None else in_seconds(self.time_budget)

    def built_callbacks(self) -> list[Any]:
        """Returns new objects of the user's callbacks.

        Raises:
            ConfigError: One cannot be made, or would change what the phases decide.
        """
        return [callback.build(Path(self.output_dir)) for callback in self.callbacks]

    @property
    def model_parts(self) -> dict[str, Component]:
        """The components that make up the model, by where a config names them."""
        return {"backbone": self.backbone, "head": self.head, "data.input": self.data.input}

    def reading_assets_in(self, directory: Path) -> Self:
        """The same config, whose model reads the assets that the run in `directory` has copied."""
        parts = with_copies(directory, self.model_parts)
        data = self.data.model_copy(update={"input": parts["data.input"]})
        changed = {"backbone": parts["backbone"], "head": parts["head"], "data": data}
        return self.model_copy(update=changed)

    @property
    def cache_policy(self) -> CachePolicy:
        """How decoded examples and features are cached."""
        return CachePolicy(self.cache, self.cache_views, self.cache_dtype)

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        names = repeated([phase.name for phase in self.phases])
        outputs = repeated([exporter.output for exporter in self.exporters])
        twice = [f"phases: two are named {name!r}. Rename one" for name in names]
        twice += [f"exporters: two write export/{name}. Leave one out" for name in outputs]
        if twice:
            raise PydanticCustomError("twice", "{fault}", {"fault": twice[0]})
        return self

    @model_validator(mode="after")
    def _check_budget(self) -> Self:
        if self.time_budget and self.phases:
            raise PydanticCustomError(
                "time_budget",
                "'time_budget' is for the default recipe, and 'phases' says how long to train. "
                "Remove one",
            )
        return self

    @model_validator(mode="after")
    def _check_refit(self) -> Self:
        if self.refit and self.select == "interpolate":
            raise PydanticCustomError(
                "refit",
                "'refit' trains up to an epoch, and 'interpolate' selects none. Set 'refit' to "
                "false, or 'select' to 'auto'",
            )
        return self

    @model_validator(mode="after")
    def _check_carrying(self) -> Self:
        for number, phase in enumerate(self.phases):
            before = self.phases[number - 1].optimizer if number else None
            if phase.carry_optimizer and type(before) is not type(phase.optimizer):
                there = "no phase before it" if before is None else f"{before.kind!r} before it"
                raise PydanticCustomError(
                    "carry_optimizer",
                    f"phases[{number}].carry_optimizer: there is {there} and "
                    f"{phase.optimizer.kind!r} in it. Set it to false, or make them the same",
                )
        return self

    def to_json(self) -> str:
        """Returns the config with every default filled in, as `load_config` reads it.

        Phases that are left out stay so: they are worked out from the data.
        """
        content = kind_first(in_json(self))
        if not self.phases:
            del content["phases"]
        return json.dumps(content, indent=2, ensure_ascii=False)


def kind_first(value: Any) -> Any:
    """Returns JSON `value` with ``kind`` at the head of each object, as people write it."""
    if isinstance(value, list):
        return [kind_first(item) for item in value]
    if not isinstance(value, dict):
        return value
    keys = sorted(value, key=lambda key: key != "kind")
    return {key: kind_first(value[key]) for key in keys}


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
    name, settings = ("config", source) if isinstance(source, Mapping) else read_json(source)
    refuse_odd(name, settings)
    settings = copied(settings)
    for override in overrides:
        apply_override(settings, override, default_of)
    refuse_odd(name, settings)
    when = f"{datetime.now():%Y%m%d-%H%M%S}"
    settings.setdefault("output_dir", f"runs/{Path(name).stem}-{when}")
    context = {"trust": None if trust is None else tuple(trust)}
    try:
        return RunConfig.model_validate(settings, context=context)
    except ValidationError as error:
        raise ConfigError(name, *problem_and_fix(error)) from error


def refuse_odd(name: str, settings: Mapping[str, Any]) -> None:
    """Raises ConfigError if a value anywhere in `settings` is one that no setting can have."""
    problem = oddity_in(settings)
    if problem is not None:
        raise ConfigError(name, problem, "Give a value that docs/config.md allows")


def read_json(source: str | Path) -> tuple[str, dict[str, Any]]:
    """Returns the name and content of a config file, a shipped one where no such file is."""
    path = Path(source)
    shipped = resources.files("kft") / "configs" / f"{path.name}.json"
    if not os.path.exists(path) and str(source) == path.name and shipped.is_file():  # noqa: PTH110
        path = Path(str(shipped))
    try:
        text = local_bytes(path, MOST_CONFIG_BYTES).decode("utf-8-sig")
        settings = parse(text)
    except OSError as error:
        names = ", ".join(shipped_configs())
        raise ConfigError(
            str(source), f"cannot be read: {error.strerror}", f"Give a file, or one of {names}"
        ) from error
    except ValueError as error:
        raise ConfigError(str(source), f"is not JSON: {error}", "Correct the JSON there") from error
    if not isinstance(settings, dict):
        raise ConfigError(
            str(source), f"holds {type(settings).__name__}, not an object", "Begin it with {"
        )
    return str(source), settings


def copied(value: Any) -> Any:
    """Returns `value` with its objects and lists copied; components are taken as they are."""
    if isinstance(value, Mapping):
        return {key: copied(inner) for key, inner in value.items()}
    return [copied(inner) for inner in value] if isinstance(value, list) else value


def shipped_configs() -> list[str]:
    """Returns the names of the configs that come with kft."""
    folder = resources.files("kft") / "configs"
    return sorted(Path(file.name).stem for file in folder.iterdir() if file.name.endswith(".json"))


def default_of(key: str) -> Any:
    """The value of `key` in a config that does not set it, as JSON would hold it."""
    field = RunConfig.model_fields.get(key)
    if field is None or field.is_required():
        return None
    return in_json(field.get_default(call_default_factory=True))


def in_json(value: Any) -> Any:
    """Returns settings as JSON would hold them."""
    return to_jsonable_python(value, by_alias=True, serialize_as_any=True)
