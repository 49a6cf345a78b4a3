"""Mixing training examples with one another: mixup and CutMix.

Both draw from ``(seed, epoch, index)``, as all that is random about an example, so that runs are
repeatable. An example's partner is its neighbour in the batch, whose order is random already.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kft.errors import ConfigError
from kft.input import Input
from kft.phase import Phase

if TYPE_CHECKING:
    import tensorflow as tf

# Keeps the draws apart from those of augmentation, which has the same seeds.
APART = 0x6D6978


@dataclass(frozen=True)
class Mix:
    """How the examples of a batch are mixed.

    Attributes:
        mixup: Alpha of the Beta distribution from which an example draws the share of it that is
            kept; 0 does without (Zhang et al. 2018, arXiv 1710.09412).
        cutmix: The same for the share of its area (Yun et al. 2019, arXiv 1905.04899). Where both
            are given, each batch has one of them, by the toss of a coin.
        until: The first epoch without, counted over the whole run from 0.
        regions: As `Input.regions`.
    """

    mixup: float
    cutmix: float
    until: int
    regions: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]

    def batch(
        self, seeds: tf.Tensor, inputs: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Returns `inputs`, `labels` and `weights` mixed.

        `seeds`, int64 ``(batch, 2)``, are those of `example_seeds`. Labels and weights, those of
        classes included, are mixed in the shares of the inputs.
        """
        import tensorflow as tf

        seeds = seeds + tf.constant([APART, 0], tf.int64)

        def blended() -> tuple[tf.Tensor, tf.Tensor]:
            return blend(inputs, beta(seeds, self.mixup))

        def pasted() -> tuple[tf.Tensor, tf.Tensor]:
            return paste(inputs, self.regions(1 - beta(seeds, self.cutmix), seeds))

        if self.mixup and self.cutmix:
            coin = tf.random.stateless_uniform([], seeds[0]) < 0.5
            mixed, kept = tf.cond(coin, blended, pasted)
        else:
            mixed, kept = blended() if self.mixup else pasted()
        return mixed, combine(labels, kept), combine(weights, kept)


def mix_of(phase: Phase, input: Input, first_epoch: int) -> Mix | None:
    """The mixing of `phase`, whose first epoch is `first_epoch` of the run."""
    if not phase.mixes:
        return None
    until = first_epoch + phase.epochs - phase.mix_off_epochs
    return Mix(phase.mixup, phase.cutmix, until, input.regions)


def refuse_mix(phase: Phase, input: Input) -> None:
    """Raises ConfigError if `phase` mixes examples in a way that `input` does not support."""
    import tensorflow as tf

    dtype = input.spec.dtype
    if phase.mixes and not (dtype.is_floating or dtype.is_integer):
        raise ConfigError(
            where="mixup" if phase.mixup else "cutmix",
            problem=f"cannot mix examples that are of dtype {dtype.name}",
            fix="Leave it out: only numbers can be mixed",
        )
    if phase.cutmix:
        input.regions(tf.constant([0.5]), tf.constant([[0, 0]], tf.int64))


def beta(seeds: tf.Tensor, alpha: float) -> tf.Tensor:
    """Returns float32 ``(batch,)`` from the Beta distribution of `alpha` and `alpha`.

    The seed of the batch is that of its first example. A share is x / (x + y) of two draws from
    a Gamma distribution, by their logarithms: of a small `alpha`, both may be too small for a
    number.
    """
    import tensorflow as tf

    shape = [2, tf.shape(seeds)[0]]
    draws = tf.random.stateless_gamma(shape, seeds[0], alpha + 1.0, dtype=tf.float64)
    boost = tf.random.experimental.stateless_fold_in(seeds[0], 1)
    uniform = 1 - tf.random.stateless_uniform(shape, boost, dtype=tf.float64)
    logarithms = tf.math.log(draws) + tf.math.log(uniform) / alpha
    return tf.cast(tf.sigmoid(logarithms[0] - logarithms[1]), tf.float32)


def partners(values: tf.Tensor) -> tf.Tensor:
    """Returns the neighbour of each example of a batch; the first has the last."""
    import tensorflow as tf

    return tf.roll(values, 1, axis=0)


def blend(inputs: tf.Tensor, kept: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns `inputs` with their partners shining through, and the shares `kept`."""
    import tensorflow as tf

    if inputs.dtype.is_floating:
        return combine(inputs, kept), kept
    mixed = tf.round(combine(tf.cast(inputs, tf.float32), kept))
    return tf.saturate_cast(mixed, inputs.dtype), kept


def paste(inputs: tf.Tensor, regions: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns `inputs` with `regions` of their partners, and the shares that are kept."""
    import tensorflow as tf

    axes = list(range(1, len(regions.shape)))
    kept = 1 - tf.reduce_mean(tf.cast(regions, tf.float32), axis=axes)
    return tf.where(regions, partners(inputs), inputs), kept


def combine(values: tf.Tensor, kept: tf.Tensor) -> tf.Tensor:
    """Returns ``kept * values + (1 - kept) * partners``, `kept` being ``(batch,)``."""
    import tensorflow as tf

    share = tf.reshape(kept, [-1] + [1] * (len(values.shape) - 1))
    share = tf.cast(share, values.dtype)
    return share * values + (1 - share) * partners(values)
