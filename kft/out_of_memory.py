"""Memory that runs out, of a GPU or of the computer, is one message that names what to lower."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from kft.errors import OutOfMemoryError
from kft.messages import shortened

# What TensorFlow 2.21, XLA, cuDNN and cuBLAS say, in small letters. The libraries of a GPU ask for
# memory of their own, and fail in these ways when there is none left.
SIGNS = (
    "oom when allocating",
    "out of memory",
    "out_of_memory",
    "resource_exhausted",
    "failed to allocate",
    "dst tensor is not initialized",
    "no algorithm worked",
    "dnn library initialization failed",
    "cudnn_status_alloc_failed",
    "cudnn_status_not_initialized",
    "cublas_status_alloc_failed",
    "cublas_status_not_initialized",
    "memoryerror",
)
LONGEST = 200
# As Keras prints what fails in a layer.
BOLD = re.compile(r"\x1b\[\d+m")


def sign_of(error: Exception) -> str | None:
    """The line of `error` that says that memory ran out; None if it is another error."""
    import tensorflow as tf

    lines = BOLD.sub("", str(error)).splitlines()
    found = next((line for line in lines if any(sign in line.lower() for sign in SIGNS)), None)
    if isinstance(error, (MemoryError, tf.errors.ResourceExhaustedError)):
        return found or next(iter(lines), "") or type(error).__name__
    return found


@contextmanager
def out_of_memory_as_error(
    where: str, doing: str, fix: str, settings: tuple[str, ...] = ()
) -> Iterator[None]:
    """Turns what Python and TensorFlow raise where memory runs out into one message.

    The rest is as in `OutOfMemoryError`; `doing` says what takes the memory.
    """
    import tensorflow as tf

    try:
        yield
    except (MemoryError, tf.errors.OpError) as error:
        sign = sign_of(error)
        if sign is None:
            raise
        said = shortened(sign.split(" [[")[0].strip().rstrip("."), LONGEST)
        problem = f"{doing} takes more memory than there is: {said}"
        raise OutOfMemoryError(where, problem, fix, settings) from error
