import numpy as np
import pytest
import tensorflow as tf

from kft.errors import OutOfMemoryError
from kft.out_of_memory import out_of_memory_as_error

GRAPH = "Graph execution error:\n\nDetected at node conv/Conv2D defined at (most recent call last):"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            tf.errors.ResourceExhaustedError(
                None, None, f"{GRAPH}\nOOM when allocating tensor with shape[64,9] [[{{node a}}]]"
            ),
            r"OOM when allocating tensor with shape\[64,9\]\. Halve it",
        ),
        (tf.errors.ResourceExhaustedError(None, None, ""), "ResourceExhaustedError"),
        (tf.errors.InternalError(None, None, "Dst tensor is not initialized."), "Dst tensor"),
        (
            tf.errors.InternalError(None, None, "RESOURCE_EXHAUSTED: Out of memory while trying"),
            "Out of memory while",
        ),
        (tf.errors.UnknownError(None, None, "CUDNN_STATUS_ALLOC_FAILED in tensorflow"), "CUDNN"),
        (tf.errors.InternalError(None, None, "cuDNN: CUDNN_STATUS_NOT_INITIALIZED"), "NOT_INIT"),
        (tf.errors.NotFoundError(None, None, "No algorithm worked! Error messages"), "No algo"),
        (tf.errors.InternalError(None, None, "Failed to allocate 12 bytes"), "Failed to allocate"),
        (MemoryError("Unable to allocate 8 TiB for an array"), "Unable to allocate 8 TiB"),
        (MemoryError(), "MemoryError"),
        (tf.errors.UnknownError(None, None, "MemoryError: of a Python function"), "MemoryError"),
    ],
)
def test_every_way_to_run_out_of_memory_is_one_message(error, said):
    with (
        pytest.raises(OutOfMemoryError, match=rf"batch_size: to train takes more .* is: .*{said}"),
        out_of_memory_as_error("batch_size", "to train", "Halve it", ("batch_size=2",)),
    ):
        raise error


@pytest.mark.parametrize(
    "error",
    [
        tf.errors.InvalidArgumentError(None, None, "Incompatible shapes"),
        tf.errors.NotFoundError(None, None, "no such file"),
        ValueError("out of memory, says somebody else"),
    ],
)
def test_another_error_stays_what_it_is(error):
    with pytest.raises(type(error)) as raised, out_of_memory_as_error("a", "b", "c"):
        raise error

    assert raised.value is error


def test_an_array_that_does_not_fit_is_told():
    with (
        pytest.raises(OutOfMemoryError, match="Unable to allocate"),
        out_of_memory_as_error("cache", "to keep it", "Set it to 'disk'"),
    ):
        np.ones(2**48)
