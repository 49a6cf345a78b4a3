"""Whatever a config holds, it is taken or refused in words, and at once.

`random_configs.py` makes them. To try more of them: change the numbers here.
"""

import json
import random

import pytest
from random_configs import Maker, settle


@pytest.fixture(scope="module")
def maker():
    return Maker()


@pytest.mark.parametrize("odd", [0.003, 0.02, 0.1])
def test_a_random_config_is_taken_and_reads_back_or_is_refused_in_words(maker, odd):
    outcomes = []
    for seed in range(150):
        maker.begin(seed, odd)
        settings = maker.config()
        overrides = [maker.override() for _ in range(seed % 3)]
        outcomes.append(settle(settings if isinstance(settings, dict) else {}, overrides))

    assert len({*outcomes}) > 20
    "".join(outcomes).encode()


def test_random_text_in_place_of_a_config_is_refused_in_words(tmp_path, maker):
    path = tmp_path / "config.json"
    for seed in range(100):
        maker.begin(seed, 0.01)
        text = bytearray(json.dumps(maker.config()).encode())
        for _ in range(3):
            text[random.Random(seed).randrange(len(text))] = seed
        path.write_bytes(text)

        settle(path, []).encode()
