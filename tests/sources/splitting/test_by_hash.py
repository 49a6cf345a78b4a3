from kft.sources.splitting.by_hash import place

GOLDEN_PLACES = [0.968373, 0.301971, 0.088645, 0.71078, 0.615353, 0.548953]


def test_assignment_is_pinned_so_that_no_release_moves_an_example():
    names = ["cats/1.jpg", "cats/2.jpg", "cats/3.jpg", "cats/4.jpg", "dogs/é.jpg", "dogs/1.jpg"]

    places = [round(place(name, seed=0), 6) for name in names]

    assert places == GOLDEN_PLACES


def test_place_is_the_same_for_both_unicode_forms_of_a_name():
    composed, decomposed = "caf\u00e9", "cafe\u0301"

    assert place(composed, 3) == place(decomposed, 3)


def test_place_takes_names_that_are_not_utf8():
    assert 0 <= place("cats/\udcff.jpg", 0) < 1
