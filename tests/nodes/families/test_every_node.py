"""What nodes change of the models, prompts, guides, latents and VAEs of each family ends in an output or in a problem.

No pair of a node and a family ends in an error of a library, in numbers that are not finite, or in one colour. All:
`pytest -m "slow or not slow" tests/nodes/families/test_every_node.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.nodes.families.scenes import BASES, CHANGES, Scene
from weft.engine import Engine, Graph, GraphError, InputError, NodeError
from weft.engine.errors import LiteralError
from weft.nodes import Image, LoadCheckpoint, LoadImage, MakeVideo, SplitVideo, VAEEncode, VAEEncodeVideo
from weft.nodes.values import Conditioning

FOREIGN = "network-failed"
"""The code of what a library refused in words of its own: no node is to come as far as that."""


def faults_of(engine: Engine, graph: Graph) -> Iterator[str]:
    """What is wrong with how a run of a graph ends."""
    try:
        found = engine.run(graph).outputs
    except GraphError as refused:
        yield from (f"no hint: {problem.message}" for problem in refused.problems if not problem.hint)
    except NodeError as failed:
        cause = failed.cause
        if not isinstance(cause, InputError | LiteralError) or cause.code == FOREIGN:
            yield f"{failed.node}: {cause!r}"
    else:
        for tensor in _tensors([*found.values()]):
            if tensor.is_floating_point() and not tensor.isfinite().all():
                yield "the output is not finite"
            if tensor.numel() > 1 and not tensor.float().std():
                yield "the output has one colour"


def _tensors(values: list[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _tensors([*value])
        elif not isinstance(value, Conditioning):
            parts = (getattr(value, name, None) for name in ("pixels", "frames", "samples"))
            yield from (one for one in parts if isinstance(one, Tensor))


def graph_of(family: str, change: str) -> Graph:
    with Graph() as graph:
        graph.output("found", CHANGES[change](Scene.of(BASES[family])))
    return graph


QUICK = [("sd3", "a prompt in a window"), ("flux-fill", "a picture to refer to"), ("ddpm", "a merged VAE")]


@pytest.mark.parametrize(("family", "change"), QUICK)
def test_a_pair_ends_in_an_output_or_in_a_problem(
    zoo: Callable[[str], str], engine: Engine, family: str, change: str
) -> None:
    zoo(BASES[family].source)
    assert not [*faults_of(engine, graph_of(family, change))]


@pytest.mark.slow
@pytest.mark.parametrize("family", BASES)
def test_every_pair_ends_in_an_output_or_in_a_problem(zoo: Callable[[str], str], engine: Engine, family: str) -> None:
    for name in (BASES[family].source, "motion"):
        zoo(name)
    found = {change: [*faults_of(engine, graph_of(family, change))] for change in CHANGES}
    assert not {change: faults for change, faults in found.items() if faults}


REFUSED = [
    ("sd3", "framing", "unsupported-by-model"),
    ("flux-fill", "a picture to refer to", "unsupported-by-model"),
    ("flux-fill", "a middle prompt", "unsupported-by-model"),
    ("ddpm", "a middle prompt", "unsupported-by-model"),
    ("ddpm", "a merged VAE", "unsupported-by-model"),
    ("dit", "prompts in a row", "unsupported-by-model"),
    ("dit", "another size", "wrong-size"),
    ("inpaint", "a plain guide later", "wrong-guide"),
    ("wan", "a trained LoRA", "unsupported-by-model"),
    ("motion", "a trained LoRA", "unsupported-by-model"),
    ("distilled", "a trained ControlNet", "unsupported-by-model"),
    ("cogvideox-pictures", "a control picture", "wrong-guide"),
    ("qwen-layered", "a multistep sampler", "sampler-cannot-follow"),
]
"""What had no effect, or failed in the middle of a run."""


def test_what_has_no_effect_is_refused_before_anything_runs(zoo: Callable[[str], str], engine: Engine) -> None:
    zoo("motion")
    for family, change, code in REFUSED:
        zoo(BASES[family].source)
        assert {one.code for one in engine.check(graph_of(family, change)).problems} == {code}, (family, change)


@pytest.mark.parametrize("model", ["sana", "flux2"])
def test_frames_are_encoded_as_pictures_are(zoo: Callable[[str], str], call: Callable[..., Any], model: str) -> None:
    vae, picture = call(LoadCheckpoint, source=zoo(model)).vae, call(LoadImage, path="ramp.png")
    clip = call(VAEEncodeVideo, vae=vae, video=call(MakeVideo, images=[picture, picture]))
    picture = Image(call(SplitVideo, video=call(MakeVideo, images=picture)).pixels)  # of 256 levels
    alone = call(VAEEncode, vae=vae, image=picture).samples
    assert torch.allclose(clip.samples, torch.stack([alone, alone], dim=2), atol=1e-4)
