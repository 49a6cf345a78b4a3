"""The JSON Schema of a run config, for editors and checks."""

from __future__ import annotations

import re
from typing import Any

from kft.config.run_config import RunConfig


def json_schema() -> dict[str, Any]:
    """Returns a JSON Schema (draft 2020-12) that knows the fields of every kind."""
    schema = RunConfig.model_json_schema(by_alias=True, mode="validation")
    # Left out of a file, it is named after the file and the time.
    schema["required"] = [key for key in schema["required"] if key != "output_dir"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **described(schema)}


def described(schema: Any) -> Any:
    """Returns `schema` with the docstrings of attributes as descriptions of the fields."""
    if isinstance(schema, list):
        return [described(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    schema = {key: described(part) for key, part in schema.items()}
    if not (isinstance(schema.get("description"), str) and "properties" in schema):
        return schema
    text, _, attributes = schema["description"].partition("\n\nAttributes:\n")
    meanings = meanings_in(attributes)
    properties = {
        key: field | ({"description": meanings[key]} if key in meanings else {})
        for key, field in schema["properties"].items()
    }
    return schema | {"description": " ".join(text.split()), "properties": properties}


def meanings_in(attributes: str) -> dict[str, str]:
    """The ``Attributes:`` section of a docstring, by attribute."""
    found = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", attributes, re.MULTILINE)
    return {name: " ".join(meaning.split()) for name, meaning in found}
