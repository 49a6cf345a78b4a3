import pytest
from pydantic import ValidationError

from kft.sources.arrays.tensors import Tensors


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"shape": (2**20, 2**20)}, "'shape' is of 1099511627776 numbers, expected up to"),
        ({"shape": (1,) * 9}, "at most 8 items"),
        ({"shape": (1, 0)}, "greater than 0"),
        ({"shape": (), "dtype": "real"}, "'float32', "),
    ],
)
def test_tensors_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValidationError, match=message):
        Tensors(**settings)


@pytest.mark.parametrize("dtype", ["bool", "string", "uint8", "bfloat16", "complex64"])
def test_every_dtype_of_data_is_taken(dtype):
    assert Tensors(shape=(2,), dtype=dtype).spec.dtype.name == dtype
