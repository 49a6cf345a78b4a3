import pytest

from kft.messages import printable, shortened


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("café 日本 $5_$10", "café 日本 $5_$10"),
        ("a\nb\tc\x00\x1b[31m", "a\\nb\\tc\\x00\\x1b[31m"),
        ("\udcff.png", "\\xff.png"),
        ("one\u2028two", "one\\u2028two"),
    ],
    ids=["letters", "control", "surrogate", "separator"],
)
def test_what_cannot_be_seen_is_written_out(text, seen):
    assert printable(text) == seen


def test_a_long_text_loses_its_middle():
    assert shortened("a" * 100_000 + "b" * 100_000) == "a" * 15 + "…" + "b" * 15
    assert shortened("short") == "short"
