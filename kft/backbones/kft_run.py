"""The backbone of an earlier run, with the weights that run ended with."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import ValidationError, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError

from kft.backbone import Backbone, BackboneSource
from kft.data import Target
from kft.errors import BackboneError, ConfigError
from kft.head import Head
from kft.input import Input
from kft.messages import one_line
from kft.settings.component import AbsolutePath, Component, Settings
from kft.storage.assets import with_copies
from kft.storage.digests import refuse_changed_model
from kft.storage.run_files import ASSETS, BEST_WEIGHTS, CONFIG, TARGET
from kft.task import assemble

if TYPE_CHECKING:
    import tensorflow as tf


class Earlier(Settings):
    """The backbone, head and input in the config of an earlier run."""

    backbone: BackboneSource
    head: Head
    input: Input

    @property
    def model_parts(self) -> dict[str, Component]:
        """The components that make up the model, by where a config names them."""
        return {"backbone": self.backbone, "head": self.head, "data.input": self.input}

    def reading_assets_in(self, directory: Path) -> Self:
        """The same, reading the assets that the earlier run in `directory` has copied."""
        parts = with_copies(directory, self.model_parts)
        named = {name.removeprefix("data."): component for name, component in parts.items()}
        return self.model_copy(update=named)


class KftRun(BackboneSource):
    """The backbone of an earlier run, to go on with: more phases, more classes, other data.

    `batch_norm` is that of this run, not of the earlier one.

    Attributes:
        path: The directory of the earlier run.
    """

    path: AbsolutePath

    @model_validator(mode="after")
    def _check_trust(self, info: ValidationInfo) -> Self:
        # The earlier run may name code that has to be trusted before any of it is imported, and
        # only here is it known what is.
        trusted = (info.context or {}).get("trust")
        if trusted is not None and (Path(self.path) / CONFIG).is_file():
            try:
                self._parts(trusted)
            except BackboneError as error:
                raise PydanticCustomError(
                    "earlier_run", "{error}", {"error": str(error)}
                ) from error
        return self

    def dependencies(self) -> Mapping[str, str]:
        inner = self._parts(None).backbone.dependencies()
        named = {f"path.backbone.{name}": path for name, path in inner.items()}
        copied = Path(self.path) / ASSETS
        own = {"path.assets": str(copied)} if copied.is_dir() else {}
        return {"path.config": str(Path(self.path) / CONFIG), **named, **own}

    def pretrained_files(self) -> Mapping[str, str]:
        files = {"path.weights": BEST_WEIGHTS, "path.target": TARGET}
        return {name: str(Path(self.path) / file) for name, file in files.items()}

    def load(self, input_spec: tf.TensorSpec, pretrained: bool = True) -> Backbone:
        """Returns the backbone of the earlier run; without `pretrained`, its weights are not read.

        What the earlier run's own backbone is made of, such as a TF-Hub module, must still be
        there, but its weights need not be.
        """
        earlier = self._parts(None)
        backbone = earlier.backbone.load(input_spec, pretrained=False)
        if not pretrained:
            return self._renamed(backbone)
        if earlier.input.spec == input_spec:
            self._fill(backbone, earlier)
            return self._renamed(backbone)
        trained = earlier.backbone.load(earlier.input.spec, pretrained=False)
        self._fill(trained, earlier)
        backbone.model.set_weights(trained.model.get_weights())
        return self._renamed(backbone)

    def _renamed(self, backbone: Backbone) -> Backbone:
        return replace(backbone, name=f"{backbone.name} of {Path(self.path).name}")

    def _fill(self, backbone: Backbone, earlier: Earlier) -> None:
        """Puts the weights that the earlier run ended with into `backbone`."""
        try:
            refuse_changed_model(Path(self.path), earlier.model_parts)
        except ConfigError as error:
            raise BackboneError(self._where(), error.problem, error.fix) from error
        weights, target = Path(self.path) / BEST_WEIGHTS, Path(self.path) / TARGET
        try:
            known = Target.from_json(target.read_text(encoding="utf-8"))
            task = assemble(backbone, earlier.head, known, earlier.input)
            task.model.load_weights(weights)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BackboneError(
                where=self._where(),
                problem=f"has no weights that fit its config: {one_line(error)}",
                fix="Give the directory of a run that has been trained",
            ) from error

    def _parts(self, trusted: Iterable[str] | None) -> Earlier:
        """Returns the backbone, head and input that the earlier run's config names."""
        fix = "Give the directory that `kft run` named at its end"
        config = Path(self.path) / CONFIG
        if not config.is_file():
            problem = f"is not the directory of a run: it has no {CONFIG}"
            raise BackboneError(self._where(), problem, fix)
        try:
            settings = json.loads(config.read_text(encoding="utf-8"))
            named = {
                "backbone": {**settings["backbone"], "batch_norm": self.batch_norm},
                "head": settings["head"],
                "input": settings["data"]["input"],
            }
            earlier = Earlier.model_validate(named, context={"trust": trusted})
        except ValidationError as error:
            faults = "; ".join(str(fault["msg"]) for fault in error.errors())
            raise BackboneError(
                self._where(), f"its config is wrong: {faults}", f"Correct {config}"
            ) from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            problem = f"is not the directory of a run: {error}"
            raise BackboneError(self._where(), problem, fix) from error
        return earlier.reading_assets_in(Path(self.path))

    def _where(self) -> str:
        return f"backbone.path {self.path!r}"
