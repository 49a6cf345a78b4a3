import pytest
import tensorflow as tf

from kft.image.header import number

RAW = tf.constant(bytes([0x81, 0x02, 0x03, 0xFF, 0xFE, 0x06, 0x07, 0x08]))


@pytest.mark.parametrize(
    ("at", "size", "big", "little"),
    [
        (0, 1, 0x81, 0x81),
        (0, 3, 0x810203, 0x030281),
        (3, 2, 0xFFFE, 0xFEFF),
        (2, 6, 0x03FFFE060708, 0x080706FEFF03),
        (6, 4, 0x07080000, 0x0807),
        (8, 2, 0, 0),
        (2**40, 2, 0, 0),
    ],
)
def test_number_is_unsigned_and_zero_beyond_the_end(at, size, big, little):
    assert number(RAW, at, size) == big
    assert number(RAW, at, size, little=True) == little


def test_numbers_at_many_places_have_their_shape():
    places = tf.constant([[0, 1], [7, 99]], tf.int64)

    found = number(RAW, places, 2, little=tf.constant(False))

    assert found.numpy().tolist() == [[0x8102, 0x0203], [0x0800, 0]]
    assert number(RAW, places[:0], 2).shape == (0, 2)
