"""Keras callbacks for transfer learning in anyone's ``fit``, without a config.

They work with any Keras model and beside Keras's own callbacks. Importing this imports Keras.
"""

from kft.callbacks.batch_norm import FreezeBatchNorm
from kft.callbacks.best import BestAcrossPhases
from kft.callbacks.drift import DriftMonitor
from kft.callbacks.guard import DivergenceGuard
from kft.callbacks.rates import DiscriminativeLearningRates
from kft.callbacks.unfreezing import GradualUnfreeze, UnfreezeBackbone

__all__ = [
    "BestAcrossPhases",
    "DiscriminativeLearningRates",
    "DivergenceGuard",
    "DriftMonitor",
    "FreezeBatchNorm",
    "GradualUnfreeze",
    "UnfreezeBackbone",
]
