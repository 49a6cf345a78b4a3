"""Names that look alike, and those that are no text on one line."""

import pytest

from kft.messages import canonical, printable
from kft.sources.names import alike_notes, known_as, spelled_out

COMPOSED, APART = "caf\u00e9", "cafe\u0301"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cats/1 2.png", "cats/1 2.png"),
        ("猫/Käse\u200d.png", "猫/Käse\u200d.png"),
        ("a\nb\tc\x1b[31m", r"a\nb\tc\x1b[31m"),
        ("a\u2028b\x85c\x0bd", r"a\u2028b\x85c\x0bd"),
        ("caf\udcc3\udca9", "café"),
        ("\udcff.bin", r"\xff.bin"),
        ("\ud800\udcff", r"\ud800\xff"),
    ],
)
def test_a_name_is_shown_on_one_line_that_any_file_can_hold(name, shown):
    assert printable(name) == shown
    assert printable(shown) == shown
    assert len(shown.splitlines()) == 1
    assert shown.encode()


def test_both_forms_and_the_bytes_of_a_name_are_canonically_the_same():
    as_bytes = APART.encode().decode("ascii", "surrogateescape")

    assert canonical(APART) == canonical(COMPOSED) == canonical(as_bytes) == COMPOSED


@pytest.mark.parametrize(
    ("names", "note"),
    [
        (["owl", COMPOSED, APART], r"'caf\xe9' and 'cafe\u0301' look alike: are they the same?"),
        (["owl", " owl", "cat"], "'owl' and ' owl' look alike: are they the same?"),
        (["ow l", "ow\u00a0l"], r"'ow l' and 'ow\xa0l' look alike: are they the same?"),
        (["owl", "o\u200bwl", "cat"], r"'owl' and 'o\u200bwl' look alike: are they the same?"),
        (["Eule", "eule"], "'Eule' and 'eule' look alike: are they the same?"),
        (["Küken", "küken"], "'Küken' and 'küken' look alike: are they the same?"),
        (["カ\u3099", "\u30ac"], r"'カ\u3099' and '\u30ac' look alike: are they the same?"),
    ],
)
def test_names_that_look_alike_are_noted_so_that_they_can_be_quoted_apart(names, note):
    assert list(alike_notes(names)) == [note]


def test_other_names_are_not_noted():
    assert not list(alike_notes(["owl", "cat", "猫", "café", "cafe", "b2", "b10", "o w l"]))


def test_only_the_first_of_many_are_noted():
    names = [f"{letter}{number}" for number in range(50) for letter in "aA"]

    assert len(list(alike_notes(names))) == 10


def test_what_cannot_be_written_in_another_way_is_not_spelled_out():
    assert spelled_out("猫 owl's") == '''"猫 owl's"'''


def test_a_label_is_known_in_either_form_but_as_itself_first():
    assert known_as([APART, "owl"], [COMPOSED]) == {APART: COMPOSED}
    assert known_as([APART, COMPOSED], [COMPOSED, APART]) == {APART: APART, COMPOSED: COMPOSED}
