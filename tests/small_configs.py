"""Configs that are only loaded, and what is said of them."""

import pytest

from kft.config.run_config import load_config
from kft.errors import ConfigError

DATA = {"kind": "folder", "path": "photos", "input": {"kind": "image"}}
BACKBONE = {"kind": "keras_application", "name": "MobileNetV2", "weights": None}
SMALL = {"data": DATA, "backbone": BACKBONE}


def fault(settings, *overrides, trust=None) -> str:
    """The message that loading `settings` ends with."""
    with pytest.raises(ConfigError) as caught:
        load_config(settings, overrides, trust)
    return str(caught.value)
