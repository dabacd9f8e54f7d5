"""JSON Schema (2020-12) of job files, for editors; what a graph in one says is left to the checker."""

from __future__ import annotations

from typing import Any

from weft.engine.farm.sweep.job import VERSION, JobModel
from weft.engine.show.json_schema import DIALECT, ID_PATTERN

_SOURCES: tuple[dict[str, Any], ...] = (
    {"type": "array", "minItems": 1, "description": "The values."},
    {
        "type": "object",
        "description": "Whole numbers: FIRST-LASTxSTEP and single ones.",
        "properties": {"range": {"type": "string", "description": "1-100x2,150"}},
        "required": ["range"],
        "additionalProperties": False,
    },
    {
        "type": "object",
        "description": "So many whole numbers, for seeds.",
        "properties": {"count": {"type": "integer", "minimum": 1}, "start": {"type": "integer"}},
        "required": ["count"],
        "additionalProperties": False,
    },
    {
        "type": "object",
        "description": "The lines of a text file, or a column of a table (CSV) or a JSON Lines file.",
        "properties": {"file": {"type": "string"}, "column": {"type": "string"}},
        "required": ["file"],
        "additionalProperties": False,
    },
    {
        "type": "object",
        "description": "The pictures of a folder that are not hidden, by name.",
        "properties": {"folder": {"type": "string"}, "pattern": {"type": "string"}},
        "required": ["folder"],
        "additionalProperties": False,
    },
)


def job_schema() -> dict[str, Any]:
    """JSON Schema of job files."""
    document = JobModel.model_json_schema()
    for property in document["properties"].values():
        property.pop("title", None)
    document["properties"]["weft_job"]["const"] = VERSION
    document["properties"]["sweep"] |= {
        "additionalProperties": {"anyOf": [*_SOURCES]},
        "propertyNames": {"pattern": rf"^{ID_PATTERN}(\.{ID_PATTERN})?$"},
    }
    described = {"title": "Weft job", "description": "A graph, and what it is swept over."}
    return {"$schema": DIALECT, **document, **described}
