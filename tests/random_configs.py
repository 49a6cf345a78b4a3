"""Random configs, made from the JSON Schema: mostly as it says, with odd values in between."""

from __future__ import annotations

import json
import random
import string
from typing import Any

from kft.config.run_config import load_config
from kft.config.schema import json_schema
from kft.errors import ConfigError

ODD_TEXTS = (
    *("", " ", "a\0b", "\ud800", "a\nb", "²", "x" * 70_000, "://", "gs://\0", "~\0", "~nobody/x"),
    *("(", "(" * 3000 + ")" * 3000, "a{99999999999999999999}", "(a+)+$", "[", "(?P<a", r"\2"),
    *("..", "%s{}", "json:", ":", "os:system", "kft.head:Head", "keras.callbacks:Callback"),
    *("nan", "inf", "1e999", "9" * 5000, "true", "null", "[" * 3000),
)
ODD_NUMBERS = (
    *(0, 1, -1, 2**31, 2**53, 2**63, 10**18, 10**400, -(10**400), True),
    *(0.5, -0.0, 1e-320, 1e308, -1e308, float("nan"), float("inf"), float("-inf")),
)
PARTS = ("²", "٣", "-1", "0", "1", "99", "9" * 5000, "kind", "x", "\0", "\ud800", " ", "[", "]")


# Texts for the patterns in the schema.
PATTERNED = {
    r"^[\w.]+:\w+$": ("keras.callbacks:EarlyStopping", "keras.callbacks:TensorBoard", "os:system"),
    r"^[0-9a-fA-F]{64}$": ("a" * 64,),
    ":": ("x.y:Z", "json:dumps", "kft.head:Head"),
}


def nested(depth: int) -> Any:
    """A list in a list, `depth` times."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


class Maker:
    """Makes values of the schema, and a share of others; `begin` says which."""

    def __init__(self) -> None:
        self.schema = json_schema()
        self.begin(0, 0.0)

    def begin(self, seed: int, odd: float) -> None:
        """Makes the same values from here on for the same `seed`; a share of `odd` is any."""
        self.random = random.Random(seed)
        self.odd = odd

    def config(self) -> Any:
        return self.value(self.schema)

    def override(self) -> str:
        """An override, such as ``--set`` takes it."""
        settings = self.config()
        path: list[str] = []
        while isinstance(settings, dict | list) and settings and self.random.random() < 0.9:
            is_list = isinstance(settings, list)
            key = self.random.choice(range(len(settings)) if is_list else [*settings])
            path.append(str(key))
            settings = settings[key]
        if self.random.random() < 0.3:
            at = self.random.randrange(len(path) + 1)
            path[at : at + self.random.randrange(2)] = [self.random.choice(PARTS)]
        text = settings if isinstance(settings, str) else json.dumps(settings)
        return f"{'.'.join(path)}{self.random.choice(['=', '=', '=', '=', ''])}{text}"

    def value(self, schema: dict[str, Any]) -> Any:
        if self.random.random() < self.odd:
            return self.oddity()
        schema = self.resolved(schema)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self.random.choice(schema["enum"])
        make = {"object": self.object, "array": self.array, "string": self.text}
        make |= {"integer": self.number, "number": self.number, "boolean": self.flag}
        kind = schema.get("type", "null")
        return make[kind](schema) if kind in make else None

    def resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        """The schema without references and choices."""
        if "$ref" in schema:
            return self.resolved(self.schema["$defs"][schema["$ref"].rpartition("/")[2]])
        choices = schema.get("oneOf") or schema.get("anyOf")
        if not choices:
            return schema
        built_in = [choice for choice in choices if choice.get("title") != "your own class"]
        own = self.random.random() < self.odd
        return self.resolved(self.random.choice(choices if own else built_in))

    def oddity(self) -> Any:
        values = (None, [], {}, [[]], {"": {}}, {"kind": []}, {"kind": {}}, nested(200))
        pools = (values, ODD_TEXTS, ODD_NUMBERS)
        return self.random.choice(self.random.choice(pools))

    def object(self, schema: dict[str, Any]) -> dict[str, Any]:
        needed = {*schema.get("required", ())}
        made = {
            name: self.value(field)
            for name, field in schema.get("properties", {}).items()
            if name in needed or self.random.random() < 0.4
        }
        if isinstance(schema.get("additionalProperties"), dict):
            for _ in range(self.random.randrange(3)):
                made[self.text({})] = self.value(schema["additionalProperties"])
        if self.random.random() < self.odd:
            made[self.random.choice(ODD_TEXTS)] = self.oddity()
        return made

    def array(self, schema: dict[str, Any]) -> list[Any]:
        if "prefixItems" in schema:
            return [self.value(item) for item in schema["prefixItems"]]
        count = self.random.randrange(schema.get("minItems", 0), 4)
        return [self.value(schema.get("items", {})) for _ in range(count)]

    def text(self, schema: dict[str, Any]) -> str:
        if self.random.random() < self.odd:
            return self.random.choice(ODD_TEXTS)
        pattern = schema.get("pattern")
        usual = PATTERNED.get(pattern, ("".join(self.random.choices(string.ascii_lowercase, k=4)),))
        return self.random.choice(usual if pattern else (*usual, "MobileNetV2", "x.keras"))

    def number(self, schema: dict[str, Any]) -> Any:
        low = max(schema.get("minimum", schema.get("exclusiveMinimum", -3)), -(10**6))
        high = min(schema.get("maximum", schema.get("exclusiveMaximum", low + 30)), 10**6)
        value = self.random.uniform(low, high)
        return round(value) if schema["type"] == "integer" else value

    def flag(self, schema: dict[str, Any]) -> bool:
        return self.random.random() < 0.5


def settle(settings: Any, overrides: list[str]) -> str:
    """Loads a config and returns what came of it: ``taken``, or the message that refused it.

    Any other exception is a fault of kft.
    """
    try:
        config = load_config(settings, overrides, trust=())
    except ConfigError as error:
        return str(error)
    again = load_config(json.loads(config.to_json()), trust=())
    assert again == config
    return "taken"
