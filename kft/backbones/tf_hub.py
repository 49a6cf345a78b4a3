"""TF-Hub modules as backbones: Reusable SavedModels, which Keras 3 can fine-tune again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from kft.backbone import Backbone, BackboneSource, BatchNorm
from kft.backbones.hub_cache import address, check_sum, find_module
from kft.backbones.hub_module import HubModule, open_module
from kft.backbones.pooling import Pooling, pooled, scaled
from kft.backbones.variable_stages import batch_norm_members, ranks_of, variable_stages
from kft.distribute.cluster import replicas
from kft.errors import BackboneError
from kft.saved_model.safety import SAVED_MODEL, one_signature, refuse_unsafe
from kft.settings.component import Pattern, checked_absolute

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


class TfHub(BackboneSource):
    """A SavedModel in the format of TF-Hub, which is a program of its maker's: see `trust`.

    Attributes:
        handle: ``https://…`` of tfhub.dev or Kaggle, ``owner/model/tensorFlow2/variation/version``
            as Kaggle writes it, or the path of a directory.
        sha256: Of the module, if it must have this one; any 64 letters make the error name it.
        input_range: What the module takes for the numbers 0 to 255 of uint8 inputs, such as -1 to
            1; null leaves them uint8. Other inputs are passed as they are.
        pooling: How features with more than one axis become one vector.
        output: Which of several outputs the features are.
        signature: The signature to call in place of ``__call__``; such a module stays frozen.
        trainable: A regular expression of the whole names of the variables that may train; null is
            all that the maker lets train.
        batch_norm: As in every backbone, though the layers inside a SavedModel cannot be set one by
            one: to keep the statistics, an unfrozen module that has any runs without its dropout;
            ``train`` runs its training trace whole; ``recalibrate`` is refused. A module without
            statistics runs its training trace.
        trust: Loads it even if its graph reaches Python, the network or files. Since a config may
            come from someone else, the command line wants ``--trust saved_model`` with it.
    """

    handle: str
    sha256: Annotated[str | None, Field(pattern=r"^[0-9a-fA-F]{64}$")] = None
    input_range: tuple[float, float] | None = (0.0, 1.0)
    pooling: Pooling = "avg"
    output: str | None = None
    signature: str | None = None
    trainable: Pattern | None = None
    trust: bool = False

    @field_validator("handle")
    @classmethod
    def _check_handle(cls, handle: str) -> str:
        url = address(handle)
        if url is None:
            return checked_absolute(handle)
        if not url.startswith("https://"):
            raise PydanticCustomError(
                "not_https",
                f"{handle!r} is not https://, so anyone on the way could change the program that "
                "it is. Use https://, or the path of a directory",
            )
        return handle

    @field_validator("batch_norm")
    @classmethod
    def _check_batch_norm(cls, batch_norm: BatchNorm) -> BatchNorm:
        if batch_norm == "recalibrate":
            raise PydanticCustomError(
                "opaque",
                "the statistics inside a SavedModel cannot be recomputed, since its layers cannot "
                "be reached. Use 'train', which updates them with each batch, or 'frozen'",
            )
        return batch_norm

    def dependencies(self) -> Mapping[str, str]:
        return {"handle": str(find_module(self.handle, may_download=False))}

    @field_validator("trust")
    @classmethod
    def _check_trust(cls, trust: bool, info: ValidationInfo) -> bool:
        trusted = (info.context or {}).get("trust")
        if trust and trusted is not None and SAVED_MODEL not in trusted:
            raise PydanticCustomError(
                "not_trusted",
                "would run a SavedModel whatever it does, and a config may come from someone else. "
                f"If you trust its maker with this machine, add --trust {SAVED_MODEL}",
            )
        return trust

    def load(self, input_spec: tf.TensorSpec, pretrained: bool = True) -> Backbone:
        """Returns the module as a backbone.

        It has no other weights than its own, so it is read without `pretrained` too, but then
        not downloaded.
        """
        import keras

        from kft.backbones.hub_layer import HubLayer

        where = f"backbone.handle {self.handle!r}"
        directory = find_module(self.handle, may_download=pretrained)
        check_sum(directory, self.sha256)
        if not self.trust:
            called = one_signature(self.signature)
            fix = "Set backbone.trust to true if you trust its maker with this machine; a "
            fix += "SavedModel is a program"
            refuse_unsafe(directory, called, where, fix, BackboneError)
        module = open_module(directory, self.signature, where)
        may_train, noise = self._training_of(module)
        inputs = keras.Input(input_spec.shape, dtype=input_spec.dtype.name, name="inputs")
        taken = scaled(inputs, self.input_range)
        features = self._shape_of_features(module, taken, where)
        layer = HubLayer(module, may_train, noise, self.output, features)
        model = keras.Model(inputs, pooled(layer(taken), self.pooling), name="hub_backbone")
        return Backbone(
            name=self._short_name(),
            model=model,
            stages=variable_stages(module.names, layer.adopted, may_train),
            frozen_because=module.frozen_because,
            training_noise=True,
        )

    def _short_name(self) -> str:
        return self.handle if address(self.handle) else Path(self.handle).name

    def _training_of(self, module: HubModule) -> tuple[list[bool], bool]:
        """Whether each variable may train, and whether training runs the training trace."""
        names, ranks = module.names, ranks_of(module.variables)
        norms = batch_norm_members(names, ranks, module.statistics)
        held = norms if self.batch_norm == "frozen" else set()
        wanted = re.compile(self.trainable or ".*")
        may_train = [
            trains and number not in held and wanted.fullmatch(name) is not None
            for number, (name, trains) in enumerate(zip(names, module.trainable, strict=True))
        ]
        if self.trainable and any(module.trainable) and not any(may_train):
            raise BackboneError(
                where=f"backbone.trainable {self.trainable!r}",
                problem="matches no variable that may train, such as "
                f"{module.names[module.trainable.index(True)]!r}",
                fix="Give a pattern that matches the whole name, such as '.*block_1[3-6].*'",
            )
        follows = self.batch_norm == "train" and bool(module.statistics)
        if follows and replicas() > 1:
            raise BackboneError(
                where="backbone.batch_norm 'train'",
                problem="each device would take the statistics of its own examples, since nothing "
                "inside a SavedModel shares them",
                fix="Set backbone.batch_norm to 'frozen' or 'inference', or train on one device",
            )
        return may_train, follows or not module.statistics

    def _shape_of_features(
        self, module: HubModule, taken: keras.KerasTensor, where: str
    ) -> tuple[int, ...]:
        """Returns the shape of what one example gives, without the batch dimension.

        Where a restored function does not say it, one example is passed through.
        """
        import tensorflow as tf

        example = tf.zeros((1, *taken.shape[1:]), taken.dtype)
        strategy = tf.distribute.get_strategy()

        @tf.function
        def call_once() -> Any:
            # A function restored in the scope of a strategy can only be called on its devices.
            return strategy.run(lambda: module.function(example))

        try:
            traced = tf.function(module.function).get_concrete_function(example).structured_outputs
            features = self._features(traced, where)
            if not features.shape[1:].is_fully_defined():
                given = self._features(call_once(), where)
                features = strategy.experimental_local_results(given)[0]
        except (ValueError, TypeError, tf.errors.OpError) as error:
            raise BackboneError(
                where=where,
                problem=f"does not take the inputs that the data gives, {example.dtype.name} "
                f"(batch, {', '.join(map(str, example.shape[1:]))}); it takes "
                f"{' or '.join(taken_by(module)) or 'others'}",
                fix="Set data.input and backbone.input_range so that they give that",
            ) from error
        return tuple(features.shape[1:])

    def _features(self, given: Any, where: str) -> tf.Tensor:
        if not isinstance(given, dict):
            return given
        if self.output not in given:
            raise BackboneError(
                where=where,
                problem=f"gives the outputs {', '.join(sorted(given))}, and backbone.output is "
                f"{self.output!r}",
                fix=f"Set backbone.output to one of: {', '.join(sorted(given))}",
            )
        return given[self.output]


def taken_by(module: HubModule) -> list[str]:
    """The dtypes and shapes that a module takes, such as ``float32 (None, 8)``, each once."""
    specs = [
        argument
        for trace in getattr(module.function, "concrete_functions", ())
        for argument in trace.structured_input_signature[0][:1]
    ]
    return list(dict.fromkeys(f"{spec.dtype.name} {spec.shape}" for spec in specs))
