"""Texts of the data, such as class names, as people can see them."""

from __future__ import annotations

from unicodedata import category

# Of control characters, halves of surrogate pairs, and separators of lines and paragraphs.
UNSEEN = ("Cc", "Cs", "Zl", "Zp")
LONGEST = 31


def visible(text: str) -> str:
    """Returns `text` on one line, what cannot be seen written as Python would."""
    return "".join(
        letter.encode("unicode_escape").decode() if category(letter) in UNSEEN else letter
        for letter in text
    )


def shortened(text: str, most: int = LONGEST) -> str:
    """Returns the `visible` text, without its middle if it has more than `most` letters."""
    if len(text) > most:
        half = (most - 1) // 2
        text = f"{text[:half]}…{text[-half:]}"
    return visible(text)
