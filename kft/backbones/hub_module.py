"""Opens a SavedModel for fine-tuning, and says exactly why one cannot be fine-tuned or used."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kft.errors import BackboneError
from kft.messages import one_line
from kft.saved_model.graph import written_variables

if TYPE_CHECKING:
    import tensorflow as tf

FIRST_GENERATION = "tfhub_module.pb"


@dataclass(frozen=True, eq=False)
class HubModule:
    """A loaded SavedModel.

    Attributes:
        loaded: Holds its tables and variables.
        function: What is called: inputs in, outputs out.
        variables: All there are, in the maker's order.
        trainable: Whether each may train, as the maker says.
        losses: Each gives one regularisation loss.
        takes_training: Whether `function` takes ``training``.
        statistics: Names of the variables that a call in training writes to, as batch
            normalisation does.
        frozen_because: Why it cannot be fine-tuned, or None.
    """

    loaded: Any
    function: Callable[..., Any]
    variables: Sequence[tf.Variable] = ()
    trainable: Sequence[bool] = ()
    losses: Sequence[Callable[[], tf.Tensor]] = ()
    takes_training: bool = False
    statistics: frozenset[str] = frozenset()
    frozen_because: str | None = None

    @property
    def names(self) -> list[str]:
        """Returns the names of the variables, without the number of the output."""
        return [variable.name.split(":")[0] for variable in self.variables]


def open_module(directory: Path, signature: str | None, where: str) -> HubModule:
    """Returns the SavedModel in `directory`, to be called by its `signature` if one is given.

    Under a distribution strategy, call it in the strategy's scope, so that the variables are
    made for all its devices.

    Raises:
        BackboneError: It cannot be loaded, or has nothing that can be called so.
    """
    import tensorflow as tf

    first_generation = (directory / FIRST_GENERATION).is_file()
    try:
        loaded = tf.saved_model.load(str(directory), tags=[] if first_generation else None)
    except (OSError, ValueError, RuntimeError, KeyError, tf.errors.OpError) as error:
        raise BackboneError(
            where=where,
            problem=f"TensorFlow cannot load it: {one_line(error)}",
            fix="Give a SavedModel that this TensorFlow can read; one with text ops needs "
            "tensorflow_text",
        ) from error
    if first_generation:
        why = "it is a module of TensorFlow 1, whose training does not work in TensorFlow 2"
        return by_signature(loaded, signature or "default", why, where)
    if signature is not None:
        why = f"it is called by its signature {signature!r}, which has no training"
        return by_signature(loaded, signature, why, where)
    return by_call(loaded, directory, where)


def by_signature(loaded: Any, signature: str, why: str, where: str) -> HubModule:
    """Returns a module that is called by one of its signatures, and so is frozen."""
    if signature not in loaded.signatures:
        raise BackboneError(
            where=where,
            problem=f"has no signature {signature!r}",
            fix=f"Set backbone.signature to one of: {', '.join(loaded.signatures)}"
            if loaded.signatures
            else "Leave backbone.signature out: the module has none",
        )
    function = loaded.signatures[signature]
    (_, wanted) = function.structured_input_signature
    if len(wanted) != 1:
        raise BackboneError(
            where=where,
            problem=f"its signature {signature!r} takes {len(wanted)} inputs: "
            f"{', '.join(sorted(wanted))}",
            fix="Give a module whose signature takes one input",
        )
    (name,) = wanted
    variables = list(function.variables)
    return HubModule(
        loaded,
        lambda inputs: function(**{name: inputs}),
        variables,
        [False] * len(variables),
        frozen_because=why,
    )


def by_call(loaded: Any, directory: Path, where: str) -> HubModule:
    """Returns a Reusable SavedModel: an object with ``__call__``."""
    call = getattr(loaded, "__call__", None)  # noqa: B004 — of the object, not of its class
    if call is None or not getattr(call, "concrete_functions", ()):
        names = ", ".join(getattr(loaded, "signatures", ())) or "none"
        raise BackboneError(
            where=where,
            problem=f"is no Reusable SavedModel: it has no __call__, only signatures ({names})",
            fix="Set backbone.signature to one of these to use it frozen; one to be fine-tuned "
            "must be saved with __call__, and with its trainable_variables as a list",
        )
    by_maker = list(getattr(loaded, "trainable_variables", ()))
    variables = distinct([*getattr(loaded, "variables", ()), *by_maker, *captured(call)])
    trains = {id(variable) for variable in by_maker if variable.trainable}
    return HubModule(
        loaded,
        call,
        variables,
        [id(variable) in trains for variable in variables],
        list(getattr(loaded, "regularization_losses", ())),
        "training" in call.function_spec.arg_names,
        written_variables(directory),
        None if trains else "it was saved without a list of trainable_variables",
    )


def distinct(variables: Sequence[tf.Variable]) -> list[tf.Variable]:
    """Returns `variables`, each once, in order, but for those that hold no numbers."""
    numbers = (v for v in variables if v.dtype.is_floating or v.dtype.is_integer or v.dtype.is_bool)
    return list({id(variable): variable for variable in numbers}.values())


def captured(call: Any) -> list[tf.Variable]:
    """Returns the variables that the traces of `call` use."""
    return [variable for trace in call.concrete_functions for variable in trace.variables]
