import pytest

from kft.settings.strict_json import oddity_in, parse


def deep(levels):
    value = 1
    for _ in range(levels):
        value = [value]
    return value


def test_json_is_parsed():
    assert parse('{"a": [1, null, {"b": "é"}]}') == {"a": [1, None, {"b": "é"}]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "b": 2, "a": 3}', "an object has the key 'a' twice"),
        ("[" * 2000 + "]" * 2000, "is nested more than 32 deep"),
        ("[" * 200_000, "is nested more than 32 deep"),
        ("9" * 5000, "Exceeds the limit"),
    ],
)
def test_json_that_people_do_not_write_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse(text)


def test_an_object_of_many_keys_is_parsed_at_once():
    # Each key was looked for among all others: 39 s for so many.
    text = "{" + ", ".join(f'"k{number}": 1' for number in range(60_000)) + "}"

    assert len(parse(text)) == 60_000


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"a": {"b": ["x", "y\0"]}}, r"a.b[1]: holds the character NUL: 'y\x00'"),
        ({"a": "\ud800"}, r"a: holds half a character, '\ud800': '\ud800'"),
        ({"a": {"\ud800": 1}}, r"a: holds half a character, '\ud800': '\ud800'"),
        ({"a b": {"c": "\0"}}, r"['a b'].c: holds the character NUL"),
        ({"a": "x" * 100_001}, "a: has 100001 characters, expected up to 100000"),
        ({"a": 10**5000}, "a: is 1.00e+5000, expected a number up to 1e+18"),
        ({"a": -1e300}, "a: is -1.00e+300, expected a number up to 3e+38"),
        (deep(2000), "is nested more than 32 deep"),
        ([0] * 200_000, "holds more than 200000 keys and values"),
    ],
)
def test_what_no_setting_can_be_is_named_with_its_place(settings, problem):
    assert problem in oddity_in(settings)


@pytest.mark.parametrize("settings", [{"a": [1, 1e18, True, None, "é🙂"]}, deep(31), {}, "x" * 10])
def test_what_a_setting_can_be_is_not_odd(settings):
    assert oddity_in(settings) is None
