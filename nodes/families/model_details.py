"""What `weft models list` and sidecars have of a model: its precision, what it was trained at and for, its licence.

All are as its files have them. Imports no torch.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from zlib import crc32

from weft.engine import Resolved
from weft.engine.regular_file import read_regular
from weft.nodes import builtin
from weft.nodes.families import FAMILIES
from weft.nodes.models.facts import CheckpointFacts
from weft.nodes.models.hub import CARD
from weft.nodes.models.quantised_weights import SCALES
from weft.nodes.models.safetensors_header import ENDINGS, read_header
from weft.nodes.models.task_models import TaskFacts
from weft.nodes.sizes import Size

SD2_BASE = 512
"""The side, in pixels, of the pictures of an SD 2.x that predicts noise; `Family.native_side` is for those that predict
v."""

SIZE_BITS = 6
"""How many digits of a model's size tell whether it is of another precision: what headers say besides takes little."""

LARGEST_CARD = 2**20
"""Bytes of a model card that is read."""

LONGEST = 60
"""Characters of a licence's name."""

LICENCE_TEXTS = ("modelspec.license", "license", "licence")
"""What the licence is called in the header of a single file."""


PREDICTED = {"epsilon": "noise", "v_prediction": "v", "flow": "flow", "sample": "pictures"}
"""What networks predict, by the names that configurations have for it."""


def details(found: Resolved) -> dict[str, str]:
    """Precision, size, purpose and licence of a model, as far as its files say them."""
    size = native_size(found.facts) if isinstance(found.facts, CheckpointFacts) else None
    known = {
        "precision": _precision(found),
        "size": str(size or ""),
        "purpose": purpose(found.facts),
        "licence": _licence(found),
    }
    return {name: text for name, text in known.items() if text}


def structure(found: Resolved) -> str:
    """Names models that are loaded into as much memory and compute in as much."""
    facts = found.facts
    parts = (facts.network, facts.vae, *facts.text_models.values()) if isinstance(facts, CheckpointFacts) else (facts,)
    stated = [(str(part), getattr(part, "config", None)) for part in parts]
    stated.append(("", getattr(getattr(facts, "network", None), "config", None)))
    size = sum(path.stat().st_size for path in found.files)
    step = 2 ** max(size.bit_length() - SIZE_BITS, 0)
    return f"{found.kind} {found.family} {crc32(repr(stated).encode()):08x} {size // step * step}"


def native_size(facts: CheckpointFacts) -> Size | None:
    """The size of the pictures that a model was trained on; None where that is not known."""
    stated: Any = facts.network.config.get("sample_size") if facts.contents.configs else None
    down, across = stated if isinstance(stated, (list, tuple)) and len(stated) == 2 else (stated, stated)
    if type(down) is int and type(across) is int and down > 0 and across > 0:
        return Size(across * facts.latent_factor, down * facts.latent_factor)
    base = facts.family == "SD2" and facts.scheduler.get("prediction_type") == "epsilon"
    native = next(known.native_side for known in FAMILIES if known.name == facts.family)
    side = SD2_BASE if base else native
    return Size(side, side) if side else None


def purpose(facts: object) -> str:
    """What a model was trained for: what it reads in addition to a prompt, and what it predicts; empty for others."""
    if isinstance(facts, TaskFacts):
        return facts.task
    if not isinstance(facts, CheckpointFacts):
        return ""
    flow = str(facts.scheduler.get("_class_name")).startswith("FlowMatch")
    prediction = "flow" if flow else str(facts.scheduler.get("prediction_type", "epsilon"))
    predicted = PREDICTED.get(prediction, prediction)
    extra = facts.extra_channels
    reads = "images" if not extra else "editing" if extra == facts.latent_channels else "inpainting"
    return f"{reads}, predicts {predicted}"


def _precision(found: Resolved) -> str:
    """The type that most of the numbers of the files have, as their format calls it; with what scales there are."""
    counted: Counter[str] = Counter()
    form = ""
    for path in (path for path in found.files if path.suffix in ENDINGS):
        header = read_header(path)
        for name, shape in header.shapes.items():
            counted[header.dtypes[name]] += math.prod(shape)
        scaled = any(name.endswith(SCALES) for name in header.shapes)
        form = form or (" (GGUF)" if header.gguf else " with scales" if scaled else "")
    most = counted.most_common(1)
    return NAMES.get(most[0][0], most[0][0]) + form if most else ""


NAMES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F8_E4M3": "fp8 (e4m3)", "F8_E5M2": "fp8 (e5m2)"}
"""What the formats' names of types are elsewhere."""


def _licence(found: Resolved) -> str:
    """The licence that the header of a file or the card next to a model names; that of Weft for models of its own."""
    if found.root.is_relative_to(builtin.FOLDER):
        return builtin.LICENCE
    texts = read_header(found.files[0]).metadata if len(found.files) == 1 else {}
    stated = (texts[name] for name in LICENCE_TEXTS if texts.get(name))
    return " ".join((next(stated, "") or _of_card(found.root)).split())[:LONGEST]


def _of_card(root: Path) -> str:
    """The licence in the head of a model card (https://huggingface.co/docs/hub/model-cards)."""
    with suppress(OSError, UnicodeDecodeError):
        card = read_regular((root if root.is_dir() else root.parent) / CARD, LARGEST_CARD).decode()
        head = re.match(r"---\r?\n(.*?)\n---", card, re.DOTALL)
        named = dict(_entries(head[1])) if head else {}
        other = named.get("license") == "other"
        return named.get("license_name", "other") if other else named.get("license", "")
    return ""


def _entries(head: str) -> Iterator[tuple[str, str]]:
    """The lines `name: text` of a card's head."""
    for line in head.splitlines():
        name, colon, text = line.partition(":")
        if colon and not name.startswith((" ", "-")):
            yield name.strip(), text.strip().strip("\"'")
