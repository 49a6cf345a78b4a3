"""Rare cases as single ops, so that the others do not pay for them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any


def apart(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns `function` as one op for callers in a graph.

    In a branch that is not taken every op costs time, and the rare cases have hundreds.
    """
    import tensorflow as tf

    return function if tf.executing_eagerly() else one_op(function)


@cache
def one_op(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns `function`, traced once for all graphs that call it."""
    import tensorflow as tf

    called: Callable[..., Any] = tf.function(
        function, autograph=False, experimental_attributes={"_noinline": True}
    )
    return called
