"""Views: the variants of augmented examples whose features are cached, which epochs share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import to_jsonable_python

from kft.cache.inference import Vary
from kft.input import Input
from kft.pipeline.batches import example_seeds
from kft.storage.digests import digests_of

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class View:
    """One variant of the examples.

    Attributes:
        vary: Makes it; None leaves the examples as they are.
        settings: All that `vary` depends on, ready for JSON.
    """

    vary: Vary | None = None
    settings: Any = None


@dataclass(frozen=True)
class Views:
    """The variants that a phase needs.

    Attributes:
        order: Which of `variants` the epochs take in turn, as `Order.views`.
    """

    variants: tuple[View, ...] = (View(),)
    order: tuple[int, ...] = (0,)


def views_of(augmenting: Input | None, seed: int, count: int, epochs: range) -> Views | None:
    """The views that `epochs` need, if `count` of them take turns.

    View ``v`` is what epoch ``v`` sees without a cache, so as many views as epochs change
    nothing. Examples that no input is `augmenting` have one; of others, a `count` of 0 gives None.
    """
    if augmenting is None:
        return Views()
    if not count:
        return None
    needed = sorted({epoch % count for epoch in epochs})
    order = tuple(needed.index(view) if view in needed else 0 for view in range(count))
    settings = to_jsonable_python(augmenting, by_alias=True, serialize_as_any=True)
    # Of assets their content, since each run reads a copy of its own.
    settings |= digests_of(augmenting.assets())
    return Views(tuple(view_of(augmenting, settings, seed, epoch) for epoch in needed), order)


def view_of(input: Input, settings: Any, seed: int, epoch: int) -> View:
    """The variant that epoch number `epoch`, from 0, sees of examples that `input` augments.

    `settings` are those of `input`, ready for JSON.
    """

    def vary(index: tf.Tensor, inputs: tf.Tensor) -> tf.Tensor:
        import tensorflow as tf

        return input.augment(inputs, example_seeds(seed, tf.constant(epoch, "int64"), index))

    return View(vary, {"input": settings, "seed": seed, "epoch": epoch})
