"""How long training waits for its next batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kft.host_memory import on_host

if TYPE_CHECKING:
    import tensorflow as tf

# More batches than any training takes.
ENDLESS = 1 << 62


class InputWait:
    """Adds up the seconds between asking a dataset for a batch and having it.

    They are those of the host. It may ask while a GPU is still at the batch before, so a GPU has
    waited so long at most; where batches are there in time, both are nothing. On one device only:
    of several, TensorFlow asks ahead in a thread of its own.
    """

    def __init__(self) -> None:
        from tensorflow.python.ops.resource_variable_ops import ResourceVariable

        # Not `tf.Variable`, of which a strategy in scope would make one for each device.
        with on_host():
            self._seconds = ResourceVariable(0.0, trainable=False, dtype="float64")
        self._last = 0.0

    def measured(self, batches: Any) -> Any:
        """Returns a dataset of the same `batches`, the time that each is waited for added up."""
        import tensorflow as tf

        # To look for Python conditions in what is plain TensorFlow takes a second for each run.
        @tf.autograph.experimental.do_not_convert
        def now(number: tf.Tensor) -> tf.Tensor:
            return tf.timestamp()

        @tf.autograph.experimental.do_not_convert
        def added(asked: tf.Tensor, batch: Any) -> Any:
            with tf.control_dependencies(tf.nest.flatten(batch)):
                self._seconds.assign_add(tf.timestamp() - asked)
            return batch

        # Zip asks one after the other, in the thread that asks it.
        asked = tf.data.Dataset.range(ENDLESS).map(now)
        return tf.data.Dataset.zip(asked, batches).map(added)

    def taken(self) -> float:
        """The seconds since this was last asked."""
        before, self._last = self._last, float(self._seconds.numpy())
        return self._last - before
