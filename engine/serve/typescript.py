"""The interface of a server as TypeScript types, from its OpenAPI document: answers, and the parameters of graphs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

HEAD = """// Types of a Weft server, made from its OpenAPI document. Each graph has its parameters in `Parameters`:
//   const parameters: Parameters["text_to_image"] = { prompt: "a lake at night" };
//   const answer = await fetch("/api/graphs/text_to_image/runs?wait=60", {
//     method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(parameters),
//   });
//   const run = (await answer.json()) as Run;
"""

_GRAPH = re.compile(r"/api/graphs/(.+)/runs\Z")

_NAME = re.compile(r"[A-Za-z_$][\w$]*\Z", re.ASCII)

_SIMPLE: Mapping[str, str] = {
    "string": "string",
    "integer": "number",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
}


def typescript_types(document: Mapping[str, Any]) -> str:
    """The types of an OpenAPI document."""
    schemas = document["components"]["schemas"]
    parts = [HEAD, *(f"export type {name} = {_type(one, '')};\n" for name, one in schemas.items())]
    bodies = {
        found[1]: operations["post"]["requestBody"]["content"]["application/json"]["schema"]
        for path, operations in document["paths"].items()
        if (found := _GRAPH.match(path)) and "{" not in path
    }
    inner = "".join(f"  {json.dumps(name)}: {_type(one, '  ')};\n" for name, one in bodies.items())
    return "\n".join([*parts, f"export interface Parameters {{\n{inner}}}\n"])


def _type(schema: Mapping[str, Any], indent: str) -> str:
    """The type of what a schema allows."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema:
        return " | ".join(json.dumps(one) for one in schema["enum"]) or "never"
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(_type(one, indent) for one in schema["anyOf"]))
    kind = schema.get("type")
    if isinstance(kind, list):
        return " | ".join(dict.fromkeys(_type({**schema, "type": one}, indent) for one in kind))
    if kind == "array":
        return f"Array<{_type(schema.get('items', {}), indent)}>"
    if kind == "object":
        return _object(schema, indent)
    return _SIMPLE.get(str(kind), "unknown")


def _object(schema: Mapping[str, Any], indent: str) -> str:
    properties = schema.get("properties", {})
    if not properties:
        return "Record<string, unknown>" if schema.get("additionalProperties", True) else "Record<string, never>"
    lines = []
    for name, one in properties.items():
        if about := one.get("description"):
            lines.append(f"{indent}  /** {_comment(about)} */")
        key = name if _NAME.match(name) else json.dumps(name)
        mark = "" if name in schema.get("required", ()) else "?"
        lines.append(f"{indent}  {key}{mark}: {_type(one, indent + '  ')};")
    return "\n".join(["{", *lines, f"{indent}}}"])


def _comment(text: str) -> str:
    """A text that cannot end a comment, on one line."""
    return " ".join(text.split()).replace("*/", "* /")
