"""The JSON Schema of a run config, for editors and checks."""

from __future__ import annotations

from typing import Any

from kft.config import RunConfig


def json_schema() -> dict[str, Any]:
    """Returns a JSON Schema (draft 2020-12) that knows the fields of every kind."""
    schema = RunConfig.model_json_schema(by_alias=True, mode="validation")
    # Left out of a file, it is named after the file and the time.
    schema["required"] = [key for key in schema["required"] if key != "output_dir"]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
