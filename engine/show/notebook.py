"""Graphs, plans and results in a notebook: a drawing, a table, pictures. Needs no IPython, which asks for a bundle.

A bundle is what a value looks like by media type; a front end shows the richest that it can. Nothing of this is
imported before a notebook asks.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from functools import singledispatch
from html import escape
from pathlib import Path
from typing import Any

from weft.engine.artifact import SUFFIXES
from weft.engine.graph.graph import Graph
from weft.engine.mimebundle import Bundle, as_text
from weft.engine.planning.planner import Plan, Step
from weft.engine.running.result import Result
from weft.engine.show.draw import MOST_BOXES, sketch, to_picture
from weft.engine.spec.catalog import installed

COLOURS = {"run": "#b4652d", "undecided": "#8a56ac", "cached": "#3f8f5f", "refused": "#b3261e", "unneeded": "#6b7480"}
"""Of the states of a plan's steps, under white text."""

MOST_BYTES = 8_000_000
"""Of the pictures that a result shows; later ones are named only."""

PICTURES = {suffix: media for media, suffix in SUFFIXES.items() if media.startswith("image/")}
"""The media type of a picture by the ending of its file."""


@singledispatch
def bundle_of(value: object) -> Bundle:
    """A graph, a plan or a result as a notebook shows it; others as text."""
    return as_text(value)


@bundle_of.register
def of_graph(graph: Graph) -> Bundle:
    """A graph drawn; as text where it is too large to look at."""
    if len(graph.nodes) + len(graph.outputs) > MOST_BOXES:
        return {"text/plain": str(graph)}
    drawing = to_picture(sketch(graph, installed()), "graph.svg").decode()
    return {"text/plain": str(graph), "image/svg+xml": drawing}


@bundle_of.register
def of_plan(plan: Plan) -> Bundle:
    """A plan as a table of its steps."""
    rows = "".join(f"<tr>{''.join(_cells(step))}</tr>" for step in plan.steps)
    head = "".join(f"<th>{title}</th>" for title in ("node", "type", "state", "reason", "seconds", "memory"))
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    return {"text/plain": str(plan), "text/html": f"{table}<p>{escape(plan.summary)}</p>"}


def _cells(step: Step) -> Iterator[str]:
    badge = f"background:{COLOURS[step.state]};color:#fff;border-radius:4px;padding:1px 6px"
    yield f"<td><code>{escape(step.call.id)}</code></td>"
    yield f"<td>{escape(step.call.type.name)}</td>"
    yield f'<td><span style="{badge}">{step.state}</span></td>'
    yield f'<td style="text-align:left">{escape(step.reason)}</td>'
    yield f"<td>{'' if step.expected is None else f'{step.expected:.2f}'}</td>"
    yield f"<td>{escape(str(step.memory or ''))}</td>"


@bundle_of.register
def of_result(result: Result) -> Bundle:
    """A result with the pictures that it wrote and those among its outputs."""
    figures = [*_outputs(result.outputs), *_files(result.paths)]
    faults = "".join(f"<pre>{escape(str(failure))}</pre>" for failure in result.failures)
    summary = f"<p>{escape(result.summary)}</p>"
    return {"text/plain": str(result), "text/html": summary + faults + "".join(figures)}


def _outputs(outputs: Mapping[str, Any]) -> Iterator[str]:
    for name, item in outputs.items():
        to_png = getattr(item, "_repr_png_", None)
        if to_png:
            yield _figure(name, "image/png", to_png())
        else:
            yield f"<p><code>{escape(f'{name} = {item!r}')}</code></p>"


def _files(paths: Iterable[Path]) -> Iterator[str]:
    room = MOST_BYTES
    for path in paths:
        media = PICTURES.get(path.suffix)
        size = path.stat().st_size if path.is_file() else MOST_BYTES
        if media and size < room:
            room -= size
            yield _figure(str(path), media, path.read_bytes())
        else:
            yield f"<p><code>{escape(str(path))}</code></p>"


def _figure(name: str, media: str, content: bytes) -> str:
    source = f"data:{media};base64,{b64encode(content).decode()}"
    picture = f'<img src="{source}" alt="{escape(name)}" style="max-width:512px"/>'
    style = "display:inline-block;margin:4px"
    return f'<figure style="{style}">{picture}<figcaption><code>{escape(name)}</code></figcaption></figure>'
